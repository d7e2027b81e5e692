"""What requests leave behind in memory, and how much of it they may take together."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from microlite.web.gateway.room import FREE
from tests.gateway.gateway_bench import Bench, Start, Wire

MEGABYTE = 1024 * 1024
BODY = 4 * MEGABYTE
CLIENTS = 8

UPGRADE = (
    "GET /echo/chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def post(size: int, sent: int) -> bytes:
    """A request of which only so many bytes of the body are sent."""
    head = f"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + (b'"' + b"x" * (size - 2) + b'"')[:sent]


def fragment(size: int) -> bytes:
    """The beginning of a message that goes on."""
    return bytes([0x01, 0x80 | 127]) + size.to_bytes(8, "big") + bytes(4) + b"x" * size


@pytest.fixture
def traced() -> Iterator[None]:
    """Without the collector of garbage, which may come by late: nothing here may depend on it."""
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def held(bench: Bench, least: int) -> None:
    """Return when the gateway holds so many bytes of requests."""
    while bench.gateway.edge.room.held < least:
        await asyncio.sleep(0)


async def upgraded(bench: Bench) -> Wire:
    wire = await bench.connect()
    wire.send(UPGRADE)
    assert (await wire.head()).status == 101
    return wire


@pytest.mark.usefixtures("traced")
async def test_a_body_that_breaks_off_leaves_nothing(bench: Bench) -> None:
    wires = [await bench.connect() for _ in range(CLIENTS)]
    for wire in wires:
        wire.send(post(2 * BODY, BODY))
    await held(bench, CLIENTS * (BODY - MEGABYTE))
    for wire in wires:
        wire.writer.transport.abort()
    await bench.disconnected()
    await bench.idle()
    del wires[:]
    bench._wires.clear()
    assert bench.gateway.edge.room.held == 0
    assert tracemalloc.get_traced_memory()[0] < BODY


@pytest.mark.usefixtures("traced")
async def test_a_connection_that_rests_holds_no_body(bench: Bench) -> None:
    wires = [await bench.connect() for _ in range(CLIENTS)]
    for wire in wires:
        wire.send(post(BODY, BODY))
        assert (await wire.answer()).status == 200
    bench.services.calls.clear()
    assert bench.gateway.edge.room.held == 0
    assert tracemalloc.get_traced_memory()[0] < BODY


@pytest.mark.usefixtures("traced")
async def test_a_message_that_breaks_off_leaves_nothing(bench: Bench) -> None:
    wires = [await upgraded(bench) for _ in range(CLIENTS)]
    for wire in wires:
        wire.send(bytes([0x81, 0x80, 0, 0, 0, 0]) + fragment(BODY))
    await held(bench, CLIENTS * (BODY - MEGABYTE))
    for wire in wires:
        wire.writer.transport.abort()
    await bench.disconnected()
    await bench.idle()
    del wires[:]
    bench._wires.clear()
    gc.collect()  # the parser's own error refers to itself
    assert bench.gateway.edge.room.held == 0
    assert tracemalloc.get_traced_memory()[0] < BODY


async def test_all_bodies_together_take_no_more_than_is_set(start: Start, way: str) -> None:
    """Who begins many and ends none is stopped there; small requests are answered, and large ones when there is room."""
    bench = await start(fast=way == "fast", max_held=MEGABYTE)
    first, second, small = [await bench.connect() for _ in range(3)]
    first.send(post(MEGABYTE, MEGABYTE - FREE))
    await held(bench, MEGABYTE - FREE)
    second.send(post(MEGABYTE, MEGABYTE))
    refused = await second.answer()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    small.send(post(FREE, FREE))
    assert (await small.answer()).status == 200
    first.writer.transport.abort()
    while bench.gateway.edge.room.held:
        await asyncio.sleep(0)
    small.send(post(MEGABYTE, MEGABYTE))
    assert (await small.answer()).status == 200


async def test_messages_take_no_more_than_is_set_either(start: Start) -> None:
    """A WebSocket ends with the code that says to connect again."""
    bench = await start(max_held=MEGABYTE)
    first, second = [await upgraded(bench) for _ in range(2)]
    for wire in (first, second):
        wire.send(bytes([0x81, 0x80, 0, 0, 0, 0]))
    first.send(fragment(MEGABYTE - FREE))
    await held(bench, MEGABYTE - FREE)
    second.send(fragment(MEGABYTE))
    end = await second.reader.read()
    assert b'"code":503' in end
    assert (1012).to_bytes(2, "big") in end
