"""Who calls over a connection, and which connections keep a platform up that was started for a session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN, service_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.rpc.connection import Connection
    from microlite.core.settings import ServerOptions

LINGER: Final = 2.0
"""Seconds after its last session at which a platform ends that was started for one."""

FIRST_SESSION: Final = 10.0
"""Seconds in which such a platform waits for its first session."""


def identify(connection: Connection) -> None:
    """Say of a connection that was opened who calls over it.

    The socket lies in a folder that only this user can enter, and the listener has asked the kernel as well.
    """
    hello = connection.peer
    assert hello is not None
    if hello.role == "node":
        connection.namespace = hello.properties.get("namespace", DEFAULT_NAMESPACE)
        connection.node = hello.properties.get("node", "")
        connection.service = hello.properties.get("service", "")
        connection.account = service_account(connection.service or "node", connection.namespace)
    else:
        connection.account = PLATFORM_ADMIN


class Sessions:
    """The sessions that are open. All calls are on the loop.

    Args:
        options: say whether the platform was started for a session.
        over: called when it was, and has had none for a while.
    """

    def __init__(self, options: ServerOptions, over: Callable[[], None]) -> None:
        self._for_session = options.session
        self._over = over
        self._open: set[Connection] = set()
        self._linger: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The platform is up. Whoever started it for a session may be gone before it has opened one."""
        if self._for_session:
            self._linger = asyncio.get_running_loop().call_later(FIRST_SESSION, self._end_if_none)

    def on_hello(self, connection: Connection) -> None:
        """A connection was opened, which may be that of a session."""
        assert connection.peer is not None
        if "session" in connection.peer.properties:
            self._open.add(connection)
            self.close()

    def on_lost(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._open:
            self._open.discard(connection)
            if self._for_session and not self._open and self._linger is None:
                self._linger = asyncio.get_running_loop().call_later(LINGER, self._end_if_none)

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _end_if_none(self) -> None:
        self._linger = None
        if not self._open:
            self._over()
