"""Calls from scripts: a client of the platform on this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.library.bridge import Bridge
from microlite.core.library.caller import Caller
from microlite.core.library.loop_thread import LoopThread
from microlite.core.library.peers import Peers, RefuseCalls
from microlite.core.library.placement import default_home
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.core.rpc.connection import Connection

AGAIN: Final = 0.1
"""Seconds after which a platform that is gone is looked for; each further time it is twice as long."""

LONGEST: Final = 2.0
"""The longest such wait."""


def connect(home: str | os.PathLike[str] | None = None, *, namespace: str = "") -> Client:
    """A client of the platform that runs on this machine.

    `with microlite.connect() as m:` gives blocking calls, `async with microlite.connect() as m:` awaitable ones; both have
    `call`, `stream`, `client` and `options`, as a handler's context has.

    Args:
        home: the platform's folder; without it `MICROLITE_HOME`, else `~/.microlite`.
        namespace: whose services are called; without it `MICROLITE_NAMESPACE`, else the default one.
    """
    folder = Path(home or os.environ.get("MICROLITE_HOME") or default_home()).expanduser()
    return Client(folder, namespace or os.environ.get("MICROLITE_NAMESPACE") or DEFAULT_NAMESPACE)


class Client:
    """What `connect` gives: nothing before it is entered, one connection after. It can be entered again once left.

    A platform that is restarted meanwhile is found again: calls fail until then, and work from then on.
    """

    def __init__(self, home: Path, namespace: str) -> None:
        self._home = home
        self._namespace = namespace
        self._connection: Connection | None = None
        self._peers: list[Peers] = []
        self._finding: asyncio.Task[None] | None = None
        self._thread: LoopThread | None = None

    async def __aenter__(self) -> Caller:
        try:
            connection = await dial(str(platform_socket(self._home)), RefuseCalls(), role="client")
        except errors.ServiceUnavailable:
            raise errors.ServiceUnavailable(
                f"no platform runs on {self._home}; start one with `microlite server`, or name another home"
            ) from None
        line = _Line(self._use(connection))
        self._finding = asyncio.create_task(self._find_again(line), name="microlite: find the platform again")
        return Caller(line, namespace=self._namespace)

    async def __aexit__(self, *exc_info: object) -> None:
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        for peers in self._peers:
            await peers.close()
        self._peers.clear()
        if self._connection is not None:
            self._connection.close()
            await asyncio.wait([self._connection.closed], timeout=1)
            self._connection.abort()

    def _use(self, connection: Connection) -> Peers:
        self._connection = connection
        socket = platform_socket(self._home)
        peers = Peers(connection, namespace=self._namespace, node="client", clock=SystemClock(), socket=socket)
        self._peers.append(peers)
        return peers

    async def _find_again(self, line: _Line) -> None:
        """Connect anew whenever the connection is lost. What is under way to nodes over the old one's peers goes on."""
        while self._connection is not None:
            await asyncio.wait([self._connection.closed])
            delay = AGAIN
            while True:
                await asyncio.sleep(delay)
                try:
                    connection = await dial(str(platform_socket(self._home)), RefuseCalls(), role="client")
                except errors.Error:
                    delay = min(2 * delay, LONGEST)
                else:
                    break
            line.use(self._use(connection))

    def __enter__(self) -> Any:
        self._thread = LoopThread().start()
        try:
            caller = self._thread.run(self.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        return Bridge(caller, self._thread.loop)

    def __exit__(self, *exc_info: object) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self.__aexit__())
        finally:
            self._thread.stop()


class _Line:
    """The transport of a script: the peers of the connection that there is now."""

    def __init__(self, peers: Peers) -> None:
        self.loop = peers.loop
        self.use(peers)

    def use(self, peers: Peers) -> None:
        """Go by these from now on."""
        self._peers = peers
        self.send = peers.send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peers, name)
