"""Who is logged in at the dashboard: sessions that end by themselves, and survive a restart of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.auth.secret_keys import key_of, new_secret
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN, PLATFORM_NAMESPACE, Account
from microlite.core.engine.api import Batch, Delete, Put

if TYPE_CHECKING:
    from microlite.core.auth.accounts import Accounts
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

BUCKET: Final = "auth.sessions"
"""The records of sessions."""

IDLE: Final = 12 * 3600.0
"""Seconds without a request after which a session ends."""

LONGEST: Final = 7 * 24 * 3600.0
"""Seconds after which it ends, used or not."""

TOUCH: Final = 60.0
"""Seconds between two notes that a session is in use: reading a page costs no write each time."""


class WebSession(msgspec.Struct, frozen=True, kw_only=True):
    """One log-in.

    Attributes:
        account: who is logged in.
        namespace: whose services are shown.
        began: when, in seconds since the Unix epoch.
        seen: when it was last noted to be in use.
        stamp: of the account, when it logged in; empty for the platform's own admin. See `StoredAccount`.
    """

    account: Account
    namespace: str = DEFAULT_NAMESPACE
    began: float
    seen: float
    stamp: str = ""


class WebSessions:
    """Opens, finds and ends sessions. A browser carries the secret of its session in a cookie; here is only its hash.

    The session of an account ends with the account: when it is deleted or disabled, or gets other scopes or another secret.

    Args:
        engine: keeps them.
        clock: says when one has ended.
        accounts: say whether an account is still what it was.
    """

    def __init__(self, engine: Engine, clock: Clock, accounts: Accounts) -> None:
        self._engine = engine
        self._clock = clock
        self._accounts = accounts

    async def open(self, account: Account, namespace: str = DEFAULT_NAMESPACE) -> str:
        """Log an account in. Returns the secret of the session.

        Raises:
            Unauthorized: the account is not there any more, or kept out.
        """
        stamp = await self._stamp(account)
        if stamp is None:
            raise errors.Unauthorized("this account is not there any more, or disabled")
        secret, now = new_secret(), self._clock.now()
        session = WebSession(account=account, namespace=namespace, began=now, seen=now, stamp=stamp)
        await self._keep(key_of(secret), session)
        return secret

    async def find(self, secret: str) -> WebSession | None:
        """The session with this secret, if it has not ended; it is in use from now on."""
        key = key_of(secret)
        record = await self._engine.get(PLATFORM_NAMESPACE, BUCKET, key)
        if record is None:
            return None
        session = msgspec.msgpack.decode(record.value, type=WebSession)
        if not await self._holds(session):
            await self.end(secret)
            return None
        now = self._clock.now()
        if now - session.seen >= TOUCH:
            session = msgspec.structs.replace(session, seen=now)
            await self._keep(key, session)
        return session

    async def lasts(self, secret: str) -> bool:
        """Whether the session has not ended; asking is no use of it."""
        record = await self._engine.get(PLATFORM_NAMESPACE, BUCKET, key_of(secret))
        return record is not None and await self._holds(msgspec.msgpack.decode(record.value, type=WebSession))

    async def end(self, secret: str) -> None:
        """Log out. A session that has ended is no error."""
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Delete(BUCKET, key_of(secret)),)))

    async def _holds(self, session: WebSession) -> bool:
        return await self._stamp(session.account) == session.stamp

    async def _stamp(self, account: Account) -> str | None:
        """The stamp of an account that may act now with all of these scopes; None for any other."""
        if (account.namespace, account.id) == (PLATFORM_ADMIN.namespace, PLATFORM_ADMIN.id):
            return ""
        stored = await self._accounts.find(account.namespace, account.id)
        if stored is None or stored.disabled or not set(account.scopes) <= set(stored.all_scopes):
            return None
        return stored.stamp

    async def _keep(self, key: str, session: WebSession) -> None:
        expires = min(session.seen + IDLE, session.began + LONGEST)
        put = Put(BUCKET, key, msgspec.msgpack.encode(session), expires_at=expires)
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (put,)))
