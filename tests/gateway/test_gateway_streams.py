"""Streams in all directions, at the pace of whoever is slower."""

from __future__ import annotations

import asyncio
import gc
import warnings

import msgspec
import pytest

from microlite.core import errors
from microlite.core.rpc.frames import INITIAL_CREDIT
from tests.gateway.gateway_bench import Bench, Held, Start, Wire

EVENTS = {"Accept": "text/event-stream"}
LINES = "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"


def chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


@pytest.fixture
async def calm(start: Start) -> Bench:
    """A gateway that opens quiet streams quickly."""
    return await start(opening=0.02, ping=0.05)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_is_one_document_a_line(method: str, wire: Wire) -> None:
    answer = await wire.request(method, "/echo/count", b"{}" if method == "POST" else None)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body == b'{"n": 0}\n{"n": 1}\n{"n": 2}\n'
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_a_stream_is_events_for_whoever_wants_them(wire: Wire) -> None:
    answer = await wire.request("GET", "/echo/count", headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    items = b"".join(b'data: {"n": %d}\n\n' % number for number in range(3))
    assert answer.body == items + b"event: end\ndata: null\n\n"


async def test_head_of_a_stream_runs_nothing(bench: Bench, wire: Wire) -> None:
    answer = await wire.request("HEAD", "/echo/count")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert bench.services.calls == []
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_a_stream_that_fails_at_once_has_the_status_of_its_error(bench: Bench, wire: Wire) -> None:
    wire.send("GET /echo/tick HTTP/1.1\r\nHost: localhost\r\n\r\n")
    held = await bench.services.held.get()
    held.inbound.fail(errors.BadRequest("no such thing", id="echo.tick"))
    answer = await wire.answer()
    assert (answer.status, answer.json()["detail"]) == (400, "no such thing")


async def test_a_stream_that_fails_before_its_first_step_leaves_nothing_behind(wire: Wire) -> None:
    """Nothing is printed on the platform's terminal about what was begun for it."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert (await wire.request("GET", "/echo/count", headers={"Timeout": "nonsense"})).status == 400
        assert (await wire.request("GET", "/echo/count")).status == 200
        gc.collect()
    assert [str(one.message) for one in warned] == []


@pytest.mark.parametrize("events", [False, True])
async def test_an_error_on_the_way_is_the_last_that_comes(events: bool, bench: Bench, wire: Wire) -> None:
    accept = "Accept: text/event-stream\r\n" if events else ""
    wire.send(f"GET /echo/tick HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n")
    held = await bench.services.held.get()
    held.inbound.item(b"1")
    assert (await wire.head()).status == 200
    await wire.chunk()
    held.inbound.item(b"2")
    held.inbound.fail(errors.Conflict("too late", id="echo.tick"))
    rest = b""
    while piece := await wire.chunk():
        rest += piece
    error = b'{"id":"echo.tick","code":409,"detail":"too late","status":"Conflict"}'
    if events:
        assert rest == b"data: 2\n\nevent: error\ndata: " + error + b"\n\n"
    else:
        assert rest == b'2\n{"error":' + error + b"}\n"


async def test_a_quiet_stream_is_opened_and_kept_open(calm: Bench) -> None:
    """The head does not wait for the first item for long, and comments keep the connection in use."""
    wire = await calm.connect()
    wire.send("GET /echo/tick HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
    held = await calm.services.held.get()
    assert (await wire.head()).status == 200
    for _ in range(3):
        assert await wire.chunk() == b": ping\n\n"
    held.inbound.item(b"1")
    pieces = b""
    while b"data" not in pieces:
        pieces += await wire.chunk()
    assert pieces.endswith(b"data: 1\n\n")


async def test_a_quiet_stream_of_lines_is_just_quiet(calm: Bench) -> None:
    wire = await calm.connect()
    wire.send("GET /echo/tick HTTP/1.1\r\nHost: localhost\r\n\r\n")
    held = await calm.services.held.get()
    assert (await wire.head()).status == 200
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.15)
    held.inbound.end()
    assert await wire.chunk() == b""


async def test_a_stream_has_no_deadline_unless_asked_for(calm: Bench) -> None:
    wire = await calm.connect()
    await wire.request("GET", "/echo/count")
    assert calm.services.calls[-1].timeout is None
    await wire.request("GET", "/echo/count", headers={"Timeout": "5s"})
    assert calm.services.calls[-1].timeout == 5.0


async def test_a_client_that_goes_away_cancels_its_stream(calm: Bench) -> None:
    wire = await calm.connect()
    wire.send("GET /echo/tick HTTP/1.1\r\nHost: localhost\r\n\r\n")
    held = await calm.services.held.get()
    await wire.head()
    await wire.close()
    await held.canceled.wait()
    await calm.idle()
    assert calm.gateway.edge.streams == set()


async def test_a_slow_reader_never_makes_memory_grow(calm: Bench) -> None:
    """The service is stopped by its credit: what is held is bounded, and all of it arrives in the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", calm.gateway.port, limit=1024)
    wire = Wire(reader, writer)
    wire.send("GET /echo/flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
    held = await calm.services.held.get()
    item = b'"' + b"x" * 16_000 + b'"'
    total, sent, peak = 4_000, 0, 0
    while sent < total:  # 64 MB, which nobody reads yet
        while held.credit <= 0:
            held.more.clear()
            try:
                await asyncio.wait_for(held.more.wait(), 0.2)
            except TimeoutError:
                break
        if held.credit <= 0:
            break
        held.credit -= len(item) + 64
        held.inbound.item(item)
        sent += 1
        peak = max(peak, *(stream.held for stream in calm.gateway.edge.streams))
    assert sent < total / 2, "the service was never stopped"
    assert peak <= INITIAL_CREDIT + len(item) + 64
    for connection in calm.gateway.connections:
        assert connection.transport.get_write_buffer_size() < 2 * INITIAL_CREDIT
    held.inbound.end()
    assert (await wire.answer()).body == (item + b"\n") * sent
    await wire.close()


async def test_lines_of_a_body_are_a_stream(bench: Bench, wire: Wire) -> None:
    """Query and path are the request, each line an item, however the bytes are cut; the answer is one reply."""
    wire.send(f"POST /echo/sum?unit=m HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n" + chunk('{"n":1}\n{"n"'))
    held = await bench.services.held.get()
    assert msgspec.json.decode(held.inbound.payload) == {"unit": "m"}
    assert held.inbound.credit == 0
    wire.send(chunk(':2}\r\n\n  \n{"n":3') + chunk("}") + "0\r\n\r\n")
    await held.ended.wait()
    assert held.items == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    held.inbound.reply(b'{"sum":6}')
    assert (await wire.answer()).json() == {"sum": 6}
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_an_early_reply_ends_a_clients_stream(bench: Bench, wire: Wire) -> None:
    wire.send(f"POST /echo/sum HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n" + chunk("1\n"))
    held = await bench.services.held.get()
    held.inbound.reply(b'{"enough":true}')
    assert (await wire.answer()).json() == {"enough": True}
    wire.send(chunk("2\n") + "0\r\n\r\n")
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_both_directions_at_once(bench: Bench, wire: Wire) -> None:
    wire.send(f"POST /echo/chat HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n")
    held = await bench.services.held.get()
    for number in range(3):
        wire.send(chunk(f"{number}\n"))
        while len(held.items) <= number:
            held.more.clear()
            await held.more.wait()
        held.inbound.item(b'"got %b"' % held.items[number])
        if number == 0:
            assert (await wire.head()).status == 200
        assert await wire.chunk() == b'"got %d"\n' % number
    wire.send("0\r\n\r\n")
    await held.ended.wait()
    held.inbound.end()
    assert await wire.chunk() == b""


async def test_a_slow_service_slows_its_client_down(bench: Bench, wire: Wire) -> None:
    """What the service gives no credit for stays with the client."""

    class Deaf(Held):
        def on_item(self, payload: bytes) -> None:
            self.items.append(payload)

    wire.send(f"POST /echo/sum HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n")
    held = await bench.services.held.get()
    deaf = Deaf(held.inbound)
    line = '"' + "x" * 10_000 + '"\n'
    blocked = False
    for _ in range(4_000):
        wire.send(chunk(line))
        try:
            await asyncio.wait_for(wire.writer.drain(), 0.2)
        except TimeoutError:
            blocked = True
            break
    assert blocked
    assert sum(map(len, deaf.items)) <= INITIAL_CREDIT + len(line)
    wire.writer.transport.abort()  # a polite end would wait until all is sent


async def test_lines_have_a_type_and_a_length(start: Start) -> None:
    bench = await start(max_body=1000)
    wire = await bench.connect()
    answer = await wire.request("POST", "/echo/sum", b"{}")
    assert answer.status == 415
    assert bench.services.calls == []
    wire.send(f"POST /echo/sum HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n" + chunk("x" * 2000))
    held = await bench.services.held.get()
    assert (await wire.answer()).status == 413
    assert held.canceled.is_set()


async def test_a_clients_stream_does_not_answer_get(wire: Wire) -> None:
    assert (await wire.request("GET", "/echo/sum")).status == 405


async def test_a_client_that_goes_away_within_its_stream(bench: Bench, wire: Wire) -> None:
    wire.send(f"POST /echo/sum HTTP/1.1\r\nHost: localhost\r\n{LINES}\r\n" + chunk("1\n"))
    held = await bench.services.held.get()
    await wire.close()
    await held.canceled.wait()
    await bench.idle()
