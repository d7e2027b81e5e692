"""A node's way to other services: straight to their nodes where their sockets are known, through the platform otherwise."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.library.inspecting import inspect_ticket
from microlite.core.network.api import Route, RouteNode
from microlite.core.network.router import Router
from microlite.core.network.table import Link
from microlite.core.registry import api as registry
from microlite.core.rpc.call import StreamCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.clock import Clock
    from microlite.core.library.own_ticket import OwnTicket
    from microlite.core.rpc.call import Call, Inbound
    from microlite.core.rpc.connection import Connection

AGAIN: Final = 1.0
"""Seconds until a node is tried again that took no connection although the platform names it, and until the routing
table is asked for again where it was refused. Meanwhile the platform carries the calls."""

VERIFYING: Final = 5.0
"""Seconds that another node has to say who it is, and the platform to say whether that is so."""

_decode_route = msgspec.msgpack.Decoder(Route).decode


class Platform(Protocol):
    """What takes calls to the platform: a connection, or what makes them as it needs them."""

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done when it takes no call any more, and never will."""
        ...

    def start(self, call: Call) -> None:
        """Send a call. Its outcome comes through its own methods, never as an exception."""
        ...


class Peers:
    """The transport of a node's own calls (see `stream.Transport`).

    The first call of another service goes through the platform and makes the node ask for the routing table, which the
    platform keeps up to date from then on; later calls go directly.

    Args:
        platform: the way to the platform.
        namespace: whose services are reached.
        node: the id of this node, for the other side of direct connections.
        socket: of the platform, for who looks there by a connection of its own.
        straight: whether nodes can be reached straight; else the platform carries every call.
        ticket: what to show to other nodes; without it each call goes through the platform.

    Attributes:
        platform: the transport that goes straight to the platform, for its own services.
        states: what the node's callers know of the state of the platform, by what it is.
        state_tasks: keep that up to date; they end with the connection.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        namespace: str,
        node: str,
        clock: Clock,
        socket: Path | None = None,
        straight: bool = True,
        ticket: OwnTicket | None = None,
    ) -> None:
        self._platform = platform
        self._straight = straight
        self._namespace = namespace
        self._node = node
        self._router = Router(clock, dial=self._dial, fallback=self._through_platform)
        self._routes: dict[str, Route] = {}
        self._dialling: dict[Link, asyncio.Task[Connection]] = {}
        self._direct: set[Connection] = set()
        self._greetings: dict[Connection, asyncio.Future[None]] = {}
        self._again: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        self._ticket = ticket
        self.loop = asyncio.get_running_loop()
        self.send = self._router.send
        self.socket = socket
        self.platform = _Straight(platform, self.loop)
        self.states: dict[str, Any] = {}
        self.state_tasks: set[asyncio.Task[None]] = set()

    @property
    def direct(self) -> int:
        """How many direct connections to nodes are open."""
        return len(self._direct)

    @property
    def lost(self) -> bool:
        """Whether the way to the platform is gone for good."""
        return self._platform.closed.done()

    def knows(self, service: str) -> bool:
        """Whether calls of a service go straight to its nodes by now."""
        entry = self._router.table.find(self._namespace, service)
        return entry is not None and bool(entry.links)

    def _through_platform(self, call: Call) -> None:
        if self._watching is None and self._straight and not self._closed and self._ticket is not None:
            self._watching = self.loop.create_task(self._watch(), name="microlite: watch routes")
        call.resend = None
        self._platform.start(call)

    # -- direct connections --------------------------------------------------------------------------------------------

    def _dial(self, link: Link) -> asyncio.Task[Connection]:
        task = self._dialling.get(link)
        if task is None:
            task = self._dialling[link] = self.loop.create_task(self._open(link), name=f"microlite: dial {link.node}")
            task.add_done_callback(_hear)
        return task

    async def _open(self, link: Link) -> Connection:
        assert self._ticket is not None
        try:
            ticket = await self._ticket.shown_to(link.node)
            connection = await dial(
                link.address,
                RefuseCalls(),
                role="peer",
                properties={"node": self._node, "namespace": self._namespace, "ticket": ticket},
                on_hello=self._greeted,
                on_lost=functools.partial(self._on_lost, link),
            )
            await self._verify(connection, link)
        except errors.Error:
            self._try_again()
            raise
        finally:
            del self._dialling[link]
        self._direct.add(connection)
        connection.repeatable = link.idempotent
        link.connection = connection
        return connection

    def _greeted(self, connection: Connection) -> None:
        waiting = self._greetings.pop(connection, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def _verify(self, connection: Connection, link: Link) -> None:
        """Have the platform say whether this is the node that is meant, before anything is asked of it.

        Raises:
            Error: it is not, or nobody can say.
        """
        try:
            async with asyncio.timeout(VERIFYING):
                if connection.peer is None:
                    waiting = self._greetings[connection] = self.loop.create_future()
                    await asyncio.wait([waiting, connection.closed], return_when=asyncio.FIRST_COMPLETED)
                hello = connection.peer
                if hello is None:
                    raise errors.ServiceUnavailable(f"{link.node} takes no direct connection")
                identity = await inspect_ticket(self._platform, hello.properties.get("ticket", ""), called=False)
        except TimeoutError:
            connection.abort()
            raise errors.ServiceUnavailable(f"{link.node} did not say in time who it is") from None
        except errors.Error:
            connection.abort()
            raise
        finally:
            self._greetings.pop(connection, None)
        if (identity.namespace, identity.node, identity.generation) != (self._namespace, link.node, link.generation):
            connection.abort()
            raise errors.Forbidden(f"at the address of {link.node} is another node")

    def _on_lost(self, link: Link, connection: Connection) -> None:
        self._direct.discard(connection)
        self._router.remove_link(link)
        self._try_again()

    def _try_again(self) -> None:
        if self._again is None and not self._closed:
            self._again = self.loop.call_later(AGAIN, self._reapply)

    def _reapply(self) -> None:
        self._again = None
        for route in self._routes.values():
            self._apply(route)

    # -- the routing table ---------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while not self._platform.closed.done():
            call = StreamCall(
                "network", "watch", timeout=None, credit=INITIAL_CREDIT, namespace=self._namespace, metadata=None
            )
            try:
                async with call:
                    self._platform.start(call)
                    async for payload in call.items():
                        self._learn(_decode_route(payload))
            except errors.Error:
                pass  # without the table every call goes through the platform, which is right as well
            await asyncio.sleep(AGAIN)

    def _learn(self, route: Route) -> None:
        if route.nodes:
            self._routes[route.service] = route
        else:
            self._routes.pop(route.service, None)
        self._apply(route)

    def _apply(self, route: Route) -> None:
        entry = self._router.table.find(route.namespace, route.service)
        present = {link.node: link for link in entry.links} if entry is not None else {}
        add = []
        for node in route.nodes:
            known = present.pop(node.node, None)
            if node.protocol is not registry.Protocol.RPC or not node.address:
                continue
            if known is None or (known.generation, known.address) != (node.generation, node.address):
                add.append(_link(route.service, node))
        # Whoever leaves the table still answers what it was asked, and closes its connections itself.
        self._router.switch(route.namespace, route.service, add, list(present))

    async def close(self) -> None:
        """Close the direct connections."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        tasks = [task for task in (self._watching, *self._dialling.values(), *self.state_tasks) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._direct):
            connection.close()
        if self._direct:
            await asyncio.wait([connection.closed for connection in self._direct], timeout=1)
        for connection in list(self._direct):
            connection.abort()  # it does not read what was sent
            await connection.closed


class _Straight:
    """The transport to the platform itself."""

    def __init__(self, platform: Platform, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._platform = platform

    def send(self, call: Call) -> None:
        """See `Transport`."""
        call.resend = None
        self._platform.start(call)


class RefuseCalls:
    """On a connection to a peer only this side calls."""

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        inbound.refuse("calls go in the other direction on this connection")


def _link(service: str, node: RouteNode) -> Link:
    return Link(
        node.node,
        generation=node.generation,
        version=node.version,
        address=node.address,
        idempotent=frozenset((service, endpoint) for endpoint in node.idempotent),
    )


def _hear(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled():
        task.exception()  # those who wait for the connection learn of it, if any still do
