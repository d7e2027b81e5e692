"""Calls from scripts: a client of the platform on this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """What `connect` gives: nothing before it is entered, one connection after. It can be entered again once left."""

    def __init__(self, home: Path, namespace: str) -> None:
        self._home = home
        self._namespace = namespace
        self._connection: Connection | None = None
        self._peers: Peers | None = None
        self._thread: LoopThread | None = None

    async def __aenter__(self) -> Caller:
        try:
            connection = await dial(str(platform_socket(self._home)), RefuseCalls(), role="client")
        except errors.ServiceUnavailable:
            raise errors.ServiceUnavailable(
                f"no platform runs on {self._home}; start one with `microlite server`, or name another home"
            ) from None
        self._connection = connection
        self._peers = Peers(
            connection,
            namespace=self._namespace,
            node="client",
            clock=SystemClock(),
            socket=platform_socket(self._home),
        )
        return Caller(self._peers, namespace=self._namespace)

    async def __aexit__(self, *exc_info: object) -> None:
        if self._peers is not None:
            await self._peers.close()
        if self._connection is not None:
            self._connection.close()
            await asyncio.wait([self._connection.closed], timeout=1)
            self._connection.abort()

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
