"""Clients that are slow on purpose hold nothing for long, and not the others; with limits of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateway.gateway_bench import Start, Wire

HEAD = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
UPGRADE = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
MANY = 60

SLOW = {
    "nothing at all": "",
    "one byte": "P",
    "half a request line": "POST /ec",
    "half a header": HEAD + "X-Slow: ",
    "no end of the head": HEAD,
    "half a body": HEAD + "Content-Length: 10\r\n\r\n{",
    "half a chunk": HEAD + "Transfer-Encoding: chunked\r\n\r\na\r\n{",
    "half a trailer": HEAD + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ",
    "half a form": "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    "Content-Length: 90\r\n\r\n--b\r\n",
    "a promise": HEAD + "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    "half a handshake of a WebSocket": UPGRADE,
    "a WebSocket without a word": UPGRADE
    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}


@pytest.mark.parametrize("way_", ["fast", "asgi"])
@pytest.mark.parametrize("beginning", SLOW.values(), ids=SLOW.keys())
async def test_who_begins_and_does_not_go_on_is_cut_off(beginning: str, way_: str, start: Start) -> None:
    """Many of them at once; meanwhile others are answered, and afterwards nothing is left of them."""
    bench = await start(
        fast=way_ == "fast", head_timeout=0.2, body_timeout=0.2, keep_alive=0.2, linger=0.1, write_timeout=0.2, pong=0.4
    )
    crowd = [await bench.connect() for _ in range(MANY)]
    for wire in crowd:
        wire.send(beginning)
    honest = await bench.connect()
    assert (await honest.request("POST", "/echo", b'{"n":1}')).json() == {"n": 1}
    await honest.close()

    async def end(wire: Wire) -> None:
        try:
            while await wire.reader.read(65536):
                pass
        except ConnectionError:
            pass

    await asyncio.gather(*map(end, crowd))
    for wire in crowd:
        await wire.close()
    await bench.disconnected()
    await bench.idle()


async def test_a_crowd_that_fills_all_places_leaves_them_again(start: Start) -> None:
    """Whoever comes while they are taken is told to come back, and finds a place when they have been cut off."""
    bench = await start(max_connections=20, head_timeout=0.2, keep_alive=0.2, linger=0.1)
    crowd = [await bench.connect() for _ in range(20)]
    for wire in crowd:
        wire.send("POST /echo HTTP/1.1\r\nX: ")
    late = await bench.connect()
    assert (await late.answer()).status == 503
    for wire in crowd:
        await wire.close()
    await late.close()
    await bench.disconnected()
    again = await bench.connect()
    assert (await again.request("POST", "/echo", b"{}")).status == 200


async def test_bodies_that_are_announced_take_no_memory(start: Start) -> None:
    """What is bounded is what has arrived: a length of ten megabytes from each of a crowd is nothing yet."""
    bench = await start(max_held=1_000_000, body_timeout=0.3, linger=0.1)
    crowd = [await bench.connect() for _ in range(MANY)]
    for wire in crowd:
        wire.send(HEAD + "Content-Length: 9000000\r\n\r\n" + '"')
    honest = await bench.connect()
    assert (await honest.request("POST", "/echo", b'{"n":1}')).json() == {"n": 1}
