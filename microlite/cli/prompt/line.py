"""The prompt's own way to the platform: a connection for calls, on a loop of its own, that is renewed when it broke."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core.clock import SystemClock
from microlite.core.library.caller import Caller
from microlite.core.library.peers import Peers, RefuseCalls
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.cli.options import Options
    from microlite.core.rpc.connection import Connection


class Line:
    """Makes calls for objects at the prompt. Everything but `options` belongs to the loop's thread.

    Args:
        options: the global ones: which home, whose services.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._connection: Connection | None = None
        self._peers: Peers | None = None
        self._turn = asyncio.Lock()  # calls that are made at once dial once

    async def caller(self) -> Caller:
        """What makes calls, over a connection that holds.

        Raises:
            ServiceUnavailable: no platform runs.
        """
        async with self._turn:
            if self._connection is None or self._connection.closed.done():
                await self.close()
                connection = await dial(str(platform_socket(self.options.home)), RefuseCalls(), role="client")
                self._connection = connection
                self._peers = Peers(connection, namespace=self.options.namespace, node="shell", clock=SystemClock())
            assert self._peers is not None, "it is made with the connection"
            return Caller(self._peers, namespace=self.options.namespace)

    async def close(self) -> None:
        """Let go of the connection, if there is one."""
        peers, connection = self._peers, self._connection
        self._peers = self._connection = None
        if peers is not None:
            await peers.close()
        if connection is not None:
            connection.close()
            await asyncio.wait([connection.closed], timeout=1)
            connection.abort()
