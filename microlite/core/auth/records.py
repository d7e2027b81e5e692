"""What the engine keeps of accounts, log-ins and tokens, each in the namespace that it belongs to."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from microlite.core.auth.api import AccountRecord, PersonalToken
from microlite.core.context import SERVICE, SERVICE_SCOPE, USER, Account

T = TypeVar("T")

ACCOUNTS: Final = "auth/accounts"
"""The bucket of accounts, by id."""

NAMES: Final = "auth/names"
"""The bucket of all that an account can be called, ids and names alike, in small letters: each once, and whose it is."""

FAMILIES: Final = "auth/refresh"
"""The bucket of log-ins that can be renewed, by family."""

PERSONAL: Final = "auth/tokens"
"""The bucket of personal access tokens, by id."""

REVOKED: Final = "auth/revoked"
"""The bucket of signed tokens that hold no more although they have not expired, by their own id, until they have."""


class StoredAccount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account.

    Attributes:
        id: as it was given.
        type: `user` or `service`.
        name: empty where that is the id.
        scopes: without the one that a service has anyhow.
        metadata: what was noted about it.
        created: when, in seconds since the Unix epoch.
        created_by: who has made it.
        disabled: whether it is kept out.
        hash: of its secret; empty where it cannot log in with one.
        stamp: a new one whenever its tokens shall hold no more: those that carry another do not.
    """

    id: str
    type: str = USER
    name: str = ""
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    created: float = 0.0
    created_by: str = ""
    disabled: bool = False
    hash: str = ""
    stamp: str

    @property
    def all_scopes(self) -> tuple[str, ...]:
        """Its scopes, with the one that every service has."""
        return (SERVICE_SCOPE, *self.scopes) if self.type == SERVICE else self.scopes

    def account(self, namespace: str) -> Account:
        """It, as it acts."""
        return Account(
            id=self.id,
            type=self.type,
            name=self.name,
            namespace=namespace,
            scopes=self.all_scopes,
            metadata=self.metadata,
        )

    def record(self, namespace: str) -> AccountRecord:
        """It, as it is shown."""
        return AccountRecord(
            id=self.id,
            type=self.type,
            name=self.name,
            namespace=namespace,
            scopes=self.scopes,
            metadata=self.metadata,
            created=self.created,
            created_by=self.created_by,
            disabled=self.disabled,
        )


class Family(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One log-in that can be renewed.

    Attributes:
        account: the id.
        stamp: of the account, when it logged in.
        number: counts the renewals; the refresh token of this number is the one that holds.
        began: when, in seconds since the Unix epoch.
        renewed: when the number last grew.
    """

    account: str
    stamp: str
    number: int = 1
    began: float
    renewed: float


class StoredToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A personal access token.

    Attributes:
        account: the id.
        name: what it is for.
        scopes: those that it may use, as far as the account has them.
        hash: of its secret part.
        created: when, in seconds since the Unix epoch.
        expires: until when.
        used: when it was last noted to be in use.
    """

    account: str
    name: str
    scopes: tuple[str, ...] = ()
    hash: str
    created: float
    expires: float
    used: float = 0.0

    def shown(self, id: str) -> PersonalToken:
        """It, as it is shown."""
        return PersonalToken(
            id=id,
            name=self.name,
            account=self.account,
            scopes=self.scopes,
            created=self.created,
            expires=self.expires,
            used=self.used,
        )


encode: Final = msgspec.msgpack.Encoder().encode


def decode(value: bytes, type: type[T]) -> T:
    """A record as it was encoded."""
    return msgspec.msgpack.decode(value, type=type)
