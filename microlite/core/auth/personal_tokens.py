"""Personal access tokens: for programs that act for an account, with some of its scopes, until a day."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.api import NewPersonalToken
from microlite.core.auth.marks import personal_mark
from microlite.core.auth.opaque_tokens import PERSONAL as WORD
from microlite.core.auth.opaque_tokens import Opaque
from microlite.core.auth.records import PERSONAL, StoredToken, decode, encode
from microlite.core.auth.secret_keys import key_of, new_secret
from microlite.core.auth.to_the_end import to_the_end
from microlite.core.engine.api import Batch, Delete, Presence, Put
from microlite.core.scopes import check_scopes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microlite.core.audit.audit import Audit
    from microlite.core.auth.api import PersonalToken
    from microlite.core.auth.records import StoredAccount
    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine

MOST: Final = 50
"""Most tokens of one account."""

PER_HOUR: Final = 100
"""Most tokens that are made for one account within an hour, whether they are deleted or not."""

HOUR: Final = 3_600.0

MOST_REMEMBERED: Final = 10_000
"""Accounts of which it is remembered when tokens were made; those that made none for longest are forgotten first."""

LONGEST: Final = 366 * 86_400.0
"""Seconds that one can hold."""

TOUCH: Final = 60.0
"""Seconds between two notes that one is in use."""

MAX_NAME: Final = 128

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class PersonalTokens:
    """Makes, lists and ends them. Here is only the hash of each.

    Args:
        engine: keeps them.
        revoke: returns when marks hold no more, on any node.
        audit: where it is written down who made and ended them.
        clock: the time.
    """

    def __init__(
        self, engine: Engine, revoke: Callable[[Sequence[str]], Awaitable[None]], audit: Audit, clock: Clock
    ) -> None:
        self._engine = engine
        self._revoke = revoke
        self._audit = audit
        self._clock = clock
        self._made: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    async def create(
        self, origin: Origin, account: StoredAccount, name: str, scopes: Sequence[str] | None, lifetime: float
    ) -> NewPersonalToken:
        """Make a token for an account.

        Args:
            origin: who makes it, in the namespace of the account.
            account: for whom it acts.
            name: what it is for.
            scopes: of the account's; all it has now for None.
            lifetime: seconds.

        Raises:
            BadRequest: the name or the lifetime cannot be.
            Forbidden: a scope is none of the account's.
            TooManyRequests: it has as many as it can have.
        """
        name = name.strip()
        if not name or len(name) > MAX_NAME or _CONTROL.search(name):
            raise errors.BadRequest(f"name: say in 1 to {MAX_NAME} characters what the token is for")
        if not 1 <= lifetime <= LONGEST:
            raise errors.BadRequest(f"expires_in: between 1 and {LONGEST:.0f} seconds, which is a year")
        wanted = account.all_scopes if scopes is None else check_scopes(scopes)
        for scope in wanted:
            if scope not in account.all_scopes:
                raise errors.Forbidden(f"scopes: {account.id} has no scope {scope!r}, so no token for it can have it")
        if len(await self.of(origin.namespace, account.id)) >= MOST:
            raise errors.TooManyRequests(f"{account.id} has {MOST} tokens, which is the most; delete some first")
        self._count(origin, account.id)
        now = self._clock.now()
        made = Opaque(WORD, origin.namespace, f"{_prefix(account.id)}{secrets.token_hex(6)}", new_secret())
        kept = StoredToken(
            account=account.id,
            name=name,
            scopes=wanted,
            hash=key_of(made.secret),
            created=now,
            expires=now + lifetime,
        )
        entry = self._audit.entry(
            origin, "auth.tokens.create", f"token:{made.id}", account=account.id, name=name, scopes=wanted
        )
        put = Put(PERSONAL, made.id, encode(kept), expires_at=kept.expires, expect=Presence.ABSENT)
        await self._engine.commit(Batch(origin.namespace, (put, entry)))
        shown = msgspec.structs.asdict(kept.shown(made.id))
        return NewPersonalToken(**shown, token=str(made))

    def _count(self, origin: Origin, account: str) -> None:
        """Let nobody make and delete tokens again and again, and so push all else out of the audit log."""
        now = self._clock.monotonic()
        times = self._made.pop((origin.namespace, account), deque(maxlen=PER_HOUR))
        self._made[origin.namespace, account] = times
        if len(self._made) > MOST_REMEMBERED:
            self._made.popitem(last=False)
        if len(times) == PER_HOUR and now - times[0] < HOUR:
            wait = HOUR - (now - times[0])
            raise errors.TooManyRequests(
                f"{PER_HOUR} tokens were made for {account} within an hour; try again in {int(wait) + 1} s"
            )
        times.append(now)

    async def of(self, namespace: str, account: str) -> list[PersonalToken]:
        """All tokens of an account, the oldest first."""
        page = await self._engine.scan(namespace, PERSONAL, prefix=_prefix(account), limit=1_000)
        found = [decode(record.value, StoredToken).shown(record.key) for record in page.records]
        return sorted((one for one in found if one.account == account), key=lambda one: one.created)

    async def find(self, namespace: str, id: str) -> StoredToken | None:
        """A token that has not ended."""
        record = await self._engine.get(namespace, PERSONAL, id)
        return decode(record.value, StoredToken) if record is not None else None

    async def delete(self, origin: Origin, id: str, account: str) -> None:
        """End a token.

        Raises:
            NotFound: this account has no such token.
        """
        kept = await self.find(origin.namespace, id)
        if kept is None or kept.account != account:
            raise errors.NotFound(f"{account} has no token {id!r}")
        entry = self._audit.entry(origin, "auth.tokens.delete", f"token:{id}", account=account, name=kept.name)

        async def carry_out() -> None:
            await self._engine.commit(Batch(origin.namespace, (Delete(PERSONAL, id), entry)))
            await self._revoke((personal_mark(id),))

        await to_the_end(carry_out(), "delete a token")

    async def prove(self, token: Opaque) -> StoredToken | None:
        """The record of a token that was shown, which is in use from now on; None if it is none or has ended."""
        record = await self._engine.get(token.namespace, PERSONAL, token.id)
        kept = decode(record.value, StoredToken) if record is not None else None
        if not token.has(kept.hash if kept is not None else key_of("")) or kept is None or record is None:
            return None
        now = self._clock.now()
        if now - kept.used >= TOUCH:
            kept = msgspec.structs.replace(kept, used=now)
            put = Put(PERSONAL, token.id, encode(kept), expires_at=kept.expires, expect=record.revision)
            try:
                await self._engine.commit(Batch(token.namespace, (put,)))
            except errors.Conflict:  # noted by somebody else, or deleted at this moment
                return kept if await self._engine.get(token.namespace, PERSONAL, token.id) is not None else None
            except errors.InsufficientStorage:
                pass  # it opens what can be read all the same
        return kept


def _prefix(account: str) -> str:
    """How the ids of the tokens of an account begin. They tell nobody whose they are."""
    return hashlib.sha256(account.encode()).hexdigest()[:10] + "-"
