"""Whom tokens and tickets stand for: what the platform finds out, and its nodes ask it for."""

from __future__ import annotations

import msgspec

from microlite.core.context import DEFAULT_NAMESPACE, USER, Account


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a token stands for.

    Attributes:
        account: its id.
        type, name, namespace, scopes, metadata: of the account, as the token carries them.
        expires: until when the token holds, in seconds since the Unix epoch.
        marks: what stands in `Policy.revoked` when it holds no more.
    """

    account: str
    type: str = USER
    name: str = ""
    namespace: str = DEFAULT_NAMESPACE
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    expires: float
    marks: tuple[str, ...] = ()

    def as_account(self) -> Account:
        """The account for which the token stands, as it acts by it."""
        return Account(
            id=self.account,
            type=self.type,
            name=self.name,
            namespace=self.namespace,
            scopes=self.scopes,
            metadata=self.metadata,
        )


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A node, as another one has to know it that meets it on a direct connection.

    Attributes:
        namespace, service, node, generation: which one it is.
        account: who it is where it acts as itself.
        token: stands for that account with calls that its own lead to; good for ten minutes at least.
        marks: what stands in `Policy.revoked` when it is to be believed no more.
    """

    namespace: str
    service: str
    node: str
    generation: int = 0
    account: Account
    token: str = ""
    marks: tuple[str, ...] = ()
