"""The dashboard as a part of the platform: it takes its port at once, and loads its libraries when there is time.

Litestar and Jinja cost more to import than all that the gateway needs. So the port is bound before anything is loaded, and
browsers that come early wait in its queue until `start` has done the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.settings import DASHBOARD_OFFSET, DEFAULT_PORT
from microlite.web.dashboard.options import DashboardOptions
from microlite.web.gateway.edge import Edge
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.ports import PortTaken, bind, url_of
from microlite.web.gateway.serving import Serving
from microlite.web.gateway.table import PathTable

if TYPE_CHECKING:
    import socket

    from microlite.core.rpc.call import Call
    from microlite.core.settings import ServerOptions
    from microlite.web.dashboard.app import DashboardApp
    from microlite.web.dashboard.parts import DashboardParts
    from microlite.web.gateway.edge import Lease


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
        self._serving: Serving | None = None

    @property
    def url(self) -> str:
        """Where it is reached from this machine, without a slash at the end."""
        return url_of(self.options.host, self.port)

    async def start(self, parts: DashboardParts, gateway: str) -> None:
        """Load the libraries, in a thread, and answer from then on.

        Args:
            parts: what it is made over.
            gateway: the URL of the gateway, without a slash at the end.
        """
        app = self._app = await asyncio.to_thread(_load, self.options, parts, self.url, gateway)
        listener, self._listener = self._listener, None
        if listener is None:
            return  # the platform has ended meanwhile
        self._serving = Serving(_edge(self.options, parts), app)
        await self._serving.start(listener)
        self.started.set()

    async def stop(self) -> None:
        """Take no more connections, end the live streams, let requests under way finish, then close. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        if self._serving is not None and self._app is not None:
            await self._serving.stop(self.options.grace, self._app.stopping.set)


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
    return Edge(bounds, PathTable(), _no_calls, _NoPrograms(), parts.authority, parts.clock, lambda: True)


def _no_calls(call: Call) -> None:
    call.on_error(errors.NotFound("the dashboard is no gateway"))


class _NoPrograms:
    async def acquire(self, namespace: str, name: str) -> Lease:
        raise errors.ServiceNotFound("the dashboard is no gateway")
