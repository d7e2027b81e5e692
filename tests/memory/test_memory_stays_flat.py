"""The platform's memory while much passes through it and somebody does not keep up: a real server, its resident memory.

`SOAK` says how many events pass; `make soak` passes a million, as is promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from microlite import connect
from microlite.core.auth.admin_token import admin_token
from microlite.core.description.codec import encode_msgpack
from microlite.core.library.caller import Caller
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import StreamCall
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from tests.runtime_e2e.test_runtime_survival import server

EVENTS = int(os.environ.get("SOAK") or 100_000)
RECORDS = max(EVENTS // 5, 10_000)
BATCH = 500

GROWTH = 48 << 20
"""Bytes that the platform may grow: buffers of connections, the cache of SQLite, what Python keeps of what it freed."""

CREDIT = 1 << 40
"""What a reader says that it takes who then takes nothing: more than passes through."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Memory:
    """The most that a process had resident, and that was its own, beyond what it began with."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.base = self.most = self.now()

    def now(self) -> int:
        return int(self._process.memory_info().rss)

    def look(self) -> None:
        self.most = max(self.most, self.now())

    @property
    def growth(self) -> int:
        return self.most - self.base

    @property
    def text(self) -> str:
        return f"{self.base >> 20} MiB before, {self.most >> 20} MiB at most, {self.now() >> 20} MiB in the end"


class Bench:
    """A server, a caller, and readers that do not read."""

    def __init__(self, home: Path, pid: int, caller: Caller, stack: contextlib.AsyncExitStack) -> None:
        self.home = home
        self.pid = pid
        self.m = caller
        self._stack = stack

    async def never_read(self, service: str, endpoint: str, **fields: object) -> None:
        """Open a stream over the wire, give it endless credit, and read nothing from the socket any more."""
        connection = await dial(str(platform_socket(self.home)), RefuseCalls(), role="client")
        self._stack.callback(connection.abort)
        call = StreamCall(service, endpoint, encode_msgpack(fields), timeout=None, credit=CREDIT)
        connection.start(call)
        await connection.ping()  # it has begun
        assert connection._transport is not None
        connection._transport.pause_reading()  # of asyncio's own transport

    async def never_read_http(self, path: str) -> None:
        """Ask for an SSE stream, and read nothing but its head."""
        port = int(json.loads((self.home / "server.json").read_text())["gateway"].rpartition(":")[2])
        reader = socket.create_connection(("127.0.0.1", port))
        self._stack.callback(reader.close)
        reader.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {admin_token(self.home)}\r\n\r\n".encode()
        )
        head = await asyncio.to_thread(reader.recv, 15)
        assert head.endswith(b"200 OK"), head


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    home = tmp_path / "home"
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(server(home))
        caller = await stack.enter_async_context(connect(home))
        yield Bench(home, running.process.pid, caller, stack)


async def publish(m: Caller, count: int, *, memory: Memory | None = None) -> None:
    """Publish events of 100 bytes, four batches at a time."""

    async def keep(numbers: range) -> None:
        for start in numbers:
            batch = [m.events.event("load", "x" * 100, key=f"k{(start + one) % 100}") for one in range(BATCH)]
            await m.events.publish_many(batch)
            if memory is not None:
                memory.look()

    await asyncio.gather(*(keep(range(first * BATCH, count, 4 * BATCH)) for first in range(4)))


async def slowly(m: Caller) -> None:
    """Consume a hundred events a second."""
    async for delivery in m.events.consume("load", "slow"):
        await asyncio.sleep(0.01)  # what a slow handler does
        await delivery.ack()


async def beside(work: Callable[[], Awaitable[None]], *others: asyncio.Task[None]) -> float:
    """Do it while the others run; the seconds that it took."""
    began = time.monotonic()
    await work()
    for other in others:
        assert not other.done(), other
    return time.monotonic() - began


async def test_a_slow_consumer_an_unused_group_and_stalled_followers(bench: Bench) -> None:
    m = bench.m
    await publish(m, 10_000)
    await m.events.set_group("load", "unused")
    consuming = asyncio.create_task(slowly(m))
    try:
        await bench.never_read("events", "follow", topic="load", after=0)
        await bench.never_read("events", "consume", topic="load", group="stalled", max=500)
        await bench.never_read_http("/events/follow?topic=load&after=0")
        memory = Memory(bench.pid)
        seconds = await beside(lambda: publish(m, EVENTS, memory=memory), consuming)
        status = {one.name: one for one in await m.events.groups("load")}
    finally:
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)

    report(f"{EVENTS:,} events in {seconds:.0f} s, with a slow consumer and stalled followers: {memory.text}")
    assert status["unused"].lag == EVENTS + 10_000
    assert 0 < status["slow"].lag < EVENTS + 10_000
    assert memory.growth < GROWTH, memory.text


async def test_a_watch_and_a_mirror_that_nobody_reads(bench: Bench) -> None:
    m = bench.m

    async def write(count: int, memory: Memory | None = None) -> None:
        for start in range(0, count, BATCH):
            async with m.transaction() as tx:
                for number in range(start, start + BATCH):
                    tx.store.write(f"k{number % 5_000}", "x" * 200)
            if memory is not None:
                memory.look()

    await write(10_000)
    await bench.never_read("store", "watch")
    await bench.never_read("store", "watch", since=0)
    await bench.never_read_http("/store/watch")
    memory = Memory(bench.pid)
    seconds = await beside(lambda: write(RECORDS, memory))
    report(f"{RECORDS:,} writes in {seconds:.0f} s, with watches that nobody reads: {memory.text}")
    assert memory.growth < GROWTH, memory.text


async def test_a_subscription_that_nobody_reads(bench: Bench) -> None:
    m = bench.m

    async def send(count: int, memory: Memory | None = None) -> None:
        for _ in range(0, count, 200):
            await asyncio.gather(*(m.broker.publish("load", "x" * 1_000) for _ in range(200)))
            if memory is not None:
                memory.look()

    await send(10_000)
    await bench.never_read("broker", "subscribe", topic="load")
    await bench.never_read("broker", "subscribe", topic="load", queue="workers")
    await bench.never_read_http("/broker/subscribe?topic=load")
    memory = Memory(bench.pid)
    seconds = await beside(lambda: send(RECORDS, memory))
    report(f"{RECORDS:,} messages in {seconds:.0f} s, with subscriptions that nobody reads: {memory.text}")
    assert memory.growth < GROWTH, memory.text


def report(text: str) -> None:
    """Say it where `make soak` shows it."""
    print(f"\n{text}")
