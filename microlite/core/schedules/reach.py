"""Which services can be called now, and word of those that come."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import EndpointDescription, ServiceDescription
    from microlite.core.network.api import Route
    from microlite.core.network.membership import Membership
    from microlite.core.network.router import Router
    from microlite.core.registry.registry import Registry


class Reach:
    """The services as somebody sees them who calls on behalf of nobody who waits.

    Args:
        membership: knows which nodes take calls.
        router: takes the calls, and those of built-in services too.
        registry: describes built-in services.
    """

    def __init__(self, membership: Membership, router: Router, registry: Registry) -> None:
        self._membership = membership
        self._router = router
        self._registry = registry
        self.send = router.send
        """Takes a call; the outcome comes through the call's own methods."""

    def available(self, namespace: str, service: str) -> bool:
        """Whether a call would go to a node at once."""
        entry = self._router.table.find(namespace, service)
        if entry is not None and entry.links:
            return True
        local = self._router.table.find("", service)
        return local is not None and local.local is not None

    def absence(self, namespace: str, service: str) -> str:
        """Why it would not, in words for whoever waits; empty where it would."""
        if self.available(namespace, service):
            return ""
        _, reason = self._membership.outlook(namespace, service)
        return f"no node of {service} is there" + (f": {reason}" if reason else "")

    def expected(self, namespace: str, service: str) -> bool:
        """Whether a node is there, or on its way."""
        return self.available(namespace, service) or self._membership.outlook(namespace, service)[0]

    def describe(self, namespace: str, service: str) -> ServiceDescription | None:
        """What a service says of itself; None while no node of it takes calls."""
        return self._membership.describe(namespace, service) or self._registry.built_in(service)

    def endpoint(self, namespace: str, service: str, endpoint: str) -> EndpointDescription | None:
        """What is known of an endpoint."""
        description = self.describe(namespace, service)
        return description.endpoint(endpoint) if description is not None else None

    def watch(self, on_arrival: Callable[[str, str], object]) -> Callable[[], None]:
        """Call `on_arrival` with namespace and service of each that has nodes and whose nodes change.

        Returns:
            The way to stop it.
        """

        def on_route(route: Route) -> None:
            if route.nodes:
                on_arrival(route.namespace, route.service)

        return self._membership.watch(on_route)
