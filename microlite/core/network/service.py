"""The built-in service `network`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.network.api import Route

if TYPE_CHECKING:
    from microlite.core.network.membership import Membership


def network_service(membership: Membership) -> Service:
    """Make the service over the routing table of one platform."""
    service = Service("network", doc="Which node takes a call: the routing table.", built_in=True)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def routes(ctx: Context, service: str = "") -> list[Route]:
        """List the routing table of the namespace: for each service the nodes that take its calls.

        Args:
            service: only this one; all without it.
        """
        return [route for route in membership.routes(ctx.namespace) if service in ("", route.service)]

    @service.endpoint(role=Role.SERVICE, reads=True)
    async def watch(ctx: Context) -> AsyncIterator[Route]:
        """Stream the routing table: first each service as it is now, then each one that changes, always whole."""
        changed: dict[str, Route] = {}
        wake = asyncio.Event()

        def on_route(route: Route) -> None:
            if route.namespace == ctx.namespace:
                changed[route.service] = route  # the newest state replaces what was not read yet: bounded by services
                wake.set()

        stop = membership.watch(on_route)
        try:
            for route in membership.routes(ctx.namespace):
                changed.setdefault(route.service, route)
            while True:
                while changed:
                    yield changed.pop(next(iter(changed)))
                wake.clear()
                await wake.wait()
        finally:
            stop()

    return service
