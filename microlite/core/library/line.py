"""A script's line to the platform: it is made anew when it was lost."""

from __future__ import annotations

import asyncio
import copy
import math
from collections import deque
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.network.waiting import Waiting
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.rpc.call import Acceptor, Call
    from microlite.core.rpc.connection import Connection

PATIENCE: Final = 5.0
"""Seconds from its loss in which the platform is waited for: as long as a restart may take. After that a call fails at once,
and still tries."""

AGAIN: Final = 0.02
"""Seconds after which a platform that takes no connection is tried again; each further time it is twice as long."""

LONGEST: Final = 0.5
"""The longest such wait."""

MAX_WAITING: Final = 1_024
"""Calls that wait for the platform."""

MAX_TRIES: Final = 5
"""Connections that one call is offered to."""


class Line:
    """One connection at a time. Where it was lost, the next call makes another, and so does a call that had not started.

    What was sent and not answered ends as unknown, for it may have run, unless it is idempotent.

    Args:
        home: the platform's folder.
        acceptor: answers calls of the platform.

    Attributes:
        closed: done when this was closed, and no connection is made any more.
    """

    def __init__(self, home: Path, acceptor: Acceptor) -> None:
        self._home = home
        self._acceptor = acceptor
        self._connection: Connection | None = None
        self._connections: set[Connection] = set()  # and those before it that still answer
        self._lost = -math.inf
        self._waiting: deque[Waiting] = deque()
        self._dialling: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    async def open(self) -> None:
        """Dial.

        Raises:
            ServiceUnavailable: no platform runs there.
        """
        try:
            connection = await dial(
                str(platform_socket(self._home)), self._acceptor, role="client", on_lost=self._on_lost
            )
        except errors.ServiceUnavailable:
            raise errors.ServiceUnavailable(
                f"no platform runs on {self._home}; start one with `microlite server`, or name another home"
            ) from None
        self._connection = connection
        self._connections.add(connection)

    def start(self, call: Call) -> None:
        """Send a call; it waits where there is no connection just now. Its outcome comes through its own methods."""
        connection = self._connection
        if connection is not None and connection.usable:
            call.resend = self._take_back
            connection.start(call)
        else:
            self._wait(call)

    async def close(self) -> None:
        """Close the connection; calls without an answer end."""
        if not self.closed.done():
            self.closed.set_result(None)
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])
        self._fail_waiting(errors.ServiceUnavailable("this was closed, and cannot be used any more"))
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=1)
        for connection in connections:
            connection.abort()

    def _take_back(self, call: Call, reason: str) -> None:
        """A call that was provably not started: the next connection may have it, but not the one that refused it."""
        connection = self._connection
        refused = connection is not None and connection.usable and connection in call.asked
        if refused or len(call.asked) >= MAX_TRIES:
            call.on_error(errors.ServiceUnavailable(f"{call.service!r} took no call: {reason}"))
        else:
            self.start(call)

    def _on_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._lost = self._loop.time()

    # -- waiting for the platform --------------------------------------------------------------------------------------

    def _wait(self, call: Call) -> None:
        if self.closed.done():
            call.on_error(errors.ServiceUnavailable("this was closed, and cannot be used any more"))
            return
        if len(self._waiting) >= MAX_WAITING:
            call.on_error(errors.TooManyRequests("too many calls wait for the platform; try again"))
            return
        if call.expires == 0.0:
            call.expires = self._loop.time() + call.timeout if call.timeout else math.inf
        waiting = Waiting(call, self._waiting)
        self._waiting.append(waiting)
        if call.expires != math.inf:
            waiting.timer = self._loop.call_at(call.expires, self._expire, waiting)
        if self._dialling is None:
            self._dialling = self._loop.create_task(self._dial_again(), name="microlite: dial the platform again")

    def _expire(self, waiting: Waiting) -> None:
        waiting.fail(errors.Timeout(f"the platform on {self._home} did not come back in time"))

    async def _dial_again(self) -> None:
        delay = AGAIN
        try:
            while self._waiting:
                try:
                    await self.open()
                except errors.ServiceUnavailable as error:
                    # One that still answers what it was asked, and takes no more, is about to leave: its time counts then.
                    if not self._connections and self._loop.time() - self._lost > PATIENCE:
                        self._fail_waiting(error)
                        return
                else:
                    for waiting in list(self._waiting):
                        waiting.release(self.start)
                    if not self._waiting:
                        return
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST)
        except errors.Error as error:
            self._fail_waiting(error)
        finally:
            self._dialling = None

    def _fail_waiting(self, error: errors.Error) -> None:
        for waiting in list(self._waiting):
            waiting.fail(copy.copy(error))
