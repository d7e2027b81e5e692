"""What all connections of one gateway share."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from microlite.core import errors
from microlite.web.gateway.access import Access
from microlite.web.gateway.answers import Answers
from microlite.web.gateway.metrics import EndpointStats
from microlite.web.gateway.origins import Origins
from microlite.web.gateway.room import Room
from microlite.web.gateway.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Call
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.streams import StreamExchange
    from microlite.web.gateway.table import PathTable, Target
    from microlite.web.gateway.tunnel import Tunnel


class Lease(Protocol):
    """A program that stays up, at its address, until the lease is released."""

    base_url: str
    """Scheme, host and port, without a slash at the end."""

    def begin_stream(self) -> None:
        """The request has become a WebSocket, for whose end nobody needs to wait. Called once at most."""
        ...

    def release(self) -> None:
        """The request is over, or the WebSocket. Called once."""
        ...


class Programs(Protocol):
    """Finds running HTTP programs."""

    async def acquire(self, namespace: str, name: str) -> Lease:
        """A program that takes requests now; waits while one is being replaced by the next.

        Raises:
            ServiceUnavailable: none is up, and none will be soon.
        """
        ...


class Edge:
    """The shared state of a gateway's connections, and its links to the rest of the platform.

    Args:
        options: the settings.
        table: which path leads where.
        send: takes a call; answers through the call's own methods, now or later, and never raises.
        programs: finds the addresses of HTTP programs.
        authority: decides who may do what.
        clock: for dates and ids.
        ready: whether the platform takes requests, for `/readyz`.
    """

    def __init__(
        self,
        options: GatewayOptions,
        table: PathTable,
        send: Callable[[Call], None],
        programs: Programs,
        authority: Authority,
        clock: Clock,
        ready: Callable[[], bool],
    ) -> None:
        self.options = options
        self.table = table
        self.send = send
        self.programs = programs
        self.clock = clock
        self.ready = ready
        self.access = Access(options, authority, clock)
        self.origins = Origins(options)
        self.answers = Answers(clock.now())
        self.workers = Workers()
        self.room = Room(options.max_held)
        self.active = 0
        """Requests that are being answered."""
        self.stopping = False
        self.streams: set[StreamExchange] = set()
        """Calls with streams, and those over WebSockets."""
        self.tunnels: set[Tunnel] = set()
        """WebSockets of programs."""
        self._closed = asyncio.Event()
        self.log = logging.getLogger("microlite.gateway")
        self.access_log = logging.getLogger("microlite.access") if options.access_log else None

    async def emptied(self, connections: set[Any]) -> None:
        """Return when the last connection is closed."""
        while connections:
            self._closed.clear()
            await self._closed.wait()

    def connection_closed(self) -> None:
        """One connection is gone."""
        self._closed.set()

    def stats(self, target: Target | None) -> EndpointStats:
        """The counters of a target; of what reached none, for None."""
        if target is not None:
            return target.stats
        return self.table.stats.setdefault(("", ""), EndpointStats())

    def failed(self, what: str) -> errors.Error:
        """Log the exception that is being handled, and return the error that finds it there."""
        error_id = self.clock.new_id()
        self.log.exception("the gateway failed at %s (%s)", what, error_id)
        return errors.InternalServerError("the gateway failed; its log has the cause under this id", id=error_id)

    def note(self, client: str, method: str, url: bytes, code: int, seconds: float) -> None:
        """Write a line to the access log, if there is one."""
        if self.access_log is not None:
            path = url.decode("ascii", "backslashreplace")
            self.access_log.info('%s "%s %s" %d %.1fms', client, method, path, code, seconds * 1000)
