"""What the dashboard is made over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.auth.one_time_links import OneTimeLinks
    from microlite.core.auth.web_sessions import WebSessions
    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.rpc.call import Call


class LogIn(Protocol):
    """Proves who somebody is."""

    async def __call__(self, namespace: str, id: str, secret: str, address: str) -> Account:
        """The account with this id or name, if that is its secret.

        Args:
            namespace: whose account.
            id: or name.
            secret: of the account.
            address: from which it is tried.

        Raises:
            Unauthorized: it is not, or there is no such account: nobody is told which.
            TooManyRequests: too many tries have failed; the detail says when the next one is looked at.
        """
        ...


class DashboardParts:
    """The dashboard's links to the rest of the platform.

    Args:
        send: takes a call, and answers through the call's own methods; never raises.
        authority: decides who may do what.
        links: tells who comes by a one-time link.
        log_in: proves who somebody is that comes with account and secret.
        on_revoked: takes what is to be called when accounts or tokens hold no more, with their marks.
        sessions: who is logged in.
        admin_token: logs in too, typed by hand.
        clock: for dates and ids.
        home: the platform's folder, as text.
    """

    def __init__(
        self,
        *,
        send: Callable[[Call], None],
        authority: Authority,
        links: OneTimeLinks,
        log_in: LogIn,
        on_revoked: Callable[[Callable[[tuple[str, ...]], None]], None],
        sessions: WebSessions,
        admin_token: str,
        clock: Clock,
        home: str,
    ) -> None:
        self.send = send
        self.authority = authority
        self.links = links
        self.log_in = log_in
        self.on_revoked = on_revoked
        self.sessions = sessions
        self.admin_token = admin_token
        self.clock = clock
        self.home = home
