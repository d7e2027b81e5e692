"""WebSockets byte by byte: frames as no well-meaning client sends them."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import zlib

import msgspec
import pytest

from tests.gateway.gateway_bench import Bench, Start, Wire

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bool = True) -> bytes:
    first = (0x80 if fin else 0) | rsv | opcode
    flag = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, flag | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if not mask:
        return head + payload
    key = b"\x01\x02\x03\x04"
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def deflated(text: bytes, *, last: bool = True) -> bytes:
    compressor = zlib.compressobj(wbits=-12)
    data = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4] if last else data


def opening(path: str = "/echo", *more: str, version: str = "13", key: str | None = None) -> str:
    key = base64.b64encode(os.urandom(16)).decode() if key is None else key
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        f"Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n{''.join(more)}\r\n"
    )


async def next_frame(wire: Wire) -> tuple[int, bytes]:
    """First byte and payload of the next frame."""
    first, size = await wire.reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await wire.reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await wire.reader.readexactly(8))
    return first, await wire.reader.readexactly(size)


async def close_code(wire: Wire) -> int:
    """The code with which the server closes; nothing comes after it."""
    first, payload = await next_frame(wire)
    assert first == 0x80 | CLOSE, payload
    assert await wire.closed()
    code: int = struct.unpack("!H", payload[:2])[0]
    return code


@pytest.fixture
async def small(start: Start) -> Bench:
    """A gateway that takes small messages only."""
    return await start(max_body=1000, linger=0.5)


async def upgraded(bench: Bench, path: str = "/echo", *more: str) -> Wire:
    wire = await bench.connect()
    wire.send(opening(path, *more))
    assert (await wire.head()).status == 101
    return wire


async def test_the_handshake_of_the_standard(wire: Wire) -> None:
    """The example of RFC 6455, section 1.3."""
    wire.send(opening(key="dGhlIHNhbXBsZSBub25jZQ=="))
    answer = await wire.head()
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
    assert {"date", "traceparent"} <= set(answer.headers)
    assert "sec-websocket-protocol" not in answer.headers


async def test_an_unknown_version(wire: Wire) -> None:
    wire.send(opening(version="8"))
    answer = await wire.answer()
    assert (answer.status, answer.headers["sec-websocket-version"]) == (426, "13")
    assert answer.headers["upgrade"] == "websocket"
    assert await wire.closed()


@pytest.mark.parametrize("key", ["", "abc", "not base64!", "c2hvcnQ="])
async def test_a_malformed_key(key: str, wire: Wire) -> None:
    wire.send(opening(key=key))
    assert (await wire.answer()).status == 400


async def test_what_is_no_request_for_a_websocket_is_plain_http(bench: Bench, wire: Wire) -> None:
    """A server may ignore what it is asked to upgrade to; WebSocket wants GET, and no body."""
    upgrade = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Type: application/json\r\n"
    wire.send(f'POST /echo HTTP/1.1\r\n{upgrade}Content-Length: 7\r\n\r\n{{"n":1}}')
    assert (await wire.answer()).json() == {"n": 1}
    wire.send(f"GET /echo HTTP/1.1\r\n{upgrade.replace('websocket', 'websocket, h2c')}\r\n")
    assert (await wire.answer()).json() == {}
    wire.send(opening("/healthz"))
    assert (await wire.answer()).json() == {"status": "ok"}
    assert await wire.closed()


async def test_an_upgrade_behind_requests_that_are_being_answered(bench: Bench, wire: Wire) -> None:
    """Its answer waits for its turn, and so does what its client has sent already."""
    post = (
        "POST /echo/hold HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    wire.send(post.encode() + opening().encode() + frame(b'{"n":1}'))
    held = await bench.services.held.get()
    held.inbound.reply(b'{"first":true}')
    assert (await wire.answer()).json() == {"first": True}
    assert (await wire.head()).status == 101
    assert await next_frame(wire) == (0x80 | TEXT, b'{"n":1}')
    assert await close_code(wire) == 1000


async def test_an_upgrade_after_plain_calls(bench: Bench, wire: Wire) -> None:
    for _ in range(3):
        assert (await wire.request("POST", "/echo", b"{}")).status == 200
    wire.send(opening())
    assert (await wire.head()).status == 101
    data = frame(b"{}")
    for index in range(len(data)):
        wire.send(data[index : index + 1])
        await wire.writer.drain()
    assert await next_frame(wire) == (0x80 | TEXT, b"{}")
    wire.send(frame(struct.pack("!H", 1000), CLOSE))
    assert await close_code(wire) == 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"{}", mask=False), 1002),
        (frame(b"{}", rsv=0x40), 1002),
        (frame(b"{}", opcode=3), 1002),
        (frame(b"x" * 126, PING), 1002),
        (frame(b"", PING, fin=False), 1002),
        (frame(b"{}", CONT), 1002),
        (frame(b"{", fin=False) + frame(b"}", TEXT), 1002),
        (frame(b"\x03", CLOSE), 1002),
        (frame(struct.pack("!H", 1005), CLOSE), 1002),
        (frame(b"\xff\xfe"), 1007),
        (frame(b'"\xc3', fin=False) + frame(b'"', CONT), 1007),
        (frame(struct.pack("!H", 1000) + b"\xff", CLOSE), 1007),
        (frame(b"x" * 1001), 1009),
        (frame(b"x" * 600, fin=False) + frame(b"x" * 401, CONT), 1009),
        (struct.pack("!BBQ", 0x82, 0xFF, 1 << 62), 1009),
    ],
)
async def test_malformed_frames_end_it_with_their_code(data: bytes, code: int, small: Bench) -> None:
    """The call, where there is one, is given up."""
    fresh = await upgraded(small)
    fresh.send(data)
    assert await close_code(fresh) == code
    wire = await upgraded(small, "/echo/chat")
    wire.send(frame(b"{}"))
    held = await small.services.held.get()
    wire.send(data)
    assert await close_code(wire) == code
    await held.canceled.wait()


async def test_fragments_are_one_message(small: Bench) -> None:
    """Also with control frames in between, and where a character is cut in two."""
    wire = await upgraded(small)
    text = '{"name":"é"}'.encode()
    cut = text.index(b"\xc3") + 1
    wire.send(frame(text[:cut], fin=False) + frame(b"hi", PING) + frame(b"", CONT, fin=False))
    wire.send(frame(text[cut:], CONT))
    assert await next_frame(wire) == (0x80 | PONG, b"hi")
    assert await next_frame(wire) == (0x80 | TEXT, text)


async def test_messages_before_a_close_count(small: Bench) -> None:
    """All in one segment."""
    wire = await upgraded(small, "/echo/sum")
    wire.send(frame(b"{}") + frame(b"1") + frame(b"2") + frame(b"") + frame(b"", CLOSE))
    held = await small.services.held.get()
    await held.canceled.wait()
    assert held.items == [b"1", b"2"]
    first, payload = await next_frame(wire)
    assert (first, payload) == (0x80 | CLOSE, b"")


async def test_compression_is_agreed_on(small: Bench) -> None:
    """Small answers are left as they are, which each message may be."""
    wire = await small.connect()
    wire.send(opening("/echo", DEFLATE))
    agreed = (await wire.head()).headers["sec-websocket-extensions"]
    assert agreed == "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    wire.send(frame(deflated(b'{"n":1}'), rsv=0x40))
    assert await next_frame(wire) == (0x80 | TEXT, b'{"n":1}')
    large = await upgraded(small, "/echo", DEFLATE)
    text = b'{"text":"' + b"x" * 900 + b'"}'
    large.send(frame(text))
    first, payload = await next_frame(large)
    assert first == 0xC0 | TEXT
    assert len(payload) < 100
    assert zlib.decompressobj(wbits=-12).decompress(payload + b"\x00\x00\xff\xff") == text


@pytest.mark.parametrize("header", ["", "x-unknown", "permessage-deflate; nonsense", "permessage-deflate; ="])
async def test_extensions_that_nobody_knows_are_declined(header: str, small: Bench) -> None:
    wire = await small.connect()
    wire.send(opening("/echo", f"Sec-WebSocket-Extensions: {header}\r\n"))
    answer = await wire.head()
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


async def test_a_decompression_bomb_meets_the_limit(small: Bench) -> None:
    """Whether it is one frame or many."""
    bomb = deflated(b"x" * 10_000_000)
    wire = await upgraded(small, "/echo", DEFLATE)
    wire.send(frame(bomb, rsv=0x40))
    assert await close_code(wire) == 1009
    wire = await upgraded(small, "/echo", DEFLATE)
    piece = deflated(b"x" * 600, last=False)
    wire.send(frame(piece, rsv=0x40, fin=False) + frame(piece, CONT))
    assert await close_code(wire) == 1009
    wire = await upgraded(small, "/echo", DEFLATE)
    wire.send(frame(b"\xff\xff\xff", rsv=0x40))
    assert await close_code(wire) == 1002


async def test_a_client_that_floods_with_pings_and_reads_nothing(small: Bench) -> None:
    """It is read no further; its pongs do not pile up."""
    wire = await upgraded(small)
    pings = frame(b"x" * 125, PING) * 1000
    for _ in range(500):
        wire.send(pings)
        try:
            await asyncio.wait_for(wire.writer.drain(), 0.2)
        except TimeoutError:
            break
    else:
        raise AssertionError("all of it was read")
    for connection in small.gateway.connections:
        assert connection.transport.get_write_buffer_size() < 500_000
    wire.writer.transport.abort()


async def test_a_client_that_answers_no_ping(start: Start) -> None:
    bench = await start(ping=0.05, pong=0.3)
    wire = await bench.connect()
    wire.send(opening("/echo/tick").encode() + frame(b"{}"))
    held = await bench.services.held.get()
    assert (await wire.head()).status == 101
    while (got := await next_frame(wire))[0] == 0x80 | PING:
        pass
    assert got[0] == 0x80 | CLOSE
    assert struct.unpack("!H", got[1][:2])[0] == 4408
    await held.canceled.wait()
    assert await wire.closed()
    await bench.disconnected()


async def test_a_client_that_does_not_close_in_turn_is_cut_off(start: Start) -> None:
    bench = await start(linger=0.1)
    wire = await bench.connect()
    wire.send(opening().encode() + frame(b"{}"))
    assert (await wire.head()).status == 101
    assert await next_frame(wire) == (0x80 | TEXT, b"{}")
    assert await close_code(wire) == 1000
    await bench.disconnected()


async def test_a_client_that_never_reads_is_cut_off(start: Start) -> None:
    bench = await start(write_timeout=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port, limit=1024)
    writer.write(opening("/echo/flood").encode() + frame(b"{}"))
    held = await bench.services.held.get()
    while not held.canceled.is_set():
        if held.credit > 0:
            held.credit -= 100_064
            held.inbound.item(msgspec.json.encode("x" * 99_998))
        await asyncio.sleep(0)
    await bench.idle()
    writer.transport.abort()
    assert reader is not None


async def test_a_first_message_that_is_cut_off_calls_nothing(small: Bench) -> None:
    wire = await upgraded(small)
    wire.send(frame(b"{}")[:-1])
    await wire.close()
    await small.idle()
    await small.disconnected()
    assert small.services.calls == []
