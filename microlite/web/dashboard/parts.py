"""What the dashboard is made over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.auth.one_time_links import OneTimeLinks
    from microlite.core.auth.web_sessions import WebSessions
    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Call


class DashboardParts:
    """The dashboard's links to the rest of the platform.

    Args:
        send: takes a call, and answers through the call's own methods; never raises.
        authority: decides who may do what.
        links: tells who comes by a one-time link.
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
        sessions: WebSessions,
        admin_token: str,
        clock: Clock,
        home: str,
    ) -> None:
        self.send = send
        self.authority = authority
        self.links = links
        self.sessions = sessions
        self.admin_token = admin_token
        self.clock = clock
        self.home = home
