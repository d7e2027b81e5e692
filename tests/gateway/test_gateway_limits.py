"""Whatever a client sends or leaves out, the gateway holds a bounded part of it, for a bounded time."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.gateway_bench import Bench, Start, Wire

POST = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SMALL = '{"n":1}'


@pytest.fixture
def fast(way: str) -> bool:
    return way == "fast"


async def test_a_large_body_is_refused_by_its_length(start: Start, fast: bool) -> None:
    """The client gets the answer, although it never stops sending."""
    bench = await start(fast=fast, max_body=1000)
    wire = await bench.connect()
    body = b"x" * 3_000_000
    answer = await wire.request("POST", "/echo", body)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert answer.json()["status"] == "Payload Too Large"
    assert await wire.closed()
    assert bench.services.calls == []


async def test_a_large_body_is_refused_while_it_comes(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_body=1000)
    wire = await bench.connect()
    wire.send(POST + "Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(500):
        wire.send("1000\r\n" + "x" * 4096 + "\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert await wire.closed()


async def test_a_large_body_is_not_asked_for(start: Start, fast: bool) -> None:
    """Whoever waits for 100 Continue never sends what would be refused."""
    bench = await start(fast=fast, max_body=1000)
    wire = await bench.connect()
    wire.send(POST + "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n")
    assert (await wire.answer()).status == 413


async def test_a_body_at_the_limit_passes(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_body=1000)
    wire = await bench.connect()
    body = b'"' + b"x" * 998 + b'"'
    assert (await wire.request("POST", "/echo", body)).body == body
    assert (await wire.request("POST", "/echo", body + b" ")).status == 413


async def test_a_refused_body_is_read_on_for_a_while(bench: Bench, wire: Wire) -> None:
    """What was refused for another reason does not cost a small request its connection."""
    answer = await wire.request("POST", "/nobody", b"x" * 100_000)
    assert answer.status == 404
    assert "connection" not in answer.headers
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_a_refused_body_is_not_read_on_for_ever(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_body=10_000, linger=0.1)
    wire = await bench.connect()
    wire.send(POST.replace("/echo", "/nobody") + "Transfer-Encoding: chunked\r\n\r\n")
    assert (await wire.answer()).status == 404
    with pytest.raises(ConnectionError):
        await wire.send_until_cut_off("1000\r\n" + "x" * 4096 + "\r\n")


@pytest.mark.parametrize(
    "head",
    [
        "X-Long: " + "x" * 200_000,
        "\r\n".join(f"X-{number}: {'x' * 100}" for number in range(90)) + "\r\n",
        "\r\n".join(f"X-{number}: x" for number in range(200)) + "\r\n",
    ],
    ids=["one header without end", "large in sum", "many"],
)
@pytest.mark.parametrize("size", [1_000, 1_000_000], ids=["in pieces", "at once"])
async def test_heads_are_bounded(head: str, size: int, start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_head=8192, max_headers=100)
    wire = await bench.connect()
    data = f"GET /echo HTTP/1.1\r\nHost: localhost\r\n{head}"
    for place in range(0, len(data), size):
        wire.send(data[place : place + size])
        await asyncio.sleep(0)
    if head.endswith("\n"):
        wire.send("\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.json()["status"]) == (431, "Request Header Fields Too Large")
    assert await wire.closed()


async def test_the_target_is_bounded(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_url=1000)
    wire = await bench.connect()
    wire.send("GET /echo?" + "x" * 2000)
    assert (await wire.answer()).status == 414
    assert await wire.closed()


@pytest.mark.parametrize("trailer", ["X: " + "x" * 1_000_000, "X: y\r\n" * 20_000], ids=["one", "many"])
async def test_trailers_are_bounded(trailer: str, start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_head=8192)
    wire = await bench.connect()
    wire.send(POST + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
    for place in range(0, len(trailer), 10_000):
        wire.send(trailer[place : place + 10_000])
        await wire.writer.drain()
    assert (await wire.answer()).status == 431
    assert await wire.closed()
    assert bench.services.calls == []


async def test_a_large_body_in_one_piece_does_not_count_as_head(start: Start, fast: bool) -> None:
    """Nor does what came before it, nor the beginning of what follows."""
    bench = await start(fast=fast, max_head=1000)
    wire = await bench.connect()
    body = '"' + "x" * 50_000 + '"'
    wire.send(f"{POST}Content-Length: {len(body)}\r\n\r\n{body}" + POST[:20])
    assert len((await wire.answer()).body) == len(body)
    wire.send(POST[20:] + f"Content-Length: {len(SMALL)}\r\n\r\n{SMALL}")
    assert (await wire.answer()).json() == {"n": 1}


async def test_a_slow_head_times_out(start: Start, fast: bool) -> None:
    """From its first byte on, whatever trickles in meanwhile."""
    bench = await start(fast=fast, head_timeout=0.15)
    wire = await bench.connect()
    assert (await wire.request("POST", "/echo", b"{}")).status == 200
    for byte in "GET /echo HTTP/1.1\r\nX-Slow: " + "x" * 10_000:
        wire.send(byte)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.sleep(0.01)), 1)
            if wire.reader._buffer:  # type: ignore[attr-defined]  # is there anything, without taking it
                break
        except ConnectionError:
            break
    assert (await wire.answer()).status == 408
    assert await wire.closed()


async def test_a_slow_body_times_out(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, body_timeout=0.1)
    wire = await bench.connect()
    wire.send(POST + "Content-Length: 10\r\n\r\n{")
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await wire.closed()
    await bench.idle()


async def test_an_idle_connection_is_closed(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, keep_alive=0.1)
    silent, used = await bench.connect(), await bench.connect()
    assert (await used.request("POST", "/echo", b"{}")).status == 200
    assert await used.closed()
    assert await silent.closed()


async def test_a_connection_with_a_slow_answer_is_not_idle(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, keep_alive=0.05, head_timeout=0.05, body_timeout=0.05)
    wire = await bench.connect()
    wire.send(POST.replace("/echo", "/echo/hold") + "Content-Length: 2\r\n\r\n{}")
    held = await bench.services.held.get()
    idle = await bench.connect()
    assert await idle.closed()
    assert not held.canceled.is_set()
    held.inbound.reply(b'{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}


async def test_a_client_that_never_reads_is_cut_off(start: Start, fast: bool) -> None:
    """What waits for it is not kept for ever."""
    bench = await start(fast=fast, write_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port, limit=1024)
    wire = Wire(reader, writer)
    body = '"' + "x" * 9_000_000 + '"'
    wire.send(f"{POST}Content-Length: {len(body)}\r\n\r\n{body}")
    await writer.drain()
    await bench.disconnected()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await wire.answer()
    writer.transport.abort()


async def test_requests_at_a_time_are_bounded(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_requests=1)
    first, second = await bench.connect(), await bench.connect()
    first.send(POST.replace("/echo", "/echo/hold") + "Content-Length: 2\r\n\r\n{}")
    held = await bench.services.held.get()
    answer = await second.request("POST", "/echo", b"{}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    held.inbound.reply(b"{}")
    await first.answer()
    assert (await second.request("POST", "/echo", b"{}")).status == 200


async def test_connections_are_bounded(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, max_connections=1)
    first = await bench.connect()
    assert (await first.request("POST", "/echo", b"{}")).status == 200
    second = await bench.connect()
    answer = await second.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert await second.closed()
    assert (await first.request("POST", "/echo", b"{}")).status == 200


async def test_pipelined_requests_are_bounded(start: Start, fast: bool) -> None:
    """Those that fit are answered, then the connection ends with 429."""
    bench = await start(fast=fast, max_pipeline=3)
    wire = await bench.connect()
    small = POST + f"Content-Length: {len(SMALL)}\r\n\r\n{SMALL}"
    wire.send(small.replace("/echo", "/echo/hold") + small * 20)
    held = await bench.services.held.get()
    held.inbound.reply(b"{}")
    answers = [await wire.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 429]
    assert await wire.closed()


async def test_a_refused_client_that_stays_is_cut_off(start: Start, fast: bool) -> None:
    bench = await start(fast=fast, linger=0.1)
    wire = await bench.connect()
    wire.send("nonsense\r\n\r\n")
    assert (await wire.answer()).status == 400
    assert await wire.closed()
    await bench.disconnected()
    with pytest.raises(ConnectionError):
        await wire.send_until_cut_off("still here")
