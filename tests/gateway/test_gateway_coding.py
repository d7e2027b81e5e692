"""Answers are compressed for whoever likes it and where it is worth it, and not sent to whoever has them."""

from __future__ import annotations

import asyncio
import gzip

import msgspec
import pytest
import zstandard

from microlite.web.gateway.codings import INLINE, MIN_SIZE, choose, is_compressible
from microlite.web.gateway.conditional import etag, is_known
from tests.gateway.gateway_bench import TOKEN, Answer, Bench, Start, Wire

SMALL = msgspec.json.encode({"text": "x" * 2000})
LARGE = msgspec.json.encode({"text": "wörter " * 200_000})
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


def plain(answer: Answer) -> bytes:
    """The body as it was before it was compressed."""
    match answer.headers.get("content-encoding"):
        case "gzip":
            return gzip.decompress(answer.body)
        case "zstd":
            return zstandard.decompress(answer.body)
        case _:
            return answer.body


CHOICES = [
    ("", ""),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("gzip, deflate, br, zstd", "zstd"),
    ("gzip, deflate, br", "gzip"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("gzip;q=1.0, zstd;q=0.5", "gzip"),
    ("zstd;q=0, gzip;q=0.001", "gzip"),
    ("gzip;q=0", ""),
    ("*", "zstd"),
    ("*;q=0", ""),
    ("gzip;q=0, *", "zstd"),
    ("identity", ""),
    ("identity;q=0", ""),
    ("gzip;q=0.5, identity", ""),
    ("gzip, identity", "gzip"),
    ("br", ""),
    ("gzip;q=2", ""),
    ("gzip;quality=1", ""),
    (" , ;,", ""),
]


@pytest.mark.parametrize(("accepted", "coding"), CHOICES)
def test_the_coding_that_the_client_likes_best(accepted: str, coding: str) -> None:
    assert choose(accepted) == coding


@pytest.mark.parametrize(
    ("kind", "worth"),
    [
        (b"application/json", True),
        (b"application/problem+json", True),
        (b"text/html; charset=utf-8", True),
        (b"Text/CSV", True),
        (b"image/svg+xml", True),
        (b"image/png", False),
        (b"application/zip", False),
        (b"application/octet-stream", False),
        (b"text/event-stream", False),
    ],
)
def test_what_is_worth_it(kind: bytes, worth: bool) -> None:
    assert is_compressible(kind, MIN_SIZE) is worth
    assert not is_compressible(kind, MIN_SIZE - 1)


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["at once", "on a thread"])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", ["/echo", "/echo/later"])
async def test_an_answer_is_compressed(path: str, coding: str, body: bytes, wire: Wire) -> None:
    """With its true length, and a connection that goes on."""
    assert (len(body) > INLINE) is (body is LARGE)
    for _ in range(2):
        answer = await wire.request("POST", path, body, {"Accept-Encoding": coding})
        assert answer.headers["content-encoding"] == coding
        assert answer.headers["vary"] == "Accept-Encoding"
        assert len(answer.body) < len(body) / 10
        assert plain(answer) == body
    assert (await wire.request("POST", path, body)).body == body


async def test_pages_of_other_origins_get_it_compressed_too(wire: Wire) -> None:
    headers = {"Accept-Encoding": "gzip", "Origin": "http://a.example"}
    answer = await wire.request("POST", "/echo", SMALL, headers)
    assert plain(answer) == SMALL
    assert answer.headers["vary"] == "Accept-Encoding, Origin"


async def test_head_tells_what_get_would_send(start: Start, way: str) -> None:
    bench = await start(fast=way == "fast", max_url=20_000)
    wire = await bench.connect()
    path = f"/echo?name={'x' * 5000}"
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        get = await wire.request("GET", path, headers=headers)
        head = await wire.request("HEAD", path, headers=headers)
        for name in ("content-length", "content-encoding", "content-type", "etag", "vary"):
            assert head.headers.get(name) == get.headers.get(name)
        assert head.body == b""


async def test_streams_and_errors_are_not_compressed(wire: Wire) -> None:
    accept = {"Accept-Encoding": "gzip"}
    for headers in (accept, {**accept, "Accept": "text/event-stream"}):
        answer = await wire.request("GET", "/echo/count", headers=headers)
        assert "content-encoding" not in answer.headers
    answer = await wire.request("GET", f"/{'x' * 3000}", headers=accept)
    assert answer.status == 404
    assert len(answer.body) > MIN_SIZE
    assert "content-encoding" not in answer.headers


async def test_pages_of_the_platform_are_compressed(wire: Wire) -> None:
    for number in range(50):
        await wire.request("GET", f"/nobody/{number}")
    answer = await wire.request("GET", "/metrics", headers={**ADMIN, "Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert b"microlite_http_requests_total" in plain(answer)


async def test_a_client_that_goes_away_while_its_answer_is_compressed(bench: Bench) -> None:
    for _ in range(5):
        wire = await bench.connect()
        wire.send(
            f"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n"
            f"Content-Length: {len(LARGE)}\r\n\r\n".encode()
            + LARGE
        )
        await wire.writer.drain()
        await wire.close()
    await bench.idle()
    await bench.disconnected()


async def test_pipelined_answers_keep_their_order(wire: Wire) -> None:
    """A short answer does not overtake one that is being compressed."""
    head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept-Encoding: zstd\r\n"
    wire.send(b"".join(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in (LARGE, b"1", SMALL)))
    assert [plain(await wire.answer()) for _ in range(3)] == [LARGE, b"1", SMALL]


async def test_the_loop_is_free_while_a_large_answer_is_compressed(bench: Bench, wire: Wire) -> None:
    other = await bench.connect()
    await other.request("POST", "/echo", b"{}")
    slow = asyncio.create_task(wire.request("POST", "/echo", LARGE, {"Accept-Encoding": "gzip"}))
    await bench.busy()
    loop = asyncio.get_running_loop()
    longest = 0.0
    while not slow.done():
        began = loop.time()
        await other.request("POST", "/echo", b"{}")
        longest = max(longest, loop.time() - began)
    assert plain(await slow) == LARGE
    assert longest < 1.0


# -- conditional requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("", False),
        ("*", True),
        ('"a"', True),
        ('W/"a"', True),
        ('"b", W/"a"', True),
        ('"b"', False),
        ("a", False),
        ('"a', False),
        ('"aa"', False),
    ],
)
def test_a_tag_is_known(header: str, known: bool) -> None:
    assert is_known('"a"', header) is known


@pytest.mark.parametrize("accept", ["", "gzip"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_not_sent_again(method: str, accept: str, wire: Wire) -> None:
    """The tag of one form is known for the others: the reply is the same."""
    first = await wire.request("GET", "/echo?name=x", headers={"Accept-Encoding": accept})
    for tag in (first.headers["etag"], f"W/{etag(first.body)}", f'"zzz", {etag(first.body)}', "*"):
        again = await wire.request(method, "/echo?name=x", headers={"If-None-Match": tag, "Accept-Encoding": accept})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-type" not in again.headers
        assert "content-length" not in again.headers
    changed = await wire.request(method, "/echo?name=y", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status == 200


async def test_a_compressed_answer_has_a_weak_tag(start: Start, way: str) -> None:
    """It says the same and is not the same bytes (RFC 9110, section 8.8.1)."""
    bench = await start(fast=way == "fast", max_url=20_000)
    wire = await bench.connect()
    path = f"/echo?name={'x' * 5000}"
    whole = await wire.request("GET", path)
    packed = await wire.request("GET", path, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["etag"] == f"W/{whole.headers['etag']}"
    again = {"If-None-Match": packed.headers["etag"], "Accept-Encoding": "gzip"}
    answer = await wire.request("GET", path, headers=again)
    assert (answer.status, answer.headers["vary"]) == (304, "Accept-Encoding")


async def test_a_post_is_never_304(wire: Wire) -> None:
    answer = await wire.request("POST", "/echo", b"{}", {"If-None-Match": "*"})
    assert (answer.status, answer.body) == (200, b"{}")
