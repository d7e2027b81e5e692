"""From a token to the account it stands for: from memory, or else from its signature and records."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.marks import account_mark, is_personal, personal_mark
from microlite.core.auth.opaque_tokens import PERSONAL, REFRESH, parse_opaque
from microlite.core.auth.personal_tokens import TOUCH
from microlite.core.auth.records import REVOKED
from microlite.core.context import PLATFORM_ADMIN, PLATFORM_NAMESPACE, Account
from microlite.core.policy.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.auth.accounts import Accounts
    from microlite.core.auth.log_ins import LogIns
    from microlite.core.auth.marks import Marks
    from microlite.core.auth.opaque_tokens import Opaque
    from microlite.core.auth.personal_tokens import PersonalTokens
    from microlite.core.auth.signed_tokens import SignedTokens
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

MOST_REMEMBERED: Final = 10_000
"""Tokens that are remembered with whom they stand for; those that were not shown for longest are forgotten first."""

MOST_AT_ONCE: Final = 1_000
"""Tokens that are being proven at the same moment; more are refused."""

MADE_FOR: Final = 900.0
"""Seconds that a token holds which was made by `token_for`."""

MOST_MADE: Final = 4_096


class _Entry(msgspec.Struct, gc=False):
    account: Account
    identity: Identity
    until: float


class Authenticator:
    """Says whom a token stands for.

    Args:
        engine: has the ids of signed tokens that were ended one by one.
        tokens: prove signatures, and make tokens.
        accounts: say whether an account is still there.
        log_ins: say whether a log-in has ended.
        personal: has the personal access tokens.
        marks: say what holds no more of what was proven before.
        admin_token: stands for the platform's admin; empty for none.
        clock: the time.
    """

    def __init__(
        self,
        engine: Engine,
        tokens: SignedTokens,
        accounts: Accounts,
        log_ins: LogIns,
        personal: PersonalTokens,
        marks: Marks,
        admin_token: str,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._accounts = accounts
        self._log_ins = log_ins
        self._personal = personal
        self._marks = marks
        self._admin_token = admin_token.encode()
        self._now = clock.now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._by_mark: dict[str, set[str]] = {}
        self._flights: dict[str, asyncio.Task[Identity]] = {}
        self._made: OrderedDict[tuple[object, ...], tuple[str, float]] = OrderedDict()
        marks.subscribe(self._forget)

    def known(self, token: str) -> Account | None:
        """The account of a token that was proven before and holds still; None says to ask `authenticate`. From memory."""
        entry = self._entries.get(token)
        if entry is None or entry.until <= self._now():
            return None
        self._entries.move_to_end(token)
        return entry.account

    async def authenticate(self, token: str) -> Identity:
        """Whom a token stands for.

        Raises:
            Unauthorized: for nobody, or no more.
            ServiceUnavailable: too many tokens are being proven.
        """
        entry = self._entries.get(token)
        if entry is not None and entry.until > self._now():
            self._entries.move_to_end(token)
            return entry.identity
        flight = self._flights.get(token)
        if flight is None:
            if len(self._flights) >= MOST_AT_ONCE:
                raise errors.ServiceUnavailable("too many tokens are being checked; try again")
            flight = asyncio.create_task(self._prove(token), name="microlite: prove a token")
            self._flights[token] = flight
            flight.add_done_callback(lambda _: self._flights.pop(token, None))
            flight.add_done_callback(_seen)
        return await asyncio.shield(flight)

    async def account(self, token: str) -> Account:
        """The account of a token. See `authenticate`."""
        return self.known(token) or (await self.authenticate(token)).as_account()

    def marks_of(self, account: Account, token: str = "") -> tuple[str, ...]:
        """What ends, when it is revoked, what was begun as this account by a token that it has shown, if it has."""
        entry = self._entries.get(token) if token else None
        return entry.identity.marks if entry is not None else self._marks_of(account)

    def token_for(self, account: Account, token: str = "") -> str:
        """A signed token for an account whose caller has shown none that could travel. It holds for ten minutes at least.

        It ends with whatever the caller has shown, if that is earlier, and with the account.

        Args:
            account: who it is, as it was found out a moment ago.
            token: what it has shown; empty where that was no token.
        """
        now = self._now()
        entry = self._entries.get(token) if token else None
        marks = self.marks_of(account, token)
        lifetime = min(MADE_FOR, entry.identity.expires - now) if entry is not None and marks else MADE_FOR
        key = (account.namespace, account.type, account.id, account.name, account.scopes, marks)
        made = self._made.get(key)
        if made is not None and made[1] > now:
            self._made.move_to_end(key)
            return made[0]
        signed = self._tokens.sign(account, lifetime, marks)
        self._made[key] = (signed.token, now + lifetime / 3)
        if len(self._made) > MOST_MADE:
            self._made.popitem(last=False)
        return signed.token

    def is_lasting(self, token: str) -> bool:
        """Whether a signed token stands for a personal access token, which a program has and no person.

        Raises:
            Unauthorized: it holds no more.
        """
        return any(is_personal(mark) for mark in self._tokens.prove(token).identity.marks)

    def forget_namespace(self, namespace: str) -> None:
        """Forget all that was proven of a namespace, which is deleted: whoever comes again is asked for his record."""
        for token, entry in list(self._entries.items()):
            if entry.account.namespace == namespace:
                self._drop(token)
        for key in [key for key in self._made if key[0] == namespace]:
            del self._made[key]

    def _marks_of(self, account: Account) -> tuple[str, ...]:
        """The marks of the account itself. One that is not known to be there gets one that does not hold."""
        if (account.namespace, account.id) == (PLATFORM_ADMIN.namespace, PLATFORM_ADMIN.id):
            return ()
        stamp = self._accounts.stamp(account.namespace, account.id)
        if stamp is None:
            return () if account.is_service else (account_mark("unknown"),)
        return (account_mark(stamp),)

    # -- proofs --------------------------------------------------------------------------------------------------------

    async def _prove(self, token: str) -> Identity:
        if self._admin_token and hmac.compare_digest(token.encode("utf-8", "replace"), self._admin_token):
            identity = _admin(self._now() + TOUCH)
            self._remember(token, identity, identity.expires)
            return identity
        opaque = parse_opaque(token)
        if opaque is None:
            proven = self._tokens.prove(token)
            await self._check(proven.identity, proven.id)
            identity, until = proven.identity, proven.identity.expires
        elif opaque.kind == PERSONAL:
            identity = await self._prove_personal(opaque)
            until = min(identity.expires, self._now() + TOUCH)
        elif opaque.kind == REFRESH:
            raise errors.Unauthorized(
                "a refresh token opens nothing by itself: auth.token gives an access token for it"
            )
        else:
            raise errors.Unauthorized("the token is not valid")
        if self._marks.are_revoked(identity.marks):  # while the records were read
            raise errors.Unauthorized("the token holds no more; log in again")
        self._remember(token, identity, until)
        return identity

    async def _prove_personal(self, token: Opaque) -> Identity:
        kept = await self._personal.prove(token)
        stored = await self._accounts.find(token.namespace, kept.account) if kept is not None else None
        if kept is None or stored is None:
            raise errors.Unauthorized("the token is not valid")
        if stored.disabled:
            raise errors.Unauthorized("the account of this token is disabled")
        has = stored.all_scopes
        return Identity(
            account=stored.id,
            type=stored.type,
            name=stored.name,
            namespace=token.namespace,
            scopes=tuple(scope for scope in kept.scopes if scope in has),
            metadata=stored.metadata,
            expires=kept.expires,
            marks=(account_mark(stored.stamp), personal_mark(token.id)),
        )

    async def _check(self, identity: Identity, id: str) -> None:
        """Ask the records whether a signed token, and what it was made for, still holds."""
        namespace = identity.namespace
        stored: bool = await self._engine.get(namespace, REVOKED, id) is None
        for mark in identity.marks:
            kind, _, value = mark.partition(":")
            if kind == "account":
                found = await self._accounts.find(namespace, identity.account)
                stored = stored and found is not None and not found.disabled and found.stamp == value
            elif kind == "family":
                stored = stored and await self._log_ins.find(namespace, value) is not None
            elif kind == "personal":
                stored = stored and await self._personal.find(namespace, value) is not None
        if not stored:
            raise errors.Unauthorized("the token holds no more; log in again")

    # -- memory --------------------------------------------------------------------------------------------------------

    def _remember(self, token: str, identity: Identity, until: float) -> None:
        self._drop(token)
        self._entries[token] = _Entry(identity.as_account(), identity, until)
        for mark in identity.marks:
            self._by_mark.setdefault(mark, set()).add(token)
        if len(self._entries) > MOST_REMEMBERED:
            self._drop(next(iter(self._entries)))

    def _forget(self, marks: Sequence[str]) -> None:
        for mark in marks:
            for token in tuple(self._by_mark.get(mark, ())):
                self._drop(token)
        gone = set(marks)
        for key in [key for key in self._made if not gone.isdisjoint(key[5])]:  # type: ignore[arg-type]  # the marks
            del self._made[key]

    def _drop(self, token: str) -> None:
        entry = self._entries.pop(token, None)
        if entry is None:
            return
        for mark in entry.identity.marks:
            tokens = self._by_mark.get(mark)
            if tokens is not None:
                tokens.discard(token)
                if not tokens:
                    del self._by_mark[mark]


def _admin(until: float) -> Identity:
    return Identity(
        account=PLATFORM_ADMIN.id, namespace=PLATFORM_NAMESPACE, scopes=PLATFORM_ADMIN.scopes, expires=until
    )


def _seen(flight: asyncio.Task[Identity]) -> None:
    if not flight.cancelled():
        flight.exception()  # whoever waits hears of it; if nobody waits any more, nobody needs to
