"""A node's way to other services: straight to their nodes where their sockets are known, through the platform otherwise."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.network.api import Route
from microlite.core.network.router import Router
from microlite.core.network.table import Link
from microlite.core.registry.api import Protocol
from microlite.core.rpc.call import StreamCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Call, Inbound
    from microlite.core.rpc.connection import Connection

_decode_route = msgspec.msgpack.Decoder(Route).decode


class Peers:
    """The transport of a node's own calls (see `stream.Transport`).

    The first call of another service goes through the platform and makes the node ask for the routing table, which the
    platform keeps up to date from then on; later calls go directly.

    Args:
        platform: the connection to the platform.
        namespace: whose services are reached.
        node: the id of this node, for the other side of direct connections.
    """

    def __init__(self, platform: Connection, *, namespace: str, node: str, clock: Clock) -> None:
        self._platform = platform
        self._namespace = namespace
        self._node = node
        self._router = Router(clock, dial=self._dial, fallback=self._through_platform)
        self._dialling: dict[Link, asyncio.Task[Connection]] = {}
        self._watching: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        self.send = self._router.send

    def _through_platform(self, call: Call) -> None:
        if self._watching is None:
            self._watching = self.loop.create_task(self._watch(), name="microlite: watch routes")
        call.resend = None
        self._platform.start(call)

    def _dial(self, link: Link) -> asyncio.Task[Connection]:
        task = self._dialling.get(link)
        if task is None:
            task = self._dialling[link] = self.loop.create_task(self._open(link), name=f"microlite: dial {link.node}")
            task.add_done_callback(functools.partial(self._dialled, link))
        return task

    async def _open(self, link: Link) -> Connection:
        return await dial(
            link.address,
            RefuseCalls(),
            role="peer",
            properties={"node": self._node, "namespace": self._namespace},
            on_lost=lambda _: self._router.remove_link(link),
        )

    def _dialled(self, link: Link, task: asyncio.Task[Connection]) -> None:
        self._dialling.pop(link, None)
        if not task.cancelled() and task.exception() is None:
            link.connection = task.result()

    async def _watch(self) -> None:
        while not self._platform.closed.done():
            call = StreamCall(
                "network", "watch", timeout=None, credit=INITIAL_CREDIT, namespace=self._namespace, metadata=None
            )
            try:
                async with call:
                    self._platform.start(call)
                    async for payload in call.items():
                        self._apply(_decode_route(payload))
            except errors.Error:
                await asyncio.sleep(1)  # without the table every call goes through the platform, which is right as well

    def _apply(self, route: Route) -> None:
        entry = self._router.table.find(route.namespace, route.service)
        present = {link.node: link for link in entry.links} if entry is not None else {}
        add = []
        for node in route.nodes:
            known = present.pop(node.node, None)
            if node.protocol is not Protocol.RPC or not node.address:
                continue
            if known is None or known.generation < node.generation:
                add.append(Link(node.node, generation=node.generation, version=node.version, address=node.address))
        gone = self._router.switch(route.namespace, route.service, add, list(present))
        for link in gone:
            if link.connection is not None:
                self.loop.create_task(_close_when_idle(link.connection), name=f"microlite: leave {link.node}")

    async def close(self) -> None:
        """Close the direct connections."""
        tasks = [task for task in (self._watching, *self._dialling.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in self._router.table.entries():
            for link in list(entry.links):
                if link.connection is not None:
                    link.connection.close()


class RefuseCalls:
    """On a connection to a peer only this side calls."""

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        inbound.refuse("calls go in the other direction on this connection")


async def _close_when_idle(connection: Connection) -> None:
    # The node drains: it answers what it has begun, and closes. This is for one that does not.
    await asyncio.wait([connection.closed], timeout=60)
    connection.close()
