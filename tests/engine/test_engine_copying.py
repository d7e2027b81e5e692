"""A copy of the database is of one moment, checked, and in nobody's way."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine import checkpoint, copy, reader
from microlite.core.engine.api import Append, Put
from microlite.core.engine.copy import Phase
from microlite.core.engine.migrations import newest_version
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import batch, commit, contents, fill
from tests.engine.test_engine_faults import damage

MEGABYTE = 1 << 20


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        for number in range(4):
            await engine.commit(batch(Put("large", f"k{number}", bytes(MEGABYTE))))
        yield engine


def silent(phase: Phase, done: int, total: int) -> None:
    """Nobody listens."""


def files(engine: SQLiteEngine) -> set[str]:
    """What lies beside the database, without its companions."""
    companions = {f"{engine.path.name}{suffix}" for suffix in ("", "-wal", "-shm", ".lock")}
    return {one.name for one in engine.path.parent.iterdir()} - companions


async def test_a_copy_under_load_is_of_one_moment_and_can_be_opened(engine: SQLiteEngine, tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def load(writer: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            value = b"%d" % number
            puts = (Put("left", f"w{writer}", value), Put("right", f"w{writer}", value))
            await engine.commit(batch(*puts, Append(f"w{writer}", value)))

    before = await commit(engine, Put("b", "before", b""))
    loads = [asyncio.ensure_future(load(writer)) for writer in range(4)]
    heard: list[tuple[Phase, int, int]] = []
    async with engine.snapshot(lambda *how_far: heard.append(how_far)) as snapshot:
        shutil.copyfile(snapshot.path, tmp_path / "copied.db")
    stop.set()
    await asyncio.gather(*loads)
    assert snapshot.revision >= before
    assert snapshot.version == newest_version()
    assert snapshot.size == (tmp_path / "copied.db").stat().st_size
    assert [phase for phase, done, total in heard if done == total] == [Phase.COPYING, Phase.CHECKING]
    assert [done for phase, done, _ in heard if phase is Phase.COPYING] == sorted(
        done for phase, done, _ in heard if phase is Phase.COPYING
    )
    assert files(engine) == {"copied.db"}
    async with SQLiteEngine(tmp_path / "copied.db", ManualClock()) as copied:
        assert await contents(copied, "b") == {"before": b""}
        left, right = await contents(copied, "left"), await contents(copied, "right")
        assert left == right
        for writer, value in left.items():
            entries = (await copied.read("default", writer, reverse=True, limit=1)).entries
            assert entries[0].value == value
            assert entries[0].position == int(value)
        assert (await copied.commit(batch())).revision == snapshot.revision


async def test_two_copies_at_once_are_refused_and_one_after_the_other_are_not(engine: SQLiteEngine) -> None:
    async with engine.snapshot(silent) as first:
        # The first is made and being given out: that may take its reader as long as it likes.
        making = asyncio.ensure_future(engine.snapshot(silent).__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(errors.Conflict, match="already"):
            await engine.snapshot(silent).__aenter__()
        second = await making
        assert first.path != second.path
        second.path.unlink()
    assert files(engine) == set()


async def test_one_who_gives_up_leaves_nothing_and_does_not_block_the_next(engine: SQLiteEngine) -> None:
    heard = asyncio.Event()
    making = asyncio.ensure_future(engine.snapshot(lambda *_: heard.set()).__aenter__())
    await heard.wait()
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    async with engine.snapshot(silent):
        assert len(files(engine)) == 1
    assert files(engine) == set()


async def test_closing_the_engine_gives_a_copy_up(tmp_path: Path, clock: ManualClock) -> None:
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        for number in range(8):
            await engine.commit(batch(Put("large", f"k{number}", bytes(MEGABYTE))))
        heard = asyncio.Event()
        making = asyncio.ensure_future(engine.snapshot(lambda *_: heard.set()).__aenter__())
        await heard.wait()
    with pytest.raises(errors.ServiceUnavailable, match="closing"):
        await making
    assert files(engine) == set()


async def test_what_a_killed_process_left_goes_with_the_next_start(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "engine.db.copy-0123").write_bytes(b"half")
    async with SQLiteEngine(tmp_path / "engine.db", clock) as engine:
        assert files(engine) == set()


async def test_too_little_room_is_said_before_anything_is_copied(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(errors.InsufficientStorage, match="room"):
        await engine.snapshot(silent).__aenter__()
    assert files(engine) == set()
    await fill(engine, "k")


async def test_a_log_that_grows_beyond_its_bound_ends_the_copy_with_a_clear_error(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "MOST_LOG_GROWTH", -1)
    with pytest.raises(errors.ServiceUnavailable, match="log grew"):
        await engine.snapshot(silent).__aenter__()
    assert files(engine) == set()


async def test_the_log_begins_anew_after_a_copy(engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PASSIVE_PAGES", 100)
    monkeypatch.setattr(checkpoint, "RESTART_PAGES", 400)
    monkeypatch.setattr(checkpoint, "TRUNCATE_PAGES", 800)
    engine._writer._checkpointer._retry_at = 400
    log = engine.path.with_name(f"{engine.path.name}-wal")
    with engine._writer.hold_log():
        for number in range(40):
            await engine.commit(batch(Put("b", f"k{number % 3}", os.urandom(256 << 10))))
        grown = log.stat().st_size
        assert grown > 8 * MEGABYTE
    for number in range(1_000):
        await engine.commit(batch(Put("b", f"k{number % 3}", os.urandom(64 << 10))))
        if log.stat().st_size < grown:
            break
    assert log.stat().st_size < grown


async def test_a_damaged_database_is_not_copied_as_if_it_were_whole(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, *(f"k{number}" for number in range(500)))
    damage(path)
    async with SQLiteEngine(path, clock) as engine:
        with pytest.raises(errors.InternalServerError, match=r"damaged.*doctor"):
            await engine.snapshot(silent).__aenter__()
        assert files(engine) == set()
        health = await engine.health()
        assert health.problems


async def test_health_tells_the_state_of_a_whole_database(engine: SQLiteEngine) -> None:
    revision = await fill(engine, "k")
    for full in (False, True):
        health = await engine.health(full=full)
        assert health.problems == ()
        assert health.size >= 4 * MEGABYTE
        assert 0 <= health.free < health.size
        assert (health.version, health.revision) == (newest_version(), revision)


async def test_a_look_ends_as_well_when_the_log_grows_beyond_its_bound(
    engine: SQLiteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 20_000, 1_000):
        await fill(engine, *(f"k{number}" for number in range(start, start + 1_000)))
    assert (await engine.health(full=True)).problems == ()
    monkeypatch.setattr(reader, "MOST_LOG_GROWTH", -1)
    monkeypatch.setattr(reader, "_PROGRESS_STEPS", 1_000)
    with pytest.raises(errors.ServiceUnavailable, match="too much was written"):
        await engine.health(full=True)
    assert await engine.count("default", "b") == 20_000


async def test_only_a_full_look_finds_an_index_that_disagrees_with_its_table(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        await fill(engine, "a", "b")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = 1")
    index = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'records_by_key'").fetchone()
    connection.execute("DELETE FROM sqlite_schema WHERE name = 'records_by_key'")
    connection.commit()
    connection.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = 1")
    connection.execute("UPDATE records SET key = 'c' WHERE id = 1")
    connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
    connection.commit()
    connection.close()
    async with SQLiteEngine(path, clock) as engine:
        assert (await engine.health()).problems == ()
        assert "records_by_key" in " ".join((await engine.health(full=True)).problems)
