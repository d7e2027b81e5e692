"""Logging in: from an id and a secret, or a refresh token, to tokens; and out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.auth.api import Token
from microlite.core.auth.marks import LONGEST, account_mark, family_mark, token_mark
from microlite.core.auth.opaque_tokens import PERSONAL, REFRESH, parse_opaque
from microlite.core.auth.records import REVOKED
from microlite.core.auth.to_the_end import to_the_end
from microlite.core.engine.api import Batch, Put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from microlite.core.audit.log_ins import LogInAudit
    from microlite.core.auth.accounts import Accounts
    from microlite.core.auth.log_ins import LogIns
    from microlite.core.auth.passwords import Passwords
    from microlite.core.auth.records import StoredAccount
    from microlite.core.auth.signed_tokens import Proven, SignedTokens
    from microlite.core.auth.throttle import Throttle
    from microlite.core.context import Account, Origin
    from microlite.core.engine.api import Engine

ACCESS: Final = 900.0
"""Seconds that an access token holds where nobody says otherwise."""

SHORTEST: Final = 10.0


class LogIn:
    """The ways in and out.

    Whoever fails is told the same, and as late, whether there is such an account or not.

    Args:
        engine: keeps which signed tokens were ended.
        accounts: who there is.
        passwords: check secrets.
        log_ins: what can be renewed.
        tokens: sign.
        throttle: refuses whoever tries too often.
        revoke: returns when marks hold no more, on any node.
        audit: writes down who logs in, and who fails.
    """

    def __init__(
        self,
        engine: Engine,
        accounts: Accounts,
        passwords: Passwords,
        log_ins: LogIns,
        tokens: SignedTokens,
        throttle: Throttle,
        revoke: Callable[[Sequence[str]], Awaitable[None]],
        audit: LogInAudit,
    ) -> None:
        self._engine = engine
        self._accounts = accounts
        self._passwords = passwords
        self._log_ins = log_ins
        self._tokens = tokens
        self._throttle = throttle
        self._revoke = revoke
        self._audit = audit

    async def check(self, namespace: str, id: str, secret: str, address: str = "") -> StoredAccount:
        """The account with this id or name, and this secret.

        Args:
            namespace: whose account.
            id: or name.
            secret: of the account.
            address: from where; empty for this machine's own socket.

        Raises:
            Unauthorized: there is none, it is disabled, or the secret is another one.
            TooManyRequests: there were too many attempts, or too many log in at this moment.
        """
        try:
            account = await self._check(namespace, id, secret, address)
        except (errors.Unauthorized, errors.TooManyRequests) as error:
            await self._audit.failed(namespace, id, address, error)
            raise
        await self._audit.succeeded(namespace, account.id, address)
        return account

    async def _check(self, namespace: str, id: str, secret: str, address: str) -> StoredAccount:
        account = await self._accounts.find_by_name(namespace, id)
        subject = _subject(namespace, account, id)
        self._throttle.begin(subject, address)
        usable = account is not None and account.hash and not account.disabled
        kept = account.hash if account is not None and usable else None
        if not await self._passwords.verify(kept, secret) or account is None:
            raise errors.Unauthorized("the id or the secret is not correct")
        self._throttle.succeed(subject, address)
        if self._passwords.is_outdated(account.hash):
            await self._accounts.rehash(namespace, account, secret)
        return account

    async def account(self, namespace: str, id: str, secret: str, address: str) -> Account:
        """The account with this id or name, and this secret, as it acts. See `check`."""
        return (await self.check(namespace, id, secret, address)).account(namespace)

    async def by_secret(
        self,
        namespace: str,
        id: str,
        secret: str,
        *,
        address: str = "",
        lifetime: float = ACCESS,
        renewable: bool = True,
    ) -> Token:
        """Tokens for whoever knows the secret of an account. See `check`."""
        lifetime = _check_lifetime(lifetime)
        account = await self.check(namespace, id, secret, address)
        if not renewable:
            return self._token(namespace, account, "", lifetime)
        family, refresh, until = await self._log_ins.begin(namespace, account)
        return self._token(namespace, account, family, lifetime, refresh, until)

    async def by_refresh_token(self, token: str, *, lifetime: float = ACCESS) -> Token:
        """Tokens for whoever has a refresh token, which is spent by it.

        Raises:
            Unauthorized: it does not hold.
        """
        lifetime = _check_lifetime(lifetime)
        parsed = parse_opaque(token)
        if parsed is None or parsed.kind != REFRESH:
            raise errors.Unauthorized("the refresh token is not valid")
        family, kept, refresh, until = await self._log_ins.renew(parsed)
        account = await self._accounts.find(parsed.namespace, kept.account)
        if account is None or account.disabled or account.stamp != kept.stamp:
            await self._log_ins.end(parsed.namespace, family)
            raise errors.Unauthorized("the log-in has ended; log in again")
        return self._token(parsed.namespace, account, family, lifetime, refresh, until)

    async def change_secret(self, origin: Origin, actor: Account, id: str, new_secret: str, old_secret: str) -> None:
        """Give an account another secret. See `Accounts.change_secret`; tries of the old one count as attempts to log in."""
        found = await self._accounts.find_by_name(origin.namespace, id)
        subject = _subject(origin.namespace, found, id)
        if old_secret:
            self._throttle.begin(subject, "")
        await self._accounts.change_secret(origin, actor, id, new_secret, old_secret)
        self._throttle.succeed(subject, "")

    async def out(self, token: str) -> None:
        """End the log-in of a token, or a token by itself. One that has ended is no error.

        Raises:
            BadRequest: it is none, or one that has to be deleted by its id.
        """
        parsed = parse_opaque(token)
        if parsed is None:
            try:
                proven = self._tokens.prove(token)
            except errors.Unauthorized:
                raise errors.BadRequest("that is no token that a log-in gave, or it has expired") from None
            namespace = proven.identity.namespace
            families = [mark.partition(":")[2] for mark in proven.identity.marks if mark.startswith("family:")]
            for family in families:
                await self._log_ins.end(namespace, family)
            if not families:
                await to_the_end(self._end_one(namespace, proven), "end a token")
        elif parsed.kind == REFRESH:
            await self._log_ins.end_by(parsed)
        elif parsed.kind == PERSONAL:
            raise errors.BadRequest("a personal access token is ended by auth.tokens.delete, with its id")
        else:
            raise errors.BadRequest("that is no token that a log-in gave")

    async def _end_one(self, namespace: str, proven: Proven) -> None:
        put = Put(REVOKED, proven.id, b"", expires_at=proven.identity.expires + LONGEST)
        await self._engine.commit(Batch(namespace, (put,)))
        await self._revoke((token_mark(proven.id),))

    def _token(
        self,
        namespace: str,
        account: StoredAccount,
        family: str,
        lifetime: float,
        refresh: str = "",
        until: float = 0.0,
    ) -> Token:
        marks = [account_mark(account.stamp), *([family_mark(family)] if family else [])]
        signed = self._tokens.sign(account.account(namespace), lifetime, marks)
        return Token(
            access_token=signed.token,
            refresh_token=refresh,
            created=signed.created,
            expires=signed.expires,
            refresh_expires=until,
        )


def _subject(namespace: str, account: StoredAccount | None, name: str) -> str:
    """Whose attempts are counted: those by id and by name are the same account's."""
    return f"{namespace[:256]}/{account.id if account is not None else name[:256].strip().casefold()}"


def _check_lifetime(lifetime: float) -> float:
    if not SHORTEST <= lifetime <= LONGEST:
        raise errors.BadRequest(f"expires_in: between {SHORTEST:.0f} and {LONGEST:.0f} seconds")
    return lifetime
