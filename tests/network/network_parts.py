"""Nodes to route to: real sockets, and answers that a test decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core.network.table import Link
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.sockets import Listener, dial

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.network.router import Router
    from microlite.core.rpc.call import Inbound
    from microlite.core.rpc.connection import Connection


class Node:
    """Keeps the calls that reach it in `calls`; answers those at once for which `answer` is set.

    Attributes:
        calls: what arrived, in order.
        answer: the reply to every call; None leaves them open.
        refusal: why every call is refused; empty for none.
    """

    def __init__(self, folder: Path, name: str, *, generation: int = 0) -> None:
        self.name = name
        self.generation = generation
        self.calls: list[Inbound] = []
        self.answer: bytes | None = None
        self.refusal = ""
        self._arrived = asyncio.Event()
        self.listener = Listener(folder / f"{name}-{generation}.s", self, role="node")

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        if self.refusal:
            inbound.refuse(self.refusal)
            return
        self.calls.append(inbound)
        self._arrived.set()
        if self.answer is not None:
            inbound.reply(self.answer)

    async def link(self, router: Router) -> Link:
        """A way to this node, as the platform has it: connected."""
        await self.listener.start()
        connection = await dial(str(self.listener.path), Unwilling(), role="platform")
        link = Link(self.name, generation=self.generation, version="1", address="", connection=connection)
        connection.add_lost_callback(lambda _: router.remove_link(link))
        self.connection = connection
        return link

    def undialled(self) -> Link:
        """A way to this node, as another node has it: to be dialled."""
        return Link(
            self.name, generation=self.generation, version="1", address=str(self.listener.path), connection=None
        )

    async def arrived(self, count: int) -> list[Inbound]:
        """Wait for so many calls."""
        async with asyncio.timeout(20):
            while len(self.calls) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.calls

    @property
    def accepted(self) -> Connection:
        """The node's own end of its connection."""
        (connection,) = self.listener.connections
        return connection


class Unwilling:
    """Takes no calls."""

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        inbound.refuse("no")


def unary(router: Router, *, timeout: float = 5.0, idempotent: bool = False) -> asyncio.Task[bytes]:
    """Call the service of the tests."""
    call = UnaryCall("shop", "buy", b"please", timeout=timeout, idempotent=idempotent)
    return asyncio.ensure_future(call.run(router.send))
