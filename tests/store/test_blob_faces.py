"""Blobs from a service, from a script, and on the command line."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import microlite
from microlite import Context, Service, errors
from microlite.core.library.caller import Caller
from microlite.testing import RunningPlatform, SystemClock
from microlite.testing import platform as start
from tests.contract.faces.commands import Terminal, terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = bytes(range(256)) * 10_000
DIGEST = sha256(LARGE).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[tuple[RunningPlatform, Terminal]]:
    async with start(clock=SystemClock()) as p, terminal(p.home) as commands:
        yield p, commands


@pytest_asyncio.fixture(loop_scope="module")
async def m(running: tuple[RunningPlatform, Terminal]) -> AsyncIterator[Caller]:
    """A script, without a blob."""
    async with microlite.connect(running[0].home) as m:
        for blob in await m.store.blobs.list():
            await m.store.blobs.delete(blob.name)
        yield m


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


# -- library -----------------------------------------------------------------------------------------------------------


async def sources(content: bytes, path: Path) -> dict[str, Any]:
    async def pieces() -> AsyncIterator[bytes]:
        yield content[:1_000_000]
        yield content[1_000_000:]

    path.write_bytes(content)
    return {
        "bytes": content,
        "bytearray": bytearray(content),
        "path": path,
        "file": io.BytesIO(content),
        "iterator": pieces(),
        "list": [content[:7], content[7:]],
    }


async def test_anything_that_holds_bytes_can_be_written(m: Caller, tmp_path: Path) -> None:
    for name, source in (await sources(LARGE, tmp_path / "a")).items():
        blob = await m.store.blobs.write(name, source, content_type="video/mp4", metadata={"by": "Ann"})
        assert (blob.size, blob.digest, blob.content_type, blob.metadata) == (
            len(LARGE),
            DIGEST,
            "video/mp4",
            {"by": "Ann"},
        )
        assert await joined(m.store.blobs.read(name)) == LARGE
    assert [blob.name for blob in await m.store.blobs.list("b")] == ["bytearray", "bytes"]


@pytest.mark.parametrize("source", [io.StringIO("text"), ["text"], iter([1])])
async def test_text_is_no_blob(source: Any, m: Caller) -> None:
    with pytest.raises(errors.BadRequest):
        await m.store.blobs.write("x", source)
    assert await m.store.blobs.list() == []


async def test_a_part_and_the_whole_can_be_read(m: Caller) -> None:
    await m.store.blobs.write("x", LARGE)
    assert await joined(m.store.blobs.read("x", 10, 700_000)) == LARGE[10:700_000]
    assert await m.store.blobs.read_bytes("x", len(LARGE) - 3) == LARGE[-3:]
    with pytest.raises(errors.PayloadTooLarge, match="higher `limit`"):
        await m.store.blobs.read_bytes("x", limit=1_000)
    with pytest.raises(errors.NotFound):
        await m.store.blobs.read_bytes("nothing")
    with pytest.raises(errors.BadRequest):
        await m.store.blobs.read_bytes("x", len(LARGE) + 1)


async def test_what_is_expected_decides(m: Caller) -> None:
    blob = await m.store.blobs.write("x", b"1", expect="absent")
    with pytest.raises(errors.Conflict):
        await m.store.blobs.write("x", b"2", expect="absent")
    await m.store.blobs.write("x", b"2", expect=blob.revision)
    with pytest.raises(errors.Conflict):
        await m.store.blobs.delete("x", expect=blob.revision)
    await m.store.blobs.delete("x")
    await m.store.blobs.delete("x")


async def test_a_staged_upload_is_published_once(m: Caller) -> None:
    staged = await m.store.blobs.stage(LARGE)
    assert await m.store.blobs.list() == []
    blob = await m.store.blobs.publish(staged, "x", metadata={"by": "Bob"})
    assert (blob.digest, blob.metadata) == (DIGEST, {"by": "Bob"})
    with pytest.raises(errors.NotFound):
        await m.store.blobs.publish(staged.upload, "y")


async def test_a_file_is_downloaded_as_a_whole(m: Caller, tmp_path: Path) -> None:
    await m.store.blobs.write("x", LARGE)
    blob = await m.store.blobs.download("x", tmp_path / "x")
    assert (blob.size, (tmp_path / "x").read_bytes()) == (len(LARGE), LARGE)
    with pytest.raises(errors.NotFound):
        await m.store.blobs.download("nothing", tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


async def test_a_service_has_blobs_of_its_own_also_in_threads(
    m: Caller, running: tuple[RunningPlatform, Terminal]
) -> None:
    service = Service("vault")

    @service.endpoint
    async def put(ctx: Context, name: str) -> str:
        return (await ctx.store.blobs.write(name, LARGE)).digest

    @service.endpoint
    def get(ctx: Context, name: str) -> int:
        return sum(len(piece) for piece in ctx.sync.store.blobs.read(name))

    await running[0].serve(service)
    assert await m.call("vault.put", name="x") == DIGEST
    assert await m.call("vault.get", name="x") == len(LARGE)
    assert await m.store.blobs.list() == []
    assert [blob.name for blob in await m.store.database("vault").blobs.list()] == ["x"]


async def test_changes_are_told_as_they_happen(m: Caller) -> None:
    await m.store.blobs.write("a/1", b"1")
    async with aclosing(m.store.blobs.watch("a/", state=True)) as news:
        begun = [await anext(news) for _ in range(3)]
        await m.store.blobs.write("b", b"2")
        written = await m.store.blobs.write("a/2", b"2")
        await m.store.blobs.delete("a/1")
        then = [await anext(news) for _ in range(2)]
    assert [one.kind for one in begun] == ["reset", "write", "synced"]
    assert [(one.kind, one.name) for one in then] == [("write", "a/2"), ("delete", "a/1")]
    assert then[0].blob == written
    async with aclosing(m.store.blobs.watch("a/", since=then[0].resume)) as news:
        assert (await anext(news)).name == "a/1", "nothing is missed behind what was heard"


async def test_who_breaks_off_reading_is_no_burden(m: Caller) -> None:
    await m.store.blobs.write("x", LARGE)
    async with aclosing(m.store.blobs.read("x")) as reading:
        await anext(reading)
    await m.store.blobs.delete("x")
    assert await m.store.blobs.list() == []


# -- command line ------------------------------------------------------------------------------------------------------


class Blobs:
    """Runs `microlite store blobs …`."""

    def __init__(self, commands: Terminal) -> None:
        self._commands = commands

    async def __call__(self, *words: str, stdin: bytes = b"") -> Any:
        return await self._commands.run("store", "blobs", *words, stdin=stdin)

    async def done(self, *words: str, stdin: bytes = b"") -> bytes:
        said = await self(*words, stdin=stdin)
        assert (said.code, said.err) == (0, "")
        return bytes(said.out)


@pytest_asyncio.fixture(loop_scope="module")
async def blobs(m: Caller, running: tuple[RunningPlatform, Terminal]) -> Blobs:
    return Blobs(running[1])


async def test_a_file_goes_in_and_comes_out(blobs: Blobs, tmp_path: Path) -> None:
    path, copy = tmp_path / "film.mp4", tmp_path / "copy"
    path.write_bytes(LARGE)
    assert await blobs.done("write", "films/a", str(path), "-m", "by=Ann") == b""
    assert await blobs.done("read", "films/a") == LARGE
    assert await blobs.done("read", "films/a", "--file", str(copy)) == b""
    assert copy.read_bytes() == LARGE
    head = json.loads(await blobs.done("head", "films/a", "--output", "json"))
    assert (head["digest"], head["content_type"], head["metadata"]) == (DIGEST, "video/mp4", {"by": "Ann"})
    assert DIGEST.encode() in await blobs.done("head", "films/a")


async def test_what_comes_from_stdin_can_be_written(blobs: Blobs) -> None:
    await blobs.done("write", "x.txt", "-", stdin=b"hello")
    assert await blobs.done("read", "x.txt") == b"hello"
    assert b"text/plain" in await blobs.done("list")


@pytest.mark.parametrize(("part", "content"), [("0-4", b"01234"), ("7-", b"789"), ("-2", b"89"), ("8-99", b"89")])
async def test_a_part_can_be_printed(part: str, content: bytes, blobs: Blobs) -> None:
    await blobs.done("write", "x", "-", stdin=b"0123456789")
    assert await blobs.done("read", "x", f"--range={part}") == content


async def test_blobs_are_listed_and_deleted(blobs: Blobs) -> None:
    for name in ("a/1", "a/2", "b"):
        await blobs.done("write", name, "-", stdin=b"1")
    listed = json.loads(await blobs.done("list", "-p", "a/", "--output", "json"))
    assert [blob["name"] for blob in listed] == ["a/1", "a/2"]
    await blobs.done("delete", "a/1", "b", "nothing")
    assert [line.split()[0] for line in (await blobs.done("list")).splitlines()] == [b"NAME", b"a/2"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["read", "nothing"], 'There is no blob "nothing"'),
        (["head", "nothing"], 'There is no blob "nothing"'),
        (["write", "x", "/nothing/there"], "Cannot read /nothing/there: No such file or directory"),
        (["write", "x", "-", "--absent", "--revision", "1"], "Give --absent or --revision"),
        (["write", "x", "-", "--revision", "1"], "was expected"),
        (["write", "x", "-", "--expiry", "soon"], "is no duration"),
        (["write", "x", "-", "--content-type", "text"], "is no media type"),
        (["read", "there", "--range", "9-1"], "is no range"),
        (["read", "there", "--range", "5-"], "has 1 bytes, and not these"),
        (["read", "there", "--file", "/nothing/there"], "Cannot write /nothing/there"),
    ],
)
async def test_what_is_wrong_is_said_in_words(words: list[str], says: str, blobs: Blobs) -> None:
    await blobs.done("write", "there", "-", stdin=b"1")
    said = await blobs(*words)
    assert said.code
    assert says in said.err
    assert "Traceback" not in said.err


async def test_a_blob_goes_by_itself(blobs: Blobs, m: Caller) -> None:
    await blobs.done("write", "x", "-", "--expiry", "200ms", stdin=b"1")
    while await m.store.blobs.list():
        await asyncio.sleep(0.02)
