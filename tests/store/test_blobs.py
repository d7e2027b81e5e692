"""Blobs over an engine: what is published is whole, and what is gone leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.context import Origin
from microlite.core.engine.api import Batch, Committed, Put
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.store.api import Presence
from microlite.core.store.blob_api import STAGED_SECONDS, Blob, DeleteBlob, PublishBlob
from microlite.core.store.blob_layout import CHUNK_BYTES
from microlite.core.store.blob_sweeper import MAX_PIN
from microlite.core.store.blobs import Blobs
from tests.store.store_parts import ANN, left, pieces, read, whole

LARGE = bytes(range(256)) * 14_000  # 3.4 MiB: three commits before the last
SMALL = b"a few bytes"
NAMES = "blobs/names/default"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "engine.db", clock) as opened:
        yield opened


@pytest.fixture
async def blobs(engine: SQLiteEngine, clock: ManualClock) -> AsyncIterator[Blobs]:
    async with Blobs(engine, clock) as opened:
        yield opened


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 4 * CHUNK_BYTES, 4 * CHUNK_BYTES + 1, len(LARGE)])
@pytest.mark.parametrize("cut", [7_919, 1 << 20, 5 << 20])
async def test_a_blob_is_read_as_it_was_written(size: int, cut: int, blobs: Blobs, clock: ManualClock) -> None:
    content = LARGE[:size]
    blob = await blobs.write(ANN, "a/b.png", pieces(content, cut), metadata={"by": "Ann"})
    assert blob == await blobs.head(ANN, "a/b.png")
    assert (blob.size, blob.digest) == (size, sha256(content).hexdigest())
    assert (blob.content_type, blob.metadata, blob.created_at) == ("image/png", {"by": "Ann"}, clock.now())
    assert await read(blobs, "a/b.png") == content


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, 1), (5, 5), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (3, 3 * CHUNK_BYTES), (len(LARGE) - 1, len(LARGE))],
)
async def test_any_range_can_be_read(first: int, end: int, blobs: Blobs) -> None:
    await blobs.write(ANN, "x", pieces(LARGE))
    assert await read(blobs, "x", first, end) == LARGE[first:end]


async def test_nothing_is_visible_before_all_of_it_is_there(blobs: Blobs, engine: SQLiteEngine) -> None:
    seen = []

    async def content() -> AsyncIterator[bytes]:
        async for piece in pieces(LARGE, 1 << 20):
            yield piece
            seen.append(NAMES in await engine.buckets("default"))

    await blobs.write(ANN, "x", content())
    assert not any(seen)
    assert await read(blobs, "x") == LARGE


class Stop(Exception):
    pass


@pytest.mark.parametrize("size", [1_000, 3 << 20])
@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_broken_upload_leaves_nothing_and_the_old_blob(
    how: str, size: int, blobs: Blobs, engine: SQLiteEngine
) -> None:
    await blobs.write(ANN, "x", pieces(SMALL))
    before = await left(engine)
    arrived = asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        async for piece in pieces(LARGE[:size]):
            yield piece
        arrived.set()
        if how == "raise":
            raise Stop
        await asyncio.Event().wait()

    writing = asyncio.create_task(blobs.write(ANN, "x", content()))
    await arrived.wait()
    if how == "cancel":
        writing.cancel()
    with pytest.raises((Stop, asyncio.CancelledError)):
        await writing
    await blobs.sweeper.settled()
    assert await left(engine) == before
    assert await read(blobs, "x") == SMALL


async def test_an_upload_with_another_digest_is_refused_whole(blobs: Blobs, engine: SQLiteEngine) -> None:
    with pytest.raises(errors.Unprocessable, match="nothing was kept"):
        await blobs.write(ANN, "x", pieces(LARGE), digest=sha256(SMALL).hexdigest())
    await blobs.sweeper.settled()
    assert await left(engine) == {}
    blob = await blobs.write(ANN, "x", pieces(LARGE), digest=f"sha256:{sha256(LARGE).hexdigest().upper()}")
    assert blob.size == len(LARGE)


async def test_what_the_last_process_did_not_end_is_removed_by_the_next(
    engine: SQLiteEngine, clock: ManualClock
) -> None:
    """Chunks of an upload under way, and of a blob that was deleted a moment ago."""

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        arrived.set()
        await asyncio.Event().wait()

    arrived = asyncio.Event()
    crashed = await Blobs(engine, clock).__aenter__()
    assert crashed.sweeper._sweeping is not None
    crashed.sweeper._sweeping.cancel()
    await crashed.write(ANN, "gone", pieces(LARGE))
    await crashed.delete(ANN, DeleteBlob(name="gone"))
    writing = asyncio.create_task(crashed.write(ANN, "half", endless()))
    await arrived.wait()
    assert (await left(engine))["blobs/chunks"] > 20
    async with Blobs(engine, clock) as blobs:
        await blobs.sweeper.settled()
        assert await left(engine) == {}
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await crashed.__aexit__()


async def test_replacing_and_deleting_give_the_room_back(blobs: Blobs, engine: SQLiteEngine) -> None:
    for _ in range(3):
        await blobs.write(ANN, "x", pieces(LARGE))
    await blobs.sweeper.settled()
    assert await left(engine) == {NAMES: 1, "blobs/chunks": -(-len(LARGE) // CHUNK_BYTES)}
    await blobs.delete(ANN, DeleteBlob(name="x"))
    await blobs.delete(ANN, DeleteBlob(name="x"))
    await blobs.sweeper.settled()
    assert await left(engine) == {}
    with pytest.raises(errors.NotFound):
        await read(blobs, "x")


async def test_a_blob_goes_when_its_time_has_come(blobs: Blobs, engine: SQLiteEngine, clock: ManualClock) -> None:
    await blobs.write(ANN, "x", pieces(LARGE), expires_at=clock.now() + 60)
    await blobs.write(ANN, "stays", pieces(SMALL), expires_at=clock.now() + 60)
    await blobs.write(ANN, "stays", pieces(SMALL))
    clock.advance(59)
    assert await read(blobs, "x") == LARGE
    clock.advance(2)
    with pytest.raises(errors.NotFound):
        await blobs.head(ANN, "x")
    await blobs.sweeper.settled()
    assert await read(blobs, "stays") == SMALL
    assert await left(engine) == {NAMES: 1, "blobs/chunks": 1}


async def test_an_expiry_lies_in_the_future(blobs: Blobs, clock: ManualClock) -> None:
    with pytest.raises(errors.BadRequest, match="in the future"):
        await blobs.write(ANN, "x", pieces(SMALL), expires_at=clock.now())


@pytest.mark.parametrize("change", ["replace", "delete"])
async def test_who_reads_gets_one_blob_whole(change: str, blobs: Blobs, engine: SQLiteEngine) -> None:
    """Also when it is replaced or deleted after the first byte; then it goes."""
    await blobs.write(ANN, "x", pieces(LARGE))
    reading = blobs.read(ANN, "x", whole)
    found = b""
    async for piece in reading:
        if isinstance(piece, Blob):
            if change == "replace":
                await blobs.write(ANN, "x", pieces(SMALL))
            else:
                await blobs.delete(ANN, DeleteBlob(name="x"))
            await blobs.sweeper.settled()
        else:
            found += piece
    assert found == LARGE
    await blobs.sweeper.settled()
    assert await left(engine) == ({NAMES: 1, "blobs/chunks": 1} if change == "replace" else {})


async def test_who_reads_for_too_long_is_told_so(blobs: Blobs, engine: SQLiteEngine, clock: ManualClock) -> None:
    await blobs.write(ANN, "x", pieces(LARGE))
    reading = blobs.read(ANN, "x", whole)
    await anext(reading)
    await anext(reading)
    await blobs.delete(ANN, DeleteBlob(name="x"))
    await blobs.sweeper.settled()
    clock.advance(MAX_PIN + 1)
    await blobs.sweeper.settled()
    with pytest.raises(errors.Conflict, match="begin again"):
        async for _ in reading:
            pass
    assert await left(engine) == {}


async def test_preconditions_decide_at_the_commit(blobs: Blobs) -> None:
    first = await blobs.write(ANN, "x", pieces(SMALL), expect=Presence.ABSENT)
    with pytest.raises(errors.Conflict, match="already"):
        await blobs.write(ANN, "x", pieces(SMALL), expect=Presence.ABSENT)
    second = await blobs.write(ANN, "x", pieces(b"two"), expect=first.revision)
    with pytest.raises(
        errors.Conflict, match=f"revision {second.revision}, and the revision {first.revision} was expected"
    ):
        await blobs.write(ANN, "x", pieces(b"three"), expect=first.revision)
    with pytest.raises(errors.Conflict):
        await blobs.delete(ANN, DeleteBlob(name="x", expect=first.revision))
    assert await read(blobs, "x") == b"two"

    async def slow() -> AsyncIterator[bytes]:
        yield b"late"
        await blobs.write(ANN, "x", pieces(b"quick"))

    with pytest.raises(errors.Conflict):
        await blobs.write(ANN, "x", slow(), expect=second.revision)
    assert await read(blobs, "x") == b"quick"


async def test_writers_of_one_name_replace_each_other_whole(blobs: Blobs, engine: SQLiteEngine) -> None:
    contents = [bytes([number]) * (1 << 20 | number) for number in range(8)]
    await asyncio.gather(*(blobs.write(ANN, "x", pieces(content)) for content in contents))
    assert await read(blobs, "x") in contents
    await blobs.sweeper.settled()
    assert (await left(engine))["blobs/chunks"] in (4, 5)


async def test_a_staged_upload_is_published_together_with_records(blobs: Blobs, engine: SQLiteEngine) -> None:
    staged = await blobs.stage(ANN, pieces(LARGE), content_type="text/csv")
    await blobs.write(ANN, "x", pieces(SMALL))
    plan = await blobs.plan(ANN, PublishBlob(upload=staged.upload, name="x"))
    await engine.commit(Batch("default", (*plan, Put("orders", "1", b"x"))))
    assert await read(blobs, "x") == LARGE
    assert (await blobs.head(ANN, "x")).content_type == "text/csv"
    await blobs.sweeper.settled()
    assert await left(engine) == {NAMES: 1, "blobs/chunks": 14, "orders": 1}
    with pytest.raises(errors.NotFound, match="published before"):
        await blobs.publish(ANN, PublishBlob(upload=staged.upload, name="y"))


async def test_a_plan_refuses_what_has_changed_since(blobs: Blobs, engine: SQLiteEngine) -> None:
    staged = await blobs.stage(ANN, pieces(SMALL))
    plan = await blobs.plan(ANN, PublishBlob(upload=staged.upload, name="x"))
    await blobs.write(ANN, "x", pieces(b"other"))
    with pytest.raises(errors.Conflict):
        await engine.commit(Batch("default", plan))
    deletion = await blobs.plan(ANN, DeleteBlob(name="x"))
    await blobs.write(ANN, "x", pieces(b"another"))
    with pytest.raises(errors.Conflict):
        await engine.commit(Batch("default", deletion))
    assert await read(blobs, "x") == b"another"


async def test_a_staged_upload_waits_for_an_hour(blobs: Blobs, engine: SQLiteEngine, clock: ManualClock) -> None:
    staged = await blobs.stage(ANN, pieces(LARGE))
    clock.advance(STAGED_SECONDS - 1)
    await blobs.sweeper.settled()
    assert (await left(engine))["blobs/staged"] == 1
    clock.advance(2)
    await blobs.sweeper.settled()
    assert await left(engine) == {}
    with pytest.raises(errors.NotFound):
        await blobs.publish(ANN, PublishBlob(upload=staged.upload, name="x"))


async def test_listing_goes_by_prefix_and_page(blobs: Blobs) -> None:
    for name in ("a/1", "a/2", "a/3", "b/1"):
        await blobs.write(ANN, name, pieces(SMALL))
    page = await blobs.page(ANN, prefix="a/", limit=2)
    assert [blob.name for blob in page.blobs] == ["a/1", "a/2"]
    rest = await blobs.page(ANN, prefix="a/", limit=2, cursor=page.cursor or "")
    assert ([blob.name for blob in rest.blobs], rest.cursor) == (["a/3"], None)


async def test_services_have_blobs_of_their_own(blobs: Blobs) -> None:
    orders = Origin("default", "orders", "orders-1")
    await blobs.write(orders, "x", pieces(SMALL))
    with pytest.raises(errors.NotFound):
        await blobs.head(ANN, "x")
    assert (await blobs.head(ANN, "x", database="orders")).size == len(SMALL)
    assert await blobs.databases("default") == ["orders"]
    with pytest.raises(errors.NotFound):
        await blobs.head(Origin("other", "orders"), "x")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [("", "a/b", "name"), ("x" * 513, "a/b", "name"), ("a\nb", "a/b", "name"), ("x", "a\r\nb", "media type")],
)
async def test_what_cannot_be_is_refused(name: str, kind: str, says: str, blobs: Blobs) -> None:
    with pytest.raises(errors.BadRequest, match=says):
        await blobs.write(ANN, name, pieces(SMALL), content_type=kind)


class Watched:
    """An engine that notes how large each batch was."""

    def __init__(self, engine: SQLiteEngine) -> None:
        self._engine = engine
        self.waiting = self.most = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def commit(self, batch: Batch) -> Committed:
        size = sum(len(one.value) for one in batch.operations if isinstance(one, Put))
        self.waiting += size
        self.most = max(self.most, self.waiting)
        try:
            return await self._engine.commit(batch)
        finally:
            self.waiting -= size


async def test_all_uploads_together_commit_a_mebibyte_at_a_time(engine: SQLiteEngine, clock: ManualClock) -> None:
    """So that whoever writes a record shares a group that is soon on disk."""
    watched = Watched(engine)
    async with Blobs(watched, clock) as blobs:  # type: ignore[arg-type]  # stands in for an engine
        await asyncio.gather(*(blobs.write(ANN, f"x{number}", pieces(LARGE, 1 << 22)) for number in range(4)))
    assert (1 << 20) <= watched.most <= (1 << 20) + 4_096


async def test_uploads_are_bounded(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlite.core.store.blobs.MAX_UPLOADS", 1)
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.set()
        await go.wait()
        yield SMALL

    writing = asyncio.create_task(blobs.write(ANN, "x", slow()))
    await begun.wait()
    with pytest.raises(errors.TooManyRequests):
        await blobs.write(ANN, "y", pieces(SMALL))
    go.set()
    await writing
    await blobs.write(ANN, "y", pieces(SMALL))
