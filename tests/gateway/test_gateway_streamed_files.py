"""Bodies of any media type streamed in, and files that say themselves what they are streamed out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from microlite import Context, FileHead, Service
from microlite.core.description import DeclarationError
from microlite.testing import RunningPlatform, platform
from tests.gateway.gateway_bench import Answer, Wire

CONTENT = bytes(range(256)) * 4_000
TAG = "v1"


def make_service() -> Service:
    service = Service("files")

    @service.endpoint(consumes="*/*")
    async def take(ctx: Context, content: AsyncIterator[bytes], album: str = "") -> Any:
        digest = sha256()
        async for piece in content:
            digest.update(piece)
        return [album, ctx.metadata.get("file-type"), ctx.metadata.get("file-name"), digest.hexdigest()]

    @service.endpoint(produces="*/*")
    async def give(
        ctx: Context, kind: str = "video/mp4", name: str = "", lie: int = 0, etag: str = TAG
    ) -> AsyncIterator[FileHead | bytes]:
        head = FileHead(content_type=kind, size=len(CONTENT) + lie, etag=etag, name=name).for_request(ctx.metadata)
        yield head
        for start in range(head.first, min(head.stop, len(CONTENT)), 100_000):
            yield CONTENT[start : start + 100_000 if lie else min(start + 100_000, head.stop)]

    @service.endpoint(produces="*/*")
    async def headless() -> AsyncIterator[FileHead | bytes]:
        yield b"bytes"

    @service.endpoint(produces="*/*")
    async def nothing(empty: bool = True) -> AsyncIterator[FileHead | bytes]:
        if not empty:
            yield b""

    return service


@pytest.fixture
async def running() -> AsyncIterator[RunningPlatform]:
    async with platform() as started:
        await started.serve(make_service())
        yield started


@pytest.fixture
async def wire(running: RunningPlatform) -> AsyncIterator[Wire]:
    port = int(running.http.rpartition(":")[2])
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    yield wire
    await wire.close()


async def get(wire: Wire, path: str, method: str = "GET", **headers: str) -> Answer:
    return await wire.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})


# -- in ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "video/mp4",
        "application/json",
        "application/x-ndjson",
        "text/plain; charset=latin-1",
        "",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_body_of_any_type_is_the_stream(kind: str, method: str, wire: Wire) -> None:
    wire.send(
        f"{method} /files/take?album=Rome HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(CONTENT)}\r\n".encode()
        + (f"Content-Type: {kind}\r\n\r\n" if kind else "\r\n").encode()
        + CONTENT
    )
    answer = await wire.answer()
    assert answer.json() == ["Rome", kind or None, None, sha256(CONTENT).hexdigest()]


async def test_the_file_of_a_form_is_it_too(wire: Wire) -> None:
    body = (
        b'--XX\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhi\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=XX"}
    answer = await wire.request("POST", "/files/take?album=Rome", body + b"--XX--\r\n", kind)
    assert answer.json() == ["Rome", "text/plain", "a.txt", sha256(b"hi").hexdigest()]


async def test_a_body_may_be_empty(wire: Wire) -> None:
    answer = await wire.request("POST", "/files/take", b"", {"Content-Type": "a/b"})
    assert answer.json() == ["", "a/b", None, sha256(b"").hexdigest()]


# -- out ---------------------------------------------------------------------------------------------------------------


async def test_a_file_is_sent_as_what_it_says_it_is(wire: Wire) -> None:
    answer = await get(wire, "/files/give")
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["etag"] == '"v1"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in answer.headers
    head = await get(wire, "/files/give", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    assert (await get(wire, "/files/give")).body == CONTENT


@pytest.mark.parametrize(
    ("wanted", "status", "begins", "ends"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100000-300000", 206, 100_000, 300_001),
        ("bytes=1023990-", 206, 1_023_990, 1_024_000),
        ("bytes=-7", 206, 1_023_993, 1_024_000),
        ("bytes=0-", 200, 0, 1_024_000),
        ("bytes=2-1", 200, 0, 1_024_000),
        ("lines=1-2", 200, 0, 1_024_000),
        ("bytes=0-1,5-6", 200, 0, 1_024_000),
    ],
)
async def test_a_part_can_be_asked_for(wanted: str, status: int, begins: int, ends: int, wire: Wire) -> None:
    answer = await get(wire, "/files/give", Range=wanted)
    assert answer.status == status
    assert answer.body == CONTENT[begins:ends]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {begins}-{ends - 1}/{len(CONTENT)}"


async def test_a_part_that_is_not_there_is_refused(wire: Wire) -> None:
    answer = await get(wire, "/files/give", Range="bytes=1024000-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize(("known", "etag", "status"), [('"v1"', TAG, 206), ('"v0"', TAG, 200), ('"v1"', "", 200)])
async def test_a_part_is_only_sent_of_what_the_client_has_begun(known: str, etag: str, status: int, wire: Wire) -> None:
    answer = await get(wire, f"/files/give?etag={etag}", Range="bytes=0-9", If_Range=known)
    assert answer.status == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_not_sent_again(method: str, wire: Wire) -> None:
    answer = await get(wire, "/files/give", method, If_None_Match='"v0", "v1"')
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"v1"')
    assert (await get(wire, "/files/give", method, If_None_Match='"v0"')).status == 200


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xml", "x/y"])
async def test_what_may_be_a_page_is_in_a_sandbox(kind: str, wire: Wire) -> None:
    answer = await get(wire, f"/files/give?kind={kind.replace('+', '%2B')}")
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-security-policy"].startswith("sandbox")


async def test_a_name_lets_a_browser_save_it(wire: Wire) -> None:
    answer = await get(wire, "/files/give?name=k%C3%BCste%22.mp4")
    assert (
        answer.headers["content-disposition"]
        == "attachment; filename=\"k?ste.mp4\"; filename*=UTF-8''k%C3%BCste%22.mp4"
    )


@pytest.mark.parametrize("path", ["headless", "nothing", "give?kind=html", "give?kind=a%0D%0Ab/c", "give?etag=a%22b"])
async def test_a_stream_that_does_not_say_what_it_is_is_no_answer(path: str, wire: Wire) -> None:
    assert (await get(wire, f"/files/{path}")).status == 502


@pytest.mark.parametrize("lie", [-1, 1])
async def test_a_file_of_another_size_than_announced_is_cut_off(lie: int, wire: Wire) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await get(wire, f"/files/give?lie={lie}")


def test_what_cannot_be_declared_says_so() -> None:
    service = Service("files")
    with pytest.raises(DeclarationError, match="yield the `FileHead` first"):

        @service.endpoint(produces="*/*")
        async def give() -> AsyncIterator[bytes]:
            yield b""

    with pytest.raises(DeclarationError, match="add a parameter"):

        @service.endpoint(consumes="*/*")
        async def take(content: bytes) -> None: ...

    with pytest.raises(DeclarationError, match="only"):

        @service.endpoint(consumes="image/png")
        async def other(content: AsyncIterator[bytes]) -> None: ...


# -- blobs -------------------------------------------------------------------------------------------------------------


async def test_a_blob_goes_in_and_comes_out_over_http(running: RunningPlatform, wire: Wire) -> None:
    token = {"Authorization": f"Bearer {running.token}"}
    path = "/store/blobs/write?name=films/a.mp4&metadata.by=Ann"
    assert (await wire.request("PUT", path, CONTENT, {"Content-Type": "video/mp4"})).status == 401
    written = await wire.request("PUT", path, CONTENT, {"Content-Type": "video/mp4", **token})
    digest = sha256(CONTENT).hexdigest()
    assert written.status == 200
    assert (written.json()["digest"], written.json()["metadata"]) == (digest, {"by": "Ann"})
    answer = await wire.request("GET", "/store/blobs/read?name=films/a.mp4", headers={"Range": "bytes=5-14", **token})
    assert (answer.status, answer.body, answer.headers["etag"]) == (206, CONTENT[5:15], f'"{digest}"')
    assert answer.headers["content-type"] == "video/mp4"
    assert (await wire.request("GET", "/store/blobs/read?name=nothing", headers=token)).status == 404
    part = await wire.request("GET", "/store/blobs/read?name=films/a.mp4&first=3&end=5", headers=token)
    assert (part.status, part.body) == (200, CONTENT[3:5])


async def test_a_blob_is_written_under_conditions(running: RunningPlatform, wire: Wire) -> None:
    async def write(content: bytes, **headers: str) -> int:
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        sent = {"Content-Type": "text/plain", "Authorization": f"Bearer {running.token}", **headers}
        return (await wire.request("PUT", "/store/blobs/write?name=x", content, sent)).status

    assert await write(b"0", If_Match="*") == 412
    assert await write(b"1", If_None_Match="*") == 200
    assert await write(b"2", If_None_Match="*") == 412
    tag = f'"{sha256(b"1").hexdigest()}"'
    assert await write(b"3", If_Match=tag) == 200
    assert await write(b"4", If_Match=tag) == 412


async def test_a_page_in_a_blob_cannot_act_for_the_platform(running: RunningPlatform, wire: Wire) -> None:
    token = {"Authorization": f"Bearer {running.token}"}
    await wire.request("PUT", "/store/blobs/write?name=a.html", b"<script>", {"Content-Type": "text/html", **token})
    answer = await wire.request("GET", "/store/blobs/read?name=a.html", headers=token)
    assert answer.headers["content-security-policy"].startswith("sandbox")


async def test_an_upload_whose_client_goes_away_leaves_nothing(running: RunningPlatform, wire: Wire) -> None:
    wire.send(
        f"PUT /store/blobs/write?name=half HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {running.token}\r\n"
        f"Content-Type: a/b\r\nContent-Length: 100000000\r\n\r\n".encode()
        + CONTENT * 4
    )
    engine = running._booted.state.engine
    async with engine.watch("default", "blobs/chunks") as changes:
        await anext(changes)
    async with engine.watch("default", "blobs/uploading") as changes:
        await wire.close()
        await anext(changes)
    await running._booted.state.blobs.sweeper.settled()
    assert await engine.buckets("default") == ()
