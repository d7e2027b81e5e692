"""Which registered nodes take calls, and how those that no longer do are drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.network.api import Route, RouteNode
from microlite.core.network.table import Link
from microlite.core.registry.api import Action, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description import ServiceDescription
    from microlite.core.network.router import Router
    from microlite.core.registry.registry import Lease, Registry
    from microlite.core.rpc.connection import Connection

STREAM_GRACE: Final = 10.0
"""Seconds that the WebSockets of a program have when it is to end: as many as the streams of a service."""


class Membership:
    """Holds the platform's routing table to the registry.

    A node that nobody supervises takes calls as soon as it is registered, in place of its earlier generation. One that the
    runtime has started does so when the runtime says so, after its health check; see `supervise`.
    """

    def __init__(self, registry: Registry, router: Router) -> None:
        self._registry = registry
        self._router = router
        self._links: dict[Lease, Link] = {}
        self._supervised: Callable[[Lease], bool] = lambda _: False
        self._watchers: set[Callable[[Route], None]] = set()
        registry.subscribe(self._on_change)

    def supervise(self, claims: Callable[[Lease], bool]) -> None:
        """Let `claims` say of each new registration whether somebody else will `activate` it."""
        self._supervised = claims

    def activate(self, leases: list[Lease], retire: list[str]) -> list[Link]:
        """Let nodes of one service take calls, and others (by id) none any more, in one turn of the loop.

        A node whose connection has broken meanwhile is passed over.

        Returns:
            The links that were taken out, to be drained.
        """
        registration = leases[0].registration
        links = []
        for lease in leases:
            if lease.connection is None or lease.connection.usable:
                link = self._links[lease] = _link(lease)
                links.append(link)
        return self._switch(registration.namespace, registration.service.name, links, retire)

    def retire(self, namespace: str, service: str, nodes: list[str]) -> list[Link]:
        """Let nodes take no more calls. Returns their links, to be drained."""
        return self._switch(namespace, service, [], nodes)

    def _switch(self, namespace: str, service: str, links: list[Link], retire: list[str]) -> list[Link]:
        gone = self._router.switch(namespace, service, links, retire)
        for lease in [lease for lease, link in self._links.items() if link in gone]:
            del self._links[lease]
            self._registry.deregister(lease)  # what drains is no node that anybody could call
        self._tell(namespace, service)
        return gone

    async def drain(self, link: Link, grace: float, *, hurry: bool = False) -> bool:
        """Let what runs on a retired node finish, then close its connection: the node ends at that.

        Args:
            link: to the node.
            grace: seconds that unary calls and HTTP requests have.
            hurry: streams end at once, instead of after their own grace.

        Returns:
            Whether it finished within `grace` seconds.
        """
        connection = link.connection
        if connection is None:
            return await link.idle(grace, 0.0 if hurry else STREAM_GRACE)
        finished = await connection.drain(grace, hurry=hurry)
        connection.close()
        return finished

    def hurry(self, link: Link) -> None:
        """Let a node that drains end its streams now."""
        if link.connection is not None:
            link.connection.hurry()
        else:
            link.hurry()

    def expect(self, namespace: str, service: str, expected: bool, reason: str = "") -> None:
        """Say whether a node of a service is on its way; see `Router.expect`."""
        self._router.expect(namespace, service, expected, reason)
        self._tell(namespace, service)

    def outlook(self, namespace: str, service: str) -> tuple[bool, str]:
        """Whether a node is on its way, and why there is none, as far as somebody has said so."""
        entry = self._router.table.find(namespace, service)
        return (entry.expected, entry.reason) if entry is not None else (False, "")

    def describe(self, namespace: str, service: str) -> ServiceDescription | None:
        """The service as its newest node that takes calls describes it."""
        entry = self._router.table.find(namespace, service)
        active = [
            lease.registration for lease, link in self._links.items() if entry is not None and link in entry.links
        ]
        return max(active, key=lambda registration: registration.node.started).service if active else None

    def routes(self, namespace: str) -> list[Route]:
        """The table of one namespace, by service."""
        return [
            self._route(entry.namespace, entry.name)
            for entry in sorted(self._router.table.entries(namespace), key=lambda entry: entry.name)
        ]

    def serves(self, connection: Connection) -> bool:
        """Whether a node takes calls that is registered over this connection."""
        return any(lease.connection is connection for lease in self._links)

    def watch(self, watcher: Callable[[Route], None]) -> Callable[[], None]:
        """Call `watcher` with each service whose nodes change. Returns the way to stop it."""
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    def _on_change(self, action: Action, lease: Lease) -> None:
        if action is Action.DELETE:
            link = self._links.pop(lease, None)
            if link is not None:
                self._router.remove_link(link)
                registration = lease.registration
                self._tell(registration.namespace, registration.service.name)
        elif not self._supervised(lease):
            self.activate([lease], [])

    def _tell(self, namespace: str, service: str) -> None:
        if self._watchers:
            route = self._route(namespace, service)
            for watcher in list(self._watchers):
                watcher(route)

    def _route(self, namespace: str, service: str) -> Route:
        entry = self._router.table.find(namespace, service)
        now = self._router.loop.time()
        links = entry.links if entry is not None else []
        nodes = tuple(
            RouteNode(
                node=link.node,
                generation=link.generation,
                version=link.version,
                address=link.address,
                protocol=Protocol.RPC if link.connection is not None else Protocol.HTTP,
                load=link.load,
                latency=link.connection.latency if link.connection is not None else 0.0,
                ejected=link.ejected_until > now,
                idempotent=tuple(sorted(endpoint for _, endpoint in link.idempotent)),
            )
            for link in links
        )
        return Route(namespace=namespace, service=service, nodes=nodes)


def _link(lease: Lease) -> Link:
    node, service = lease.registration.node, lease.registration.service
    idempotent = frozenset((service.name, endpoint.name) for endpoint in service.endpoints if endpoint.idempotent)
    connection = lease.connection
    if connection is not None:
        connection.repeatable |= idempotent
    return Link(
        node.id,
        generation=node.generation,
        version=service.version,
        address=node.address,
        connection=connection,
        idempotent=idempotent,
    )
