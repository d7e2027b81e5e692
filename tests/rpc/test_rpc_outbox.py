"""What is sent leaves in order and soon, in few writes, and does not pile up for a peer that does not read."""

from __future__ import annotations

import asyncio
import socket

import pytest

from microlite.core import errors
from microlite.core.rpc import frames, outbox
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.frames import encode
from tests.rpc.rpc_parts import HELLO, Service, Watched, Wire, joined, on_wire, turn

MEGABYTE = 1024 * 1024


class CountingWire(Wire):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[int] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        decoder = frames.FrameDecoder()
        self.writes.append(len(decoder.feed(bytes(data))))


async def test_all_frames_of_a_turn_leave_in_few_writes_that_grow() -> None:
    wire = CountingWire()
    connection = Connection(Service(), dialled=True, hello=HELLO)
    connection.connection_made(wire)
    await turn()
    for count, writes in ((1, [1]), (10, [10]), (40, [12, 24, 4]), (200, [12, 24, 48, 96, 20])):
        wire.writes.clear()
        for _ in range(count):
            connection.start(Watched(timeout=None))
        await turn()
        assert wire.writes == writes
    numbers = [frame.id for frame in wire.frames() if isinstance(frame, frames.Call)]
    assert numbers == list(range(1, 503, 2))


async def test_a_large_frame_does_not_wait_for_others_nor_overtakes_them() -> None:
    connection, wire = on_wire(dialled=True)
    await turn()
    wire.frames()
    for size in (10, outbox.LARGE, 20):
        connection.start(Watched(payload=bytes(size)))
    assert [frame.id for frame in wire.frames() if isinstance(frame, frames.Call)] == [1, 3]
    await turn()
    assert [frame.id for frame in wire.frames() if isinstance(frame, frames.Call)] == [5]


async def test_a_peer_that_does_not_read_gets_no_more_calls_and_is_cut_off_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "STALL", 0.01)
    connection, wire = on_wire(dialled=True)
    connection.pause_writing()
    wire.unread = outbox.MAX_UNSENT + 1
    connection.start(first := Watched())
    assert isinstance(first.error, errors.TooManyRequests)
    for _ in range(3):
        await connection_turn(connection)
    assert not wire.aborted, "it has a while to catch up"
    connection.resume_writing()
    wire.unread = 0
    await passed(0.02)
    assert not wire.aborted
    connection.start(second := Watched())
    assert second.ends == []
    connection.pause_writing()
    wire.unread = outbox.MAX_UNSENT + 1
    await connection_turn(connection)
    await passed(0.02)
    assert wire.aborted


async def test_a_peer_that_lets_far_too_much_pile_up_is_cut_off_at_once() -> None:
    connection, wire = on_wire()
    connection.pause_writing()
    wire.unread = 4 * outbox.MAX_UNSENT + 1
    await connection_turn(connection)
    assert wire.aborted
    connection.connection_lost(None)


async def connection_turn(connection: Connection) -> None:
    connection.write(encode(frames.Ping(1)))
    await turn()


async def passed(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_later(seconds, future.set_result, None)
    await future


async def test_over_a_real_socket_a_peer_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_UNSENT", MEGABYTE)
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    service = Service()
    with theirs:
        _, connection = await loop.create_connection(lambda: Connection(service, dialled=False, hello=HELLO), sock=ours)
        theirs.sendall(encode(HELLO))
        theirs.setblocking(False)
        number = 1
        while not connection.closed.done():
            try:
                theirs.send(encode(frames.Call(number, "s", "count", b"1 200000", credit=10**9)))
                number += 2
            except BlockingIOError:
                pass
            except OSError:
                break
            assert connection.unsent <= 5 * MEGABYTE
            await asyncio.sleep(0)
        await connection.closed
    await service.finished()


async def test_writable_waits_until_the_other_side_reads() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with theirs:
        _, connection = await loop.create_connection(
            lambda: Connection(Service(), dialled=True, hello=HELLO), sock=ours
        )
        await connection.writable()
        connection.start(Watched(payload=bytes(4 * MEGABYTE)))
        waiting = [asyncio.create_task(connection.writable()) for _ in range(2)]
        await turn()
        assert not any(task.done() for task in waiting)
        decoder = frames.FrameDecoder()
        arrived: list[frames.AnyFrame] = []
        while len(arrived) < 2:
            arrived += decoder.feed(await loop.sock_recv(theirs, MEGABYTE))
        await asyncio.gather(*waiting)
        assert isinstance(arrived[1], frames.Call)
        assert len(arrived[1].payload) == 4 * MEGABYTE
        connection.start(Watched(payload=bytes(4 * MEGABYTE)))
        last = asyncio.create_task(connection.writable())
        await turn()
        connection.abort()
        await last
        await connection.closed


async def test_large_and_small_calls_at_a_time_arrive_in_order() -> None:
    service = Service()
    async with joined(service) as (client, _):
        sent = [bytes([number]) * (300_000 if number % 5 == 0 else number) for number in range(100)]
        answers = await asyncio.gather(*(UnaryCall("s", "echo", payload).run(client.start) for payload in sent))
        assert answers == sent
        assert service.seen == sent
