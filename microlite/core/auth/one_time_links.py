"""Secrets that open something once, and soon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.secret_keys import key_of, new_secret
from microlite.core.context import PLATFORM_NAMESPACE, Account
from microlite.core.engine.api import Batch, Delete, Put

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

BUCKET: Final = "auth.links"
"""The records of links that nobody has used yet."""

LIFETIME: Final = 60.0
"""Seconds in which a link works."""


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What a link stands for.

    Attributes:
        account: who comes by it.
        namespace: whose services are shown.
    """

    account: Account
    namespace: str


class OneTimeLinks:
    """Issues secrets and takes each back once.

    Args:
        engine: keeps them, hashed.
        clock: says when one is too old.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def issue(self, invitation: Invitation) -> tuple[str, float]:
        """A new secret, and until when it works, in seconds since the Unix epoch."""
        secret, expires = new_secret(), self._clock.now() + LIFETIME
        put = Put(BUCKET, key_of(secret), msgspec.msgpack.encode(invitation), expires_at=expires)
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (put,)))
        return secret, expires

    async def redeem(self, secret: str) -> Invitation | None:
        """What it stands for, if it was not used before and is not too old. Of two who come together, one gets it."""
        record = await self._engine.get(PLATFORM_NAMESPACE, BUCKET, key_of(secret))
        if record is None:
            return None
        try:
            await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Delete(BUCKET, record.key, expect=record.revision),)))
        except errors.Conflict:
            return None
        return msgspec.msgpack.decode(record.value, type=Invitation)
