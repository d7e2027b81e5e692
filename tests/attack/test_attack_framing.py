"""Requests that a proxy in front and the gateway could cut apart differently are refused, and end their connection.

RFC 9112, sections 5 to 7, and 11.2; each line is one way that has worked against some server.
"""

from __future__ import annotations

import pytest

from tests.gateway.gateway_bench import Bench, Wire

LINE = "POST /echo HTTP/1.1\r\n"
HEAD = LINE + "Host: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n"
HIDDEN = "POST /echo/meta HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
"""What an attacker would smuggle in, behind what a reader takes for the end of the first request."""

REFUSED = {
    "length and chunks": CHUNKED + "Content-Length: 2\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "two lengths in one": HEAD + "Content-Length: 2, 3\r\n\r\n{} ",
    "the same length twice": HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a signed length": HEAD + "Content-Length: +2\r\n\r\n{}",
    "a negative length": HEAD + "Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": HEAD + "Content-Length: 0x2\r\n\r\n{}",
    "a length with a space in it": HEAD + "Content-Length: 1 0\r\n\r\n{}",
    "a length beyond all numbers": HEAD + "Content-Length: 99999999999999999999999\r\n\r\n{}",
    "an empty length": HEAD + "Content-Length: \r\n\r\n{}",
    "a space before the colon": LINE + "Host: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a tab before the colon": LINE + "Host: localhost\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": LINE + "Host: localhost\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded value": LINE + "Host: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a first line that is folded": LINE + " X: a\r\nHost: localhost\r\n\r\n",
    "a bare CR within a value": LINE + "Host: localhost\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n",
    "a bare CR for an end of line": LINE + "Host: localhost\rContent-Length: 2\r\n\r\n{}",
    "a NUL in a value": LINE + "Host: localhost\r\nX: a\0b\r\n\r\n",
    "a NUL in a name": LINE + "Host: localhost\r\nX\0: a\r\n\r\n",
    "a header without a name": LINE + "Host: localhost\r\n: a\r\n\r\n",
    "a header without a colon": LINE + "Host localhost\r\n\r\n",
    "a name with a bracket": LINE + "Host: localhost\r\nX[]: a\r\n\r\n",
    "chunked is not last": HEAD + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a vertical tab": HEAD + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "identity for a coding": HEAD + "Transfer-Encoding: identity\r\n\r\n{}",
    "quoted chunked": HEAD + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "two codings in two lines": CHUNKED + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": "POST /echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no size of a chunk": CHUNKED + "\r\n\r\n{}\r\n0\r\n\r\n",
    "0x before a size": CHUNKED + "\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a signed size": CHUNKED + "\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a negative size": CHUNKED + "\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a space before a size": CHUNKED + "\r\n 2\r\n{}\r\n0\r\n\r\n",
    "an underscore in a size": CHUNKED + "\r\n1_0\r\n{}\r\n0\r\n\r\n",
    "a size beyond all numbers": CHUNKED + "\r\nfffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "a bare LF after a size": CHUNKED + "\r\n2\n{}\r\n0\r\n\r\n",
    "a bare LF in an extension": CHUNKED + "\r\n2;a\n{}\r\n0\r\n\r\n",
    "a bare CR in an extension": CHUNKED + "\r\n2;a\rb\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than its size": CHUNKED + "\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk that ends without CR": CHUNKED + "\r\n2\r\n{}\n0\r\n\r\n",
    "a folded trailer": CHUNKED + "\r\n2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n",
    "a trailer that forges a length": CHUNKED + "\r\n2\r\n{}\r\n0\r\nContent-Length: 90\r\n\r\n",
    "no version": "POST /echo\r\nHost: localhost\r\n\r\n",
    "a tab in the request line": "POST\t/echo\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the target": "POST /echo /store/read HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method in lower case": "post /echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a version without a point": "POST /echo HTTP/11\r\nHost: localhost\r\n\r\n",
    "a version in lower case": "POST /echo http/1.1\r\nHost: localhost\r\n\r\n",
    "two hosts": LINE + "Host: localhost\r\nHost: evil.example\r\n\r\n",
    "two hosts in one": LINE + "Host: localhost, evil.example\r\n\r\n",
    "a host with a user": LINE + "Host: evil@localhost\r\n\r\n",
    "a host with a path": LINE + "Host: localhost/evil\r\n\r\n",
    "an empty host": LINE + "Host: \r\n\r\n",
    "no host": LINE + "\r\n",
    "two tokens": HEAD
    + "Authorization: Bearer a\r\nAuthorization: Bearer the-admin-token\r\nContent-Length: 2\r\n\r\n{}",
    "two types": HEAD + "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED.keys())
async def test_what_can_be_read_in_two_ways_is_refused(request_: str, bench: Bench, wire: Wire) -> None:
    """Neither it nor what is hidden behind it comes to a service."""
    wire.send(request_.encode("latin-1") + HIDDEN.encode())
    answer = await wire.answer()
    assert answer.status in (400, 501, 505), answer
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers.get("connection") == "close":
        assert await wire.closed()
        assert bench.services.calls == []
    else:  # it was understood in one way only: what follows is the next request, and is answered as that
        assert (await wire.answer()).status == 200
        assert len(bench.services.calls) == 1
    await bench.idle()


HARMLESS = {
    "an extension of a chunk": CHUNKED + '\r\n2;a=b;c="d"\r\n{}\r\n0\r\n\r\n',
    "leading zeros": CHUNKED + "\r\n0002\r\n{}\r\n000\r\n\r\n",
    "a trailer that forges a token": CHUNKED + "\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer the-admin-token\r\n\r\n",
    "a trailer that forges a host": CHUNKED + "\r\n2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n",
    "capitals": HEAD.upper().replace("/ECHO", "/echo") + "TRANSFER-ENCODING: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two spaces before the version": "POST /echo  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "empty lines before": "\r\n\r\n" + HEAD + "Content-Length: 2\r\n\r\n{}",
    "a body of GET": "GET /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n" + "x" * 90,
}


@pytest.mark.parametrize("request_", HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_can_be_read_in_one_way_ends_where_it_says(request_: str, bench: Bench, wire: Wire) -> None:
    wire.send(request_ + HIDDEN)
    assert (await wire.answer()).status == 200
    hidden = await wire.answer()
    assert hidden.json()["account"] is None
    assert "authorization" not in hidden.json()
    assert len(bench.services.calls) == 2


@pytest.mark.parametrize("size", [200_000, 2_000_000])
async def test_an_extension_of_a_chunk_does_not_grow_for_ever(size: int, bench: Bench, wire: Wire) -> None:
    wire.send(CHUNKED + "\r\n2;x=")
    for _ in range(size // 10_000):
        wire.send("y" * 10_000)
        try:
            await wire.writer.drain()
        except ConnectionError:
            break
    assert (await wire.answer()).status == 431
    assert bench.services.calls == []


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://localhost/echo", 200),
        ("http://evil.example/echo", 421),
        ("http://localhost@evil.example/echo", 400),
        ("http://localhost:80@evil.example/echo", 400),
        ("http://evil.example#@localhost/echo", 421),
        ("http://evil.example\\@localhost/echo", 400),
        ("http:///echo", 400),
        ("http://", 400),
        ("hTTp://localhost/echo", 400),
        ("ftp://localhost/echo", 400),
        ("//evil.example/echo", 400),
        ("/echo#/../store/read", 200),
        ("echo", 400),
        ("*", 405),
    ],
)
async def test_a_target_with_a_host_goes_nowhere_else(target: str, code: int, bench: Bench, wire: Wire) -> None:
    wire.send(
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    answer = await wire.answer()
    assert answer.status in (code, 400), answer
    assert len(bench.services.calls) == (answer.status == 200)
