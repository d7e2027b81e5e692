"""The dashboard as a part of the platform: it takes its port at once, and loads its libraries when there is time.

Litestar and Jinja cost more to import than all that the gateway needs. So the port is bound before anything is loaded, and
browsers that come early wait in its queue until `start` has done the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.settings import DASHBOARD_OFFSET, DEFAULT_PORT
from microlite.web.dashboard.options import DashboardOptions
from microlite.web.gateway.edge import Edge
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.ports import PortTaken, bind
from microlite.web.gateway.table import PathTable

if TYPE_CHECKING:
    import socket

    from microlite.core.rpc.call import Call
    from microlite.core.settings import ServerOptions
    from microlite.web.dashboard.app import DashboardApp
    from microlite.web.dashboard.parts import DashboardParts
    from microlite.web.gateway.edge import Lease
    from microlite.web.gateway.protocol import GatewayProtocol


class Dashboard:
    """The HTTP server of the dashboard, within a running loop. It binds its port when it is made.

    Args:
        options: the settings.

    Raises:
        PortTaken: another program holds the port; the detail names it.
        Error: the address cannot be bound.
    """

    def __init__(self, options: DashboardOptions) -> None:
        self.options = options
        self.started = asyncio.Event()
        """Set when it answers."""
        self._listener: socket.socket | None = bind(options.host, options.port)
        self.port: int = self._listener.getsockname()[1]
        self._app: DashboardApp | None = None
        self._edge: Edge | None = None
        self._state: Any = None
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is reached from this machine, without a slash at the end."""
        host = self.options.host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "localhost"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self, parts: DashboardParts, gateway: str) -> None:
        """Load the libraries, in a thread, and answer from then on.

        Args:
            parts: what it is made over.
            gateway: the URL of the gateway, without a slash at the end.
        """
        app = self._app = await asyncio.to_thread(_load, self.options, parts, self.url, gateway)
        from uvicorn.config import Config
        from uvicorn.server import ServerState

        from microlite.web.gateway.protocol import GatewayProtocol

        if self._listener is None:
            return  # the platform has ended meanwhile
        loop = asyncio.get_running_loop()
        edge = self._edge = _edge(self.options, parts)
        self._state = state = ServerState()
        config = Config(
            app,
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
        listener, self._listener = self._listener, None
        self._server = await loop.create_server(lambda: GatewayProtocol(edge, config, state, loop), sock=listener)
        self._sweep()
        self.started.set()

    async def stop(self) -> None:
        """Take no more connections, end the live streams, let requests under way finish, then close. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        server, self._server = self._server, None
        if server is None or self._edge is None or self._app is None:
            return
        self._edge.stopping = True
        server.close()
        self._app.stopping.set()
        for connection in self._connections():
            connection.shutdown()
        try:
            async with asyncio.timeout(self.options.grace):
                await self._edge.emptied(self._state.connections)
        except TimeoutError:
            for connection in self._connections():
                connection.transport.abort()
            await self._edge.emptied(self._state.connections)
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    def _connections(self) -> list[GatewayProtocol]:
        return list(self._state.connections) if self._state is not None else []

    def _sweep(self) -> None:
        """Renew the date, and end connections that have lasted too long; then again."""
        if self._server is None or self._edge is None:
            return
        self._edge.answers.tick(self._edge.clock.now())
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.sweep(now)
        self._edge.clock.call_later(1.0, self._sweep)


def bind_dashboard(options: ServerOptions) -> Dashboard | None:
    """The dashboard of a platform, bound to its port; None where there is to be none.

    Raises:
        PortTaken: its port is taken, and it is not one that may be any.
        Error: it cannot be bound.
    """
    if not options.dashboard:
        return None
    port = options.dashboard_port
    if port is None:
        gateway = DEFAULT_PORT if options.port is None else options.port
        port = gateway + DASHBOARD_OFFSET if gateway else 0
    if port > 65535:
        raise errors.BadRequest(f"there is no port {port} for the dashboard; choose one with --dashboard-port")
    settings = DashboardOptions(host=options.host, port=port, allowed_hosts=options.allowed_hosts)
    try:
        return Dashboard(settings)
    except PortTaken as taken:
        if options.session and options.dashboard_port is None:
            return Dashboard(msgspec.structs.replace(settings, port=0))
        raise PortTaken(
            f"the dashboard's {taken.detail}: --dashboard-port moves it, --port it and the gateway"
        ) from None


def _load(options: DashboardOptions, parts: DashboardParts, url: str, gateway: str) -> DashboardApp:
    """Import what takes long. The loop goes on meanwhile: the interpreter changes threads within an import too."""
    from microlite.web.dashboard.app import DashboardApp

    return DashboardApp(options, parts, url, gateway)


def _edge(options: DashboardOptions, parts: DashboardParts) -> Edge:
    """The gateway's bounds on connections, for connections of the dashboard: slow, large and malformed heads end there."""
    bounds = GatewayOptions(
        host=options.host,
        port=options.port,
        allowed_hosts=options.allowed_hosts,
        cors_origins=(),
        fast=False,
        max_body=options.max_body,
        max_connections=512,
    )
    return Edge(bounds, PathTable(), _no_calls, _NoPrograms(), "", parts.clock, lambda: True)


def _no_calls(call: Call) -> None:
    call.on_error(errors.NotFound("the dashboard is no gateway"))


class _NoPrograms:
    async def acquire(self, namespace: str, name: str) -> Lease:
        raise errors.ServiceNotFound("the dashboard is no gateway")
