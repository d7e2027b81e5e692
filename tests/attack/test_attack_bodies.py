"""Bodies that are made to cost: too deep, compressed to nothing, of endless parts.

Each is refused or cheap, and the platform answers the next request as if nothing had been.
"""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest
import zstandard

from microlite import Context, Service, errors
from microlite.core.clock import SystemClock
from microlite.core.rpc.call import UnaryCall
from microlite.testing import RunningPlatform, platform
from tests.gateway.gateway_bench import Start

MIB = 1024 * 1024


def victim() -> Service:
    service = Service("victim")

    @service.endpoint
    async def take(ctx: Context, anything: Any = None, tags: list[str] | None = None) -> int:
        return len(tags or ())

    return service


@pytest.fixture
async def running() -> AsyncIterator[RunningPlatform]:
    async with platform(clock=SystemClock()) as running:
        await running.serve(victim())
        yield running


DEEP = 100_000

DOCUMENTS = {
    "lists": b"[" * DEEP + b"]" * DEEP,
    "lists in a field": b'{"anything":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "objects": b'{"anything":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "lists without end": b'{"anything":' + b"[" * (2 * DEEP),
    "escapes": b'{"anything":"' + b"\\" * (2 * DEEP + 1),
    "a number of a million digits": b'{"anything":' + b"9" * MIB + b"}",
    "a power without end": b'{"anything":1e' + b"9" * DEEP + b"}",
    "keys without end": b"{" + b'"a":1,' * DEEP + b'"a":1}',
    "half a surrogate": b'{"anything":"\\ud800"}',
    "no UTF-8": b'{"anything":"\xff\xfe"}',
    "NUL": b"\0" * DEEP,
    "not a number": b'{"anything":NaN}',
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
@pytest.mark.parametrize("target", ["victim/take", "store/write", "auth/token", "config/set?path=a"])
async def test_documents_that_are_made_to_cost(document: bytes, target: str, running: RunningPlatform) -> None:
    """As an admin, so that they come as far as they can. Whatever the answer, it is no failure of the platform."""
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as client:
        began = time.process_time()
        async with client.post(f"{running.http}/{target}", data=io.BytesIO(document)) as answer:
            assert answer.status < 500, await answer.text()
            assert len(await answer.read()) < 4096
        assert time.process_time() - began < 5
        async with client.post(f"{running.http}/victim/take", json={"tags": ["a"]}) as answer:
            assert await answer.json() == 1


PACKED = {
    "lists": b"\x91" * DEEP + b"\xc0",
    "maps": b"\x81\xa1a" * DEEP + b"\xc0",
    "lists in a field": b"\x81\xa8anything" + b"\x91" * DEEP + b"\xc0",
    "a list of four billion": b"\x81\xa8anything\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\xdf\xff\xff\xff\xff",
    "a text of four billion": b"\x81\xa8anything\xdb\xff\xff\xff\xff",
    "bytes of four billion": b"\x81\xa8anything\xc6\xff\xff\xff\xff",
    "an extension": b"\x81\xa8anything\xc9\xff\xff\xff\xff\x01",
    "nothing": b"",
    "the byte that is none": b"\xc1",
}


@pytest.mark.parametrize("payload", PACKED.values(), ids=PACKED.keys())
@pytest.mark.parametrize("target", ["victim.take", "store.write", "registry.register", "runtime.run"])
async def test_messagepack_that_is_made_to_cost(payload: bytes, target: str, running: RunningPlatform) -> None:
    """Over the wire, to a service and to built-in ones."""
    service, _, endpoint = target.partition(".")
    before = psutil.Process().memory_info().rss
    call = UnaryCall(service, endpoint, payload, timeout=10)
    refused: list[errors.Error] = []
    try:
        await call.run(running._caller._transport.send)  # payloads as no library makes them
    except errors.Error as error:
        refused.append(error)
    assert all(error.code < 500 for error in refused), refused
    assert psutil.Process().memory_info().rss - before < 100 * MIB
    assert await running.call("victim.take", tags=["a"]) == 1


def bomb(coding: str) -> bytes:
    """A body of a few hundred KiB at most, of which 64 MiB or more would come."""
    plain = b"0" * (64 * MIB)
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=19).compress(plain)
    if coding in ("gzip", "x-gzip"):
        return gzip.compress(plain)
    return zlib.compress(plain)


@pytest.mark.parametrize(
    ("coding", "codes"),
    [
        *(("gzip", {413}), ("x-gzip", {413}), ("zstd", {413}), ("GZIP", {413})),
        *(("deflate", {415}), ("br", {415}), ("compress", {415}), ("gzip, gzip", {415}), ("gzip,zstd", {415})),
        *(("identity, gzip", {415}), ("gzip;q=1", {415}), ("", {400}), ("identity", {400}), ("gzip\tgzip", {415})),
    ],
)
async def test_bombs(coding: str, codes: set[int], start: Start) -> None:
    """What a body becomes is bounded by the limit of a body, and no coding is undone twice."""
    bench = await start(max_body=4 * MIB)
    wire = await bench.connect()
    body = bomb(coding.lower().partition(",")[0].strip())
    before = psutil.Process().memory_info().rss
    answer = await wire.request("POST", "/echo", body, {"Content-Encoding": coding})
    if coding in ("", "identity"):
        assert answer.status == 200  # the echo of a stand-in, which does not look
    else:
        assert answer.status in codes, answer
        assert bench.services.calls == []
    assert psutil.Process().memory_info().rss - before < 64 * MIB


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_bomb_within_a_bomb_is_undone_once(coding: str, start: Start) -> None:
    bench = await start()
    wire = await bench.connect()
    inner = gzip.compress(b"{}" * 1000)
    body = gzip.compress(inner) if coding == "gzip" else zstandard.compress(inner)
    answer = await wire.request("POST", "/echo", body, {"Content-Encoding": coding})
    assert answer.body == inner


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
FORMS = {
    "a million fields": ("application/x-www-form-urlencoded", b"a=1&" * 500_000),
    "fields in fields": ("application/x-www-form-urlencoded", b"a" + b".a" * 200_000 + b"=1"),
    "brackets": ("application/x-www-form-urlencoded", b"a" + b"[a]" * 200_000 + b"=1"),
    "a list with a far index": ("application/x-www-form-urlencoded", b"tags[999999999]=1"),
    "escapes of escapes": ("application/x-www-form-urlencoded", b"a=" + b"%25" * 500_000),
    "parts without end": (
        "multipart/form-data; boundary=b",
        PART * 50_000,
    ),
    "a head of a part without end": ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * MIB),
    "heads of a part without end": ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: x\r\n" * 100_000),
    "a boundary without end": ("multipart/form-data; boundary=" + "b" * 5000, b"--b\r\n"),
    "no boundary": ("multipart/form-data", b"--b\r\n\r\n--b--"),
    "almost the boundary": ("multipart/form-data; boundary=b", b"--b\r\n\r\n" + b"\r\n--a" * 300_000),
    "a name that climbs": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="../../x"\r\n\r\n1\r\n--b--\r\n',
    ),
}


@pytest.mark.parametrize(("kind", "body"), FORMS.values(), ids=FORMS.keys())
async def test_forms_that_are_made_to_cost(kind: str, body: bytes, running: RunningPlatform) -> None:
    async with aiohttp.ClientSession() as client:
        began = time.process_time()
        async with client.post(
            f"{running.http}/victim/take", data=io.BytesIO(body), headers={"Content-Type": kind}
        ) as answer:
            assert answer.status < 500, await answer.text()
            assert len(await answer.read()) < 4096
        assert time.process_time() - began < 5
    assert await running.call("victim.take", tags=["a"]) == 1


@pytest.mark.parametrize(
    "query",
    ["a=1&" * 2000, "tags=" * 1500, "a" + ".a" * 3000, "a" + "[0]" * 2000, "%" * 3000, "tags[-1]=1", "&" * 8000],
)
async def test_queries_that_are_made_to_cost(query: str, running: RunningPlatform) -> None:
    async with aiohttp.ClientSession() as client:
        began = time.process_time()
        async with client.get(f"{running.http}/victim/take?{query}") as answer:
            assert answer.status < 500, await answer.text()
        assert time.process_time() - began < 2


def test_a_decoder_that_refuses_depth_says_so() -> None:
    """The bound on depth is msgspec's own, on which the tests above rely."""
    with pytest.raises(RecursionError):
        msgspec.json.decode(DOCUMENTS["lists"])
