"""Servers are replaced under constant load: no call is lost, none runs twice (the handshakes of a planned reload, and of
a node that is asked to stop from outside)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from microlite.core.rpc.call import Call, Inbound, UnaryCall
from microlite.core.rpc.connection import Connection
from tests.rpc.rpc_parts import HELLO, Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORKERS = 32


class Slow(Service):
    """Answers at once, or after some turns of the loop, or as slowly as the test lets it; counts each run."""

    runs: dict[bytes, int]

    def __init__(self, runs: dict[bytes, int]) -> None:
        super().__init__()
        self.runs = runs
        self.long: list[Inbound] = []

    def accept(self, inbound: Inbound) -> None:
        self.runs[inbound.payload] = self.runs.get(inbound.payload, 0) + 1
        kind = int(inbound.payload) % 10
        if kind == 0:
            self._start(self._later(inbound))
        elif inbound.endpoint == "long":
            self.long.append(inbound)
        else:
            inbound.reply(inbound.payload)

    async def _later(self, inbound: Inbound) -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        inbound.reply(inbound.payload)


class Node:
    """One generation of the server: its end of a socket pair, and the router's end."""

    def __init__(self, runs: dict[bytes, int]) -> None:
        self.service = Slow(runs)
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> Node:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        _, self.far = await loop.create_connection(
            lambda: Connection(self.service, dialled=True, hello=HELLO), sock=theirs
        )
        _, self.near = await loop.create_connection(
            lambda: Connection(Service(), dialled=False, hello=HELLO), sock=ours
        )
        self.far.on_drain(lambda grace: self.tasks.append(loop.create_task(self._drain())))
        await self.near.ping()
        return self

    async def _drain(self) -> None:
        await self._finish()
        self.far.say_drained()

    async def _finish(self) -> None:
        while self.service.long:
            self.service.long.pop().reply(b"long")
        await self.far.settled()

    async def leave(self) -> None:
        """SIGTERM from outside: what was not started goes elsewhere, what was is finished."""
        self.far.go_away("the node is stopping")
        await self._finish()
        self.far.close()

    async def gone(self) -> None:
        await self.near.closed
        self.far.close()
        await self.far.closed
        await asyncio.gather(*self.tasks)
        await self.service.finished()


class Switch:
    """What a router does: the current node, and calls that wait while there is none."""

    def __init__(self, node: Node) -> None:
        self.node: Node | None = node
        self.parked: list[Call] = []
        self.resent = 0

    def send(self, call: Call) -> None:
        call.resend = self.resend
        if self.node is None:
            self.parked.append(call)
        else:
            self.node.near.start(call)

    def resend(self, call: Call, reason: str) -> None:
        self.resent += 1
        if self.node is not None and not self.node.near.usable:
            self.node = None
        self.send(call)

    def use(self, node: Node) -> None:
        self.node = node
        parked, self.parked = self.parked, []
        for call in parked:
            self.send(call)


class Load:
    """Callers that call again as soon as they are answered."""

    def __init__(self, switch: Switch) -> None:
        self.answered: list[bytes] = []
        self._switch = switch
        self._number = 0
        self._stop = False
        self._goal = 0
        self._reached = asyncio.Event()

    async def _work(self) -> None:
        while not self._stop:
            self._number += 1
            sent = b"%d" % self._number
            assert await UnaryCall("s", "echo", sent).run(self._switch.send) == sent
            self.answered.append(sent)
            if len(self.answered) >= self._goal:
                self._reached.set()

    async def some_more(self, count: int = 200) -> None:
        """Return after so many further answers."""
        self._goal = len(self.answered) + count
        self._reached.clear()
        await self._reached.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            try:
                yield
            finally:
                self._stop = True


@pytest.mark.parametrize("planned", [True, False], ids=["drain", "go away"])
async def test_no_call_is_lost_and_none_runs_twice(planned: bool) -> None:
    runs: dict[bytes, int] = {}
    node = await Node(runs).start()
    switch = Switch(node)
    long: list[asyncio.Task[Any]] = []
    load = Load(switch)
    async with load.running():
        for generation in range(50):
            await load.some_more()
            call = UnaryCall("s", "long", b"-%d1" % generation, timeout=None)
            long.append(asyncio.create_task(call.run(switch.send)))
            if planned:
                fresh = await Node(runs).start()
                switch.use(fresh)
                assert await node.near.drain(10)
                assert node.near.load == 0, "whoever is drained owes nothing"
                node.near.close()
            else:
                leaving = asyncio.create_task(node.leave())
                await node.near.closed
                await leaving
                switch.node = None
                fresh = await Node(runs).start()
                switch.use(fresh)
            await node.gone()
            node = fresh
        await load.some_more()
    while node.service.long:
        node.service.long.pop().reply(b"long")
    assert await asyncio.gather(*long) == [b"long"] * 50
    answered = load.answered
    assert len(answered) == len(set(answered)) > 10_000
    assert set(runs.values()) == {1}
    assert len(runs) == len(answered) + 50
    if not planned:
        assert switch.resent > 0
    node.near.close()
    await node.gone()
