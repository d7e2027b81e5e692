"""Log-ins that can be renewed: families of refresh tokens.

Each refresh token gives the next one of its family, and is spent by it. One that comes a second time was copied by
somebody: the family ends, for whoever has which. An honest client can come twice all the same, since an answer was lost, or
since two of its processes share a log-in. So the token that was spent last gives, for `GRACE` seconds, the same successor
again: tokens are not drawn by lot but derived from a key beside the database, the family and a number, and nothing of them
is kept.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.marks import family_mark
from microlite.core.auth.opaque_tokens import REFRESH, Opaque
from microlite.core.auth.records import FAMILIES, Family, decode, encode
from microlite.core.auth.to_the_end import to_the_end
from microlite.core.engine.api import Batch, Delete, Presence, Put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microlite.core.auth.keys import Keys
    from microlite.core.auth.records import StoredAccount
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

IDLE: Final = 30 * 86_400.0
"""Seconds without a renewal after which a log-in ends."""

LONGEST: Final = 90 * 86_400.0
"""Seconds after which it ends, renewed or not."""

GRACE: Final = 30.0
"""Seconds in which the token that was spent last gives the same successor again."""


class LogIns:
    """Begins, renews and ends log-ins.

    Args:
        engine: keeps them.
        keys: what tokens are derived from.
        revoke: returns when marks hold no more, on any node.
        clock: the time.
    """

    def __init__(
        self, engine: Engine, keys: Keys, revoke: Callable[[Sequence[str]], Awaitable[None]], clock: Clock
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._revoke = revoke
        self._clock = clock

    async def begin(self, namespace: str, account: StoredAccount) -> tuple[str, str, float]:
        """A new log-in: its family, the first refresh token, and until when that holds."""
        family, now = secrets.token_hex(12), self._clock.now()
        token = self._token(namespace, family, 1)
        kept = Family(account=account.id, stamp=account.stamp, began=now, renewed=now)
        put = Put(FAMILIES, family, encode(kept), expires_at=_ends(kept), expect=Presence.ABSENT)
        await self._engine.commit(Batch(namespace, (put,)))
        return family, str(token), _ends(kept)

    async def find(self, namespace: str, family: str) -> Family | None:
        """A log-in that has not ended."""
        record = await self._engine.get(namespace, FAMILIES, family)
        return decode(record.value, Family) if record is not None else None

    async def renew(self, token: Opaque) -> tuple[str, Family, str, float]:
        """Spend a refresh token. Returns the family, its log-in, the next token, and until when that holds.

        Raises:
            Unauthorized: it does not hold. One that was spent before ends the log-in.
        """
        family, number = self._parse(token)
        while family:
            record = await self._engine.get(token.namespace, FAMILIES, family)
            if record is None:
                break
            kept = decode(record.value, Family)
            if number < kept.number:
                if number == kept.number - 1 and self._clock.now() - kept.renewed < GRACE:
                    return family, kept, str(self._token(token.namespace, family, kept.number)), _ends(kept)
                await self.end(token.namespace, family)
                raise errors.Unauthorized(
                    "this refresh token was used before, so somebody else may have it: the log-in was ended; log in again"
                )
            new = msgspec.structs.replace(kept, number=number + 1, renewed=self._clock.now())
            put = Put(FAMILIES, family, encode(new), expires_at=_ends(new), expect=record.revision)
            try:
                await self._engine.commit(Batch(token.namespace, (put,)))
            except errors.Conflict:
                continue  # another process of the same client was faster: both get the same successor
            return family, new, str(self._token(token.namespace, family, new.number)), _ends(new)
        raise errors.Unauthorized("the log-in has ended; log in again")

    async def end(self, namespace: str, family: str) -> None:
        """End a log-in. One that has ended is no error."""

        async def carry_out() -> None:
            await self._engine.commit(Batch(namespace, (Delete(FAMILIES, family),)))
            await self._revoke((family_mark(family),))

        if await self.find(namespace, family) is not None:
            await to_the_end(carry_out(), "end a log-in")

    async def end_by(self, token: Opaque) -> None:
        """End the log-in of a refresh token, also of one that was spent. One that is none ends nothing."""
        family, _ = self._parse(token)
        if family:
            await self.end(token.namespace, family)

    def _parse(self, token: Opaque) -> tuple[str, int]:
        """Family and number of a token that this platform has made; an empty family for any other."""
        family, _, digits = token.id.partition(".")
        number = int(digits) if digits.isdecimal() and len(digits) <= _MAX_DIGITS else 0
        genuine = hmac.compare_digest(str(self._token(token.namespace, family, number)), str(token))
        return (family if genuine else "", number)

    def _token(self, namespace: str, family: str, number: int) -> Opaque:
        return Opaque(REFRESH, namespace, f"{family}.{number}", self._keys.derive(namespace, family, str(number)))


_MAX_DIGITS: Final = 9


def _ends(kept: Family) -> float:
    return min(kept.renewed + IDLE, kept.began + LONGEST)
