"""WebSockets that pages of other sites open, that carry tokens of others, or whose frames are made to cost."""

from __future__ import annotations

import struct
import zlib

import psutil
import pytest

from tests.gateway.gateway_bench import Bench, Start, Wire
from tests.gateway.test_gateway_frames import DEFLATE, TEXT, close_code, frame, opening

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "http://localhost.evil.example", "http://localhost@evil.example", "file://"),
        *("http://127.0.0.1.evil.example", "HTTP://EVIL.EXAMPLE", "http://localhost:1", "chrome-extension://abc", "x"),
        *(
            "http://shop.localhost",
            "https://listed.example.evil.example",
            "https://evil.example/https://listed.example",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/echo", "/echo/chat", "/store/read"])
async def test_a_page_of_another_origin_opens_none(origin: str, path: str, start: Start) -> None:
    """A browser asks nobody before it opens one, nor does it keep the answer from the page."""
    bench = await start(cors_origins=("https://listed.example",))
    wire = await bench.connect()
    wire.send(opening(path, f"Origin: {origin}\r\n", "Authorization: Bearer the-admin-token\r\n"))
    assert (await wire.head()).status == 403
    assert bench.services.calls == []


@pytest.mark.parametrize(
    "protocols",
    [
        *("microlite.token.", "microlite.token.wrong", "microlite, microlite.token.the-admin-toke"),
        *("microlite.token.x, microlite.token.the-admin-token", "microlite.token.the-admin-token.x", "Bearer"),
    ],
)
async def test_only_one_token_and_the_right_one_opens_what_is_closed(protocols: str, bench: Bench, wire: Wire) -> None:
    wire.send(opening("/store/read", f"Sec-WebSocket-Protocol: {protocols}\r\n"))
    head = await wire.head()
    assert head.status in (400, 401), head
    assert "the-admin-token" not in str(head.headers)
    assert bench.services.calls == []


@pytest.mark.parametrize("more", ["Cookie: microlite-session=x\r\n", "Cookie: token=the-admin-token\r\n", ""])
async def test_a_cookie_or_nothing_opens_nothing(more: str, bench: Bench, wire: Wire) -> None:
    wire.send(opening("/store/read", more))
    assert (await wire.head()).status == 401


SIZES = {
    "a frame of eight exabytes": struct.pack("!BBQ", 0x81, 0xFF, 2**63 - 1),
    "a frame with the highest bit": struct.pack("!BBQ", 0x81, 0xFF, 2**64 - 1),
    "a frame of a gigabyte": struct.pack("!BBQ", 0x81, 0xFF, 2**30),
    "an endless message": frame(b"x" * 500, TEXT, fin=False) + frame(b"x" * 500, 0, fin=False) * 10,
    "endless empty pieces": frame(b"", TEXT, fin=False) + frame(b"", 0, fin=False) * 5000 + frame(b"x" * 1001, 0),
    "a large ping": frame(b"x" * 126, 9),
    "a ping in pieces": frame(b"x", 9, fin=False),
    "an unknown opcode": frame(b"", 3),
    "a reserved bit": frame(b"{}", rsv=0x40),
    "no mask": frame(b"{}", mask=False),
    "a continuation of nothing": frame(b"{}", 0),
    "a close of one byte": frame(b"x", 8),
    "a close with a code that is none": frame(struct.pack("!H", 1005), 8),
}


@pytest.mark.parametrize("sent", SIZES.values(), ids=SIZES.keys())
async def test_frames_that_are_made_to_cost(sent: bytes, start: Start) -> None:
    bench = await start(max_body=1000, linger=0.5)
    wire = await bench.connect()
    wire.send(opening())
    assert (await wire.head()).status == 101
    wire.send(sent)
    assert await close_code(wire) in (1002, 1007, 1009)
    assert bench.services.calls == []


@pytest.mark.parametrize("context", ["", "; client_no_context_takeover", "; server_no_context_takeover"])
async def test_a_message_that_inflates_is_cut_off(context: str, start: Start) -> None:
    """64 MiB in 64 KiB; no more than a message may be is ever made of it."""
    bench = await start(max_body=MIB, linger=0.5)
    wire = await bench.connect()
    wire.send(opening("/echo", DEFLATE.replace("\r\n", f"{context}\r\n")))
    assert (await wire.head()).status == 101
    packer = zlib.compressobj(wbits=-12)
    bomb = packer.compress(b"0" * 64 * MIB) + packer.flush(zlib.Z_SYNC_FLUSH)
    before = psutil.Process().memory_info().rss
    wire.send(frame(bomb[:-4], rsv=0x40))
    assert await close_code(wire) == 1009
    assert psutil.Process().memory_info().rss - before < 32 * MIB
    assert bench.services.calls == []
