"""An HTTP server over one port: it takes connections, looks after them, and ends them without losing what is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from microlite.web.gateway.embedded import prepare_uvicorn

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, MutableMapping

    from microlite.core.clock import Timer
    from microlite.web.gateway.cycle import Receive, Send
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.protocol import GatewayProtocol

    App = Callable[[MutableMapping[str, Any], Receive, Send], Any]


class Serving:
    """Serves an ASGI app with the gateway's protocol.

    Args:
        edge: what all connections share; its bounds hold for them.
        app: takes what the protocol does not answer by itself.
    """

    def __init__(self, edge: Edge, app: App) -> None:
        self._edge = edge
        self._app = app
        self.connections: set[GatewayProtocol] = set()
        """Those that are open."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._round: Timer | None = None

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Take connections from a bound socket, which is closed at the end.

        Args:
            listener: the socket.
            tls: with which they are encrypted; None for not.
        """
        prepare_uvicorn()
        from uvicorn.config import Config
        from uvicorn.server import ServerState

        from microlite.web.gateway.protocol import GatewayProtocol

        loop = asyncio.get_running_loop()
        state: Any = ServerState()
        state.connections, state.tasks = self.connections, self._tasks
        config = Config(
            self._app,
            http=GatewayProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            forwarded_allow_ips="",
            workers=1,
        )
        config.load()
        edge = self._edge
        times: dict[str, Any] = {}
        if tls is not None:
            times = {"ssl_handshake_timeout": edge.options.head_timeout, "ssl_shutdown_timeout": edge.options.linger}
        self._server = await loop.create_server(
            lambda: GatewayProtocol(edge, config, state, loop), sock=listener, ssl=tls, **times
        )
        self._go_round()

    async def stop(self, grace: float, end_streams: Callable[[], None]) -> None:
        """Take no more connections, let requests under way finish, then close. Idempotent.

        Args:
            grace: seconds that requests under way may still take; what is left then is cut off.
            end_streams: ends what would last for ever, once no more connections are taken.
        """
        server, self._server = self._server, None
        if server is None:
            return
        self._edge.stopping = True
        server.close()
        for connection in list(self.connections):
            connection.shutdown()
        end_streams()
        try:
            async with asyncio.timeout(grace):
                await self._edge.emptied(self.connections)
        except TimeoutError:
            for connection in list(self.connections):
                connection.transport.abort()
            await self._edge.emptied(self.connections)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._round is not None:
            self._round.cancel()

    def _go_round(self) -> None:
        """Renew the date, and end what has lasted too long, on all connections; then again."""
        options = self._edge.options
        self._edge.answers.tick(self._edge.clock.now())
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.sweep(now)
        shortest = min(
            *(options.head_timeout, options.body_timeout, options.write_timeout, options.keep_alive, options.linger),
            *(options.ping, options.pong),
        )
        self._round = self._edge.clock.call_later(min(1.0, shortest / 4), self._go_round)
