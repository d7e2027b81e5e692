"""The gateway as a part of the platform: it binds, answers, and stops without losing what is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.web.gateway.edge import Edge
from microlite.web.gateway.embedded import prepare_uvicorn
from microlite.web.gateway.ports import bind

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from microlite.core.clock import Clock, Timer
    from microlite.core.rpc.call import Call
    from microlite.web.gateway.app import GatewayApp
    from microlite.web.gateway.cycle import Receive, Send
    from microlite.web.gateway.edge import Programs
    from microlite.web.gateway.options import GatewayOptions
    from microlite.web.gateway.protocol import GatewayProtocol
    from microlite.web.gateway.table import PathTable

    App = Callable[[MutableMapping[str, Any], Receive, Send], Any]


class Gateway:
    """The HTTP server of the platform, within a running loop.

    Args:
        options: the settings.
        table: which path leads where; whoever hears of services keeps it up to date.
        send: takes a call, and answers through the call's own methods; never raises.
        programs: finds the addresses of HTTP programs.
        admin_token: opens built-in endpoints and `/metrics`; empty opens them to nobody.
        clock: for dates, ids and the regular round over all connections.
        ready: whether the platform takes requests, for `/readyz`.
    """

    def __init__(
        self,
        options: GatewayOptions,
        *,
        table: PathTable,
        send: Callable[[Call], None],
        programs: Programs,
        admin_token: str,
        clock: Clock,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.edge = Edge(options, table, send, programs, admin_token, clock, ready)
        self.port = 0
        """The port that is bound, from `start` on."""
        self._app: GatewayApp | None = None
        self._state: Any = None
        self._server: asyncio.Server | None = None
        self._round: Timer | None = None

    @property
    def url(self) -> str:
        """Where the gateway is reached from this machine."""
        host = self.edge.options.host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "localhost"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Bind the port and take requests.

        Raises:
            PortTaken: another program holds the port; the detail names it.
            Error: the address cannot be bound.
        """
        options = self.edge.options
        listener = bind(options.host, options.port)
        prepare_uvicorn()
        from uvicorn.config import Config
        from uvicorn.server import ServerState

        from microlite.web.gateway.app import GatewayApp
        from microlite.web.gateway.protocol import GatewayProtocol

        loop = asyncio.get_running_loop()
        self._app = GatewayApp(self.edge)
        self._state = state = ServerState()
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

        def connect() -> GatewayProtocol:
            return GatewayProtocol(self.edge, config, state, loop)

        self._server = await loop.create_server(connect, sock=listener)
        self.port = listener.getsockname()[1]
        self._go_round()

    async def stop(self, grace: float = 10.0) -> None:
        """Take no more connections, let requests under way finish, then close. Idempotent.

        Streams are ended at once, with an error that tells their clients to connect again.

        Args:
            grace: seconds that requests under way may still take; what is left then is cut off.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        self.edge.stopping = True
        server.close()
        for connection in self._connections():
            connection.shutdown()
        ending = errors.ServiceUnavailable("the platform is stopping; connect again", id="gateway")
        for stream in list(self.edge.streams):
            stream.give_up(ending)
        try:
            async with asyncio.timeout(grace):
                await self.edge.emptied(self._state.connections)
        except TimeoutError:
            for connection in self._connections():
                connection.transport.abort()
            await self.edge.emptied(self._state.connections)
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        if self._round is not None:
            self._round.cancel()
        if self._app is not None:
            await self._app.close()
        self.edge.compressor.close()

    def _connections(self) -> list[GatewayProtocol]:
        return list(self._state.connections)

    def _go_round(self) -> None:
        """Renew the date, and end what has lasted too long, on all connections; then again."""
        options = self.edge.options
        self.edge.answers.tick(self.edge.clock.now())
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.sweep(now)
        shortest = min(
            options.head_timeout, options.body_timeout, options.write_timeout, options.keep_alive, options.linger
        )
        self._round = self.edge.clock.call_later(min(1.0, shortest / 4), self._go_round)
