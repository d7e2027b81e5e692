"""Calls from scripts: a client of the platform on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from microlite.core.clock import SystemClock
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.library.bridge import Bridge
from microlite.core.library.caller import Caller
from microlite.core.library.line import Line
from microlite.core.library.loop_thread import LoopThread
from microlite.core.library.peers import Peers, RefuseCalls
from microlite.core.library.placement import default_home
from microlite.core.rpc.paths import platform_socket


def connect(home: str | os.PathLike[str] | None = None, *, namespace: str = "") -> Client:
    """A client of the platform that runs on this machine.

    `with microlite.connect() as m:` gives blocking calls, `async with microlite.connect() as m:` awaitable ones; both have
    `call`, `stream`, `client` and `options`, as a handler's context has. Entering it fails at once where no platform runs.
    One that is restarted later is found again: calls wait up to five seconds for it, and what was sent to the old one and
    not answered ends as `OutcomeUnknown`.

    Args:
        home: the platform's folder; without it `MICROLITE_HOME`, else `~/.microlite`.
        namespace: whose services are called; without it `MICROLITE_NAMESPACE`, else the default one.
    """
    folder = Path(home or os.environ.get("MICROLITE_HOME") or default_home()).expanduser()
    return Client(folder, namespace or os.environ.get("MICROLITE_NAMESPACE") or DEFAULT_NAMESPACE)


class Client:
    """What `connect` gives: nothing before it is entered, then a line to the platform. It can be entered again once left."""

    def __init__(self, home: Path, namespace: str) -> None:
        self._home = home
        self._namespace = namespace
        self._line: Line | None = None
        self._peers: Peers | None = None
        self._thread: LoopThread | None = None

    async def __aenter__(self) -> Caller:
        self._line = Line(self._home, RefuseCalls())
        await self._line.open()
        self._peers = Peers(
            self._line,
            namespace=self._namespace,
            node="client",
            clock=SystemClock(),
            socket=platform_socket(self._home),
        )
        return Caller(self._peers, namespace=self._namespace)

    async def __aexit__(self, *exc_info: object) -> None:
        if self._peers is not None:
            await self._peers.close()
        if self._line is not None:
            await self._line.close()

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
