"""When the disk fails, everybody learns what became of their write, and nothing is made worse."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Append, Put, StreamState
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import Faults, batch, contents, fill


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock, faults: Faults) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "engine.db", clock, vfs=faults.name) as engine:
        await fill(engine, "before")
        yield engine
        faults.write_error = faults.sync_error = faults.most_bytes = None


@pytest.mark.parametrize(
    ("failure", "error", "word"),
    [
        (apsw.FullError("full"), errors.InsufficientStorage, "disk .* is full"),
        (apsw.ReadOnlyError("read-only"), errors.ServiceUnavailable, "is read-only"),
    ],
)
async def test_a_disk_that_is_full_or_read_only_changes_nothing_and_heals(
    engine: SQLiteEngine, faults: Faults, failure: Exception, error: type[errors.Error], word: str
) -> None:
    faults.write_error = failure
    outcomes = await asyncio.gather(*(fill(engine, f"k{number}") for number in range(3)), return_exceptions=True)
    for outcome in outcomes:
        assert type(outcome) is error
        assert str(engine.path) in outcome.detail
    with pytest.raises(error, match=word):
        await fill(engine, "k")
    assert await contents(engine) == {"before": b"before"}
    faults.write_error = None
    await fill(engine, "after")
    assert await contents(engine) == {"before": b"before", "after": b"after"}


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (apsw.FullError("full"), errors.InsufficientStorage),
        (apsw.ReadOnlyError("read-only"), errors.ServiceUnavailable),
    ],
)
async def test_an_append_that_the_disk_refuses_uses_no_position_and_wakes_nobody(
    engine: SQLiteEngine, faults: Faults, failure: Exception, error: type[errors.Error]
) -> None:
    await engine.commit(batch(Append("s", b"1")))
    async with engine.tail("default", "s") as tail:
        faults.write_error = failure
        outcomes = await asyncio.gather(
            engine.commit(batch(Append("s", b"x"), Append("new", b"x"))),
            engine.commit(batch(Append("s", b"y"), Put("b", "k", b""))),
            engine.trim("default", "s", 1),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [error] * 3
        assert await engine.stream_state("default", "s") == StreamState(1, 1, 1, 1)
        assert await engine.streams("default") == ("s",)
        faults.write_error = None
        assert (await engine.commit(batch(Append("s", b"2"), Append("new", b"z")))).positions == (2, 1)
        assert await tail.moved(1) == 2
    assert [entry.value for entry in (await engine.read("default", "s")).entries] == [b"1", b"2"]
    assert await contents(engine) == {"before": b"before"}


async def test_after_an_append_of_unknown_outcome_positions_go_on_behind_what_is_there(
    engine: SQLiteEngine, faults: Faults
) -> None:
    await engine.commit(batch(Append("s", b"1")))
    faults.sync_error = apsw.IOError("the disk is gone")
    with pytest.raises(errors.OutcomeUnknown):
        await engine.commit(batch(Append("s", b"2")))
    faults.sync_error = None
    (position,) = (await engine.commit(batch(Append("s", b"3")))).positions
    entries = (await engine.read("default", "s")).entries
    assert entries[-1].position == position
    assert [entry.value for entry in entries] in ([b"1", b"3"], [b"1", b"2", b"3"])


async def test_on_a_disk_with_little_space_the_small_writes_of_a_group_get_through(
    engine: SQLiteEngine, faults: Faults
) -> None:
    faults.most_bytes = 500_000
    large = engine.commit(batch(Put("b", "large", bytes(1 << 20))))
    one, failed, two = await asyncio.gather(fill(engine, "a"), large, fill(engine, "c"), return_exceptions=True)
    assert isinstance(one, int)
    assert isinstance(two, int)
    assert isinstance(failed, errors.InsufficientStorage)
    assert sorted(await contents(engine)) == ["a", "before", "c"]


async def test_a_failed_commit_is_of_unknown_outcome_for_its_whole_group_and_the_next_one_works(
    engine: SQLiteEngine, faults: Faults
) -> None:
    faults.sync_error = apsw.IOError("the disk is gone")
    outcomes = await asyncio.gather(fill(engine, "a"), fill(engine, "b"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.OutcomeUnknown] * 2
    assert outcomes[0] is not outcomes[1]
    faults.sync_error = None
    before = await engine.get("default", "b", "before")
    assert before is not None
    revision = await fill(engine, "after")
    # The revisions that the lost group had are not given out again.
    assert revision == before.revision + 3
    async with engine.watch("default", "b", from_revision=before.revision) as watch:
        assert (await anext(watch)).revision <= revision


async def test_a_group_of_unknown_outcome_does_not_wake_watches(engine: SQLiteEngine, faults: Faults) -> None:
    async with engine.watch("default", "b") as watch:
        faults.sync_error = apsw.IOError("the disk is gone")
        with pytest.raises(errors.OutcomeUnknown):
            await fill(engine, "lost")
        faults.sync_error = None
        revision = await fill(engine, "after")
        assert (await anext(watch)).revision == revision


async def test_sweeping_that_the_disk_refuses_is_tried_again(
    engine: SQLiteEngine, faults: Faults, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.commit(batch(*(Append("s", b"x") for _ in range(1_000))))
    syncs = iter(range(100))

    def refuse_the_second() -> None:
        # The first is the trim itself.
        if next(syncs) == 1:
            faults.before_sync = lambda: None
            raise apsw.FullError("full")

    faults.before_sync = refuse_the_second
    await engine.trim("default", "s", 1_000)
    while entries_on_disk(engine.path) != 1:
        clock.advance(5)
        await asyncio.sleep(0.001)
    assert "put off" in caplog.text
    assert (await engine.commit(batch(Append("s", b"y")))).positions == (1_001,)


def entries_on_disk(path: Path) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT count(*) FROM entries").get)
    finally:
        connection.close()


async def test_expiry_that_the_disk_refuses_is_tried_again(
    engine: SQLiteEngine, faults: Faults, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.commit(batch(Put("b", "k", b"", clock.now() + 1)))
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Refusal(apsw.FullError):
        def __init__(self) -> None:
            super().__init__("full")
            loop.call_soon_threadsafe(tried.set)

    def refuse() -> None:
        faults.before_sync = lambda: None
        raise Refusal

    faults.before_sync = refuse
    async with engine.watch("default", "b") as watch:
        clock.advance(1)
        await tried.wait()
        assert await engine.get("default", "b", "k") is None
        coming = asyncio.ensure_future(anext(watch))
        while not coming.done():
            clock.advance(5)
            await asyncio.wait([coming], timeout=0.01)
        assert (await coming).key == "k"  # type: ignore[union-attr]
    assert "put off" in caplog.text


def damage(path: Path, name: str = "records_by_key") -> None:
    """Overwrite the first page of a table or index, as a failing disk would, and leave those of the schema."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)


async def test_a_damaged_page_is_an_error_that_says_what_to_do(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, *(f"k{number}" for number in range(500)))
    damage(path)
    content = path.read_bytes()
    async with SQLiteEngine(path, clock) as engine:
        with pytest.raises(errors.InternalServerError, match=r"damaged.*doctor"):
            await engine.get("default", "b", "k1")
        with pytest.raises(errors.InternalServerError, match="damaged"):
            await engine.scan("default", "b", limit=1000)
        with pytest.raises(errors.InternalServerError, match="damaged"):
            await fill(engine, "k1")
    assert path.read_bytes() == content


async def test_a_damaged_stream_is_an_error_and_records_go_on(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await engine.commit(batch(*(Append("s", bytes(100)) for _ in range(500))))
    damage(path, "entries")
    content = path.read_bytes()
    async with SQLiteEngine(path, clock) as engine:
        for damaged in (
            engine.read("default", "s"),
            engine.read("default", "s", limit=1_000),
            engine.stream_state("default", "s"),
            engine.find_position("default", "s", 0.0),
            engine.find_size_position("default", "s", 0),
            engine.streams("default"),
            engine.commit(batch(Append("s", b""))),
            engine.tail("default", "s").__aenter__(),
        ):
            with pytest.raises(errors.InternalServerError, match=r"damaged.*doctor"):
                await damaged
        assert path.read_bytes() == content
        # Only what needs the page fails.
        await fill(engine, "k")
        assert await contents(engine) == {"k": b"k"}
