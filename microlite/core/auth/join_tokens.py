"""Join tokens: secrets by which nodes on other machines become nodes of this platform."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from microlite.core import errors
from microlite.core.auth.api import JoinToken, NewJoinToken
from microlite.core.auth.secret_keys import key_of
from microlite.core.engine.api import Batch, Delete, Presence, Put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Append, Engine

PREFIX: Final = "mlj_"
"""How the text of a join token begins."""

BUCKET: Final = "auth/join-tokens"
"""The records of join tokens, by id, in the engine's namespace of the tenant."""

DEFAULT_LIFETIME: Final = 24 * 3600.0
"""Seconds for which a token lets nodes in where nobody says otherwise."""

LONGEST: Final = 366 * 24 * 3600.0
"""The longest such time."""

MOST: Final = 1_000
"""Join tokens of one namespace."""

_REFUSED: Final = (
    "the join token is not known here, has expired, or was deleted; make another: microlite auth create join-token"
)


class Parts(NamedTuple):
    """What the text of a join token says.

    Attributes:
        namespace: where nodes join by it.
        id: which one it is.
        secret: what proves that it was given out here.
        fingerprint: of the certificate that the platform has at its join port.
    """

    namespace: str
    id: str
    secret: str
    fingerprint: str

    @classmethod
    def of(cls, text: str) -> Parts:
        """Read `mlj_<namespace>.<id>_<secret>_<fingerprint>`.

        Raises:
            BadRequest: it is no join token.
        """
        body = text.strip().removeprefix(PREFIX)
        name, _, rest = body.rpartition("_")
        name, _, secret = name.rpartition("_")
        namespace, _, which = name.rpartition(".")
        if not text.strip().startswith(PREFIX) or not (namespace and which and secret and len(rest) == 64):
            raise errors.BadRequest("this is no join token: it begins with mlj_, and is to be copied whole")
        return cls(namespace, which, secret, rest)

    def __str__(self) -> str:
        return f"{PREFIX}{self.namespace}.{self.id}_{self.secret}_{self.fingerprint}"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a join token."""

    token: JoinToken
    hash: str


class JoinTokens:
    """Makes, finds and deletes join tokens.

    Args:
        engine: keeps them, hashed.
        clock: says when one has expired.
        fingerprint: of the certificate at the join port, made where there is none yet.
        deleted: called with namespace and id of each that was deleted; returns when its nodes are believed no more.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        fingerprint: Callable[[], str],
        deleted: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._fingerprint = fingerprint
        self._deleted = deleted

    async def create(
        self, namespace: str, *, service: str, lifetime: float, by: str, beside: Callable[[str], tuple[Append, ...]]
    ) -> NewJoinToken:
        """Make one.

        Args:
            service: the only service whose nodes it lets in; empty for all.
            lifetime: seconds for which it lets nodes in.
            by: the account that asks for it.
            beside: what to append in the same commit, given the new id.

        Raises:
            BadRequest: the lifetime is out of range.
            Conflict: the namespace has too many.
        """
        if not 0 < lifetime <= LONGEST:
            raise errors.BadRequest(f"a join token holds for more than 0 s and up to {LONGEST / 86400:g} days")
        if len(await self.tokens(namespace)) >= MOST:
            raise errors.Conflict(
                f"the namespace {namespace!r} has {MOST} join tokens: delete those that are not needed"
            )
        now = self._clock.now()
        parts = Parts(namespace, secrets.token_hex(4), secrets.token_hex(32), self._fingerprint())
        token = JoinToken(id=parts.id, service=service, created=now, expires=now + lifetime, created_by=by)
        kept = Kept(token=token, hash=key_of(parts.secret))
        put = Put(BUCKET, parts.id, msgspec.msgpack.encode(kept), expect=Presence.ABSENT)
        await self._engine.commit(Batch(namespace, (put, *beside(parts.id))))
        return NewJoinToken(**msgspec.structs.asdict(token), token=str(parts))

    async def tokens(self, namespace: str) -> list[JoinToken]:
        """All of a namespace, the oldest first; expired ones too, by which nodes have joined that stay."""
        found: list[JoinToken] = []
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(namespace, BUCKET, after=after)
            after = page.cursor
            found += [msgspec.msgpack.decode(record.value, type=Kept).token for record in page.records]
        return sorted(found, key=lambda token: (token.created, token.id))

    async def delete(self, namespace: str, id: str, beside: tuple[Append, ...]) -> None:
        """Let nobody join by it any more, and believe those no more who did.

        Raises:
            NotFound: there is none of this id.
        """
        record = await self._engine.get(namespace, BUCKET, id)
        if record is None:
            raise errors.NotFound(f"the namespace {namespace!r} has no join token {id!r}")
        await self._engine.commit(Batch(namespace, (Delete(BUCKET, id, expect=record.revision), *beside)))
        await self._deleted(namespace, id)

    async def redeem(self, text: str, service: str) -> Parts:
        """Let a node of a service in. The token can be used again until it expires.

        Raises:
            Unauthorized: it is none of those that hold.
            Forbidden: it is for another service.
        """
        try:
            parts = Parts.of(text)
        except errors.BadRequest as error:
            raise errors.Unauthorized(error.detail) from None
        kept = await self._find(parts.namespace, parts.id)
        known = kept.hash if kept is not None else ""
        if not hmac.compare_digest(key_of(parts.secret), known) or kept is None:
            raise errors.Unauthorized(_REFUSED)
        if kept.token.expires <= self._clock.now():
            raise errors.Unauthorized(_REFUSED)
        if kept.token.service not in ("", service):
            raise errors.Forbidden(f"this join token is for nodes of {kept.token.service!r}, not of {service!r}")
        return parts

    async def holds(self, namespace: str, id: str) -> bool:
        """Whether a token was not deleted: those who have joined by it stay, also when it has expired."""
        return await self._find(namespace, id) is not None

    async def _find(self, namespace: str, id: str) -> Kept | None:
        if len(id) > 64 or len(namespace) > 128:
            return None
        record = await self._engine.get(namespace, BUCKET, id)
        return msgspec.msgpack.decode(record.value, type=Kept) if record is not None else None
