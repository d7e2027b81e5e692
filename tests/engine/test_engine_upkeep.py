"""Expiry, forgetting and giving back happen in slices, when nobody waits, woken by the clock alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from microlite.core.clock import ManualClock
from microlite.core.engine import checkpoint, ledger, upkeep, watches, writer
from microlite.core.engine.api import Append, Change, ChangeKind, Delete, Put, Resync, StreamState
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.engine.writer import Settled
from tests.engine.engine_parts import batch, commit, fill


class Looking(SQLiteEngine):
    """An engine that says when its writer has done something."""

    settled: asyncio.Queue[Settled]

    def _settle(self, settled: Settled) -> None:
        super()._settle(settled)
        self.settled.put_nowait(settled)

    async def until_idle(self) -> list[upkeep.Slice]:
        """Wait for the end of a round of upkeep; return its slices."""
        slices: list[upkeep.Slice] = []
        while not (slices and slices[-1].done):
            settled = await self.settled.get()
            if settled.upkeep is not None:
                slices.append(settled.upkeep)
        return slices


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Looking]:
    engine = Looking(tmp_path / "engine.db", clock)
    engine.settled = asyncio.Queue()
    async with engine:
        await engine.until_idle()
        yield engine


def look(path: Path, statement: str) -> apsw.SQLiteValue:
    """Ask the file with a connection of our own."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        answer: apsw.SQLiteValue = connection.execute(statement).get
        return answer
    finally:
        connection.close()


async def test_what_expires_together_goes_in_slices_and_each_is_announced(engine: Looking, clock: ManualClock) -> None:
    at = clock.now() + 10
    for start in range(0, 3_000, 1_000):
        puts = (Put(f"b{number % 3}", f"k{number}", b"x" * 100, at) for number in range(start, start + 1_000))
        await engine.commit(batch(*puts))
    async with engine.watch("default", "b1") as watch:
        clock.advance(10)
        slices = await engine.until_idle()
        assert len(slices) > 3
        gone = [item async for item in first(watch, 1_000)]
    assert all(isinstance(item, Change) and item.kind is ChangeKind.EXPIRE for item in gone)
    assert sum(len(expired.keys) for one in slices for expired in one.expired) == 3_000
    assert look(engine.path, "SELECT count(*) FROM records") == 0
    revisions = [one.revision for one in slices if one.expired]
    assert revisions == sorted(set(revisions))


async def first(watch: AsyncIterator[Change | Resync], count: int) -> AsyncIterator[Change | Resync]:
    for _ in range(count):
        yield await anext(watch)


async def test_nothing_is_looked_for_before_its_time(engine: Looking, clock: ManualClock) -> None:
    await engine.commit(batch(Put("b", "k", b"", clock.now() + 10), Put("b", "l", b"", clock.now() + 20)))
    clock.advance(9)
    assert (await engine.settled.get()).upkeep is None
    assert engine.settled.empty()
    clock.advance(1)
    assert [one.expired for one in await engine.until_idle() if one.expired] == [
        (upkeep.Expired("default", "b", ("k",)),)
    ]
    clock.advance(10)
    assert [one.expired for one in await engine.until_idle() if one.expired] == [
        (upkeep.Expired("default", "b", ("l",)),)
    ]


async def test_what_expired_while_nobody_ran_is_announced_after_the_start(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "engine.db"
    async with SQLiteEngine(path, clock) as engine:
        revision = await commit(engine, Put("b", "k", b"", clock.now() + 10))
    clock.advance(100)
    async with SQLiteEngine(path, clock) as engine, engine.watch("default", "b", from_revision=revision) as watch:
        item = await anext(watch)
        assert isinstance(item, Change)
        assert (item.kind, item.key) == (ChangeKind.EXPIRE, "k")


async def test_writes_go_before_slices(engine: Looking, clock: ManualClock) -> None:
    puts = tuple(Put("b", f"k{number}", b"", clock.now() + 1) for number in range(1_000))
    await engine.commit(batch(*puts))
    clock.advance(1)
    await asyncio.gather(*(fill(engine, f"w{number}", bucket="w") for number in range(20)))
    await engine.until_idle()
    assert await engine.count("default", "w") == 20
    assert look(engine.path, "SELECT count(*) FROM records") == 20


async def test_the_log_is_forgotten_after_an_hour_but_for_its_last_row(engine: Looking, clock: ManualClock) -> None:
    for start in range(0, 3_000, 1_000):
        await fill(engine, *(f"k{number}" for number in range(start, start + 1_000)))
    last = await commit(engine, Delete("b", "k1"))
    clock.advance(upkeep.MEMORY_SECONDS)
    await engine.until_idle()
    assert look(engine.path, "SELECT count(*) FROM changes") == 1
    assert look(engine.path, "SELECT revision FROM changes") == last


async def test_under_load_the_log_reaches_back_as_far_as_its_bound(
    engine: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_CHANGES", 100)
    start = await fill(engine, "k")
    for number in range(30):
        last = await fill(engine, *(f"k{number}-{place}" for place in range(10)))
    rows = look(engine.path, "SELECT count(*) FROM changes")
    assert isinstance(rows, int)
    assert rows <= 110
    assert look(engine.path, "SELECT max(position) - min(position) + 1 FROM changes") == rows
    async with engine.watch("default", "b", from_revision=start) as watch:
        assert isinstance(await anext(watch), Resync)
    async with engine.watch("default", "b", from_revision=last - 5) as watch:
        assert isinstance(await anext(watch), Change)


async def test_a_watch_that_reads_the_log_notices_when_it_is_forgotten_under_its_hands(
    engine: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "PART_RECORDS", 3)
    start = await fill(engine, "start")
    await fill(engine, *(f"k{number}" for number in range(10)))
    async with engine.watch("default", "b", from_revision=start) as watch:
        seen = [await anext(watch) for _ in range(3)]
        assert [item.key for item in seen if isinstance(item, Change)] == ["k0", "k1", "k2"]
        monkeypatch.setattr(ledger, "MAX_CHANGES", 8)
        await fill(engine, "x", "y")
        await fill(engine, "x", "y")
        # The rest of that one commit is forgotten in part, so the state has to take its place.
        assert isinstance(await anext(watch), Resync)


async def test_a_batch_larger_than_the_logs_bound_is_wholly_in_the_log(
    engine: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MAX_CHANGES", 100)
    before = await fill(engine, "first")
    last = await fill(engine, *(f"k{number}" for number in range(500)))
    assert look(engine.path, "SELECT count(*) FROM changes") == 500
    async with engine.watch("default", "b", from_revision=before) as watch:
        assert isinstance(await anext(watch), Resync | Change)
    assert await fill(engine, "k") == last + 1


async def test_pages_that_became_free_are_given_back(engine: Looking, clock: ManualClock) -> None:
    for number in range(16):
        await engine.commit(batch(Put("b", f"k{number}", bytes(1 << 20), clock.now() + 1)))
    full = look(engine.path, "PRAGMA page_count")
    clock.advance(1)
    await engine.until_idle()
    left = look(engine.path, "PRAGMA page_count")
    assert isinstance(full, int)
    assert isinstance(left, int)
    assert full > 4_096
    assert left < 2_200


async def test_trimmed_entries_leave_the_disk_in_slices_but_for_the_empty_last_one(engine: Looking) -> None:
    for start in range(0, 3_000, 1_000):
        await engine.commit(batch(*(Append("s", b"%d" % number) for number in range(start, start + 1_000))))
    await engine.trim("default", "s", 2_500)
    assert len(await engine.until_idle()) > 3
    assert look(engine.path, "SELECT count(*) FROM entries") == 500
    await engine.trim("default", "s", 3_000)
    await engine.until_idle()
    assert look(engine.path, "SELECT group_concat((id & 0xffffffffff) || hex(value)) FROM entries") == "3000"
    # The one that stayed goes when it is no longer the last.
    await engine.commit(batch(Append("s", b"a"), Append("s", b"b"), Append("t", b"c")))
    await engine.trim("default", "s", 3_001)
    await engine.until_idle()
    assert look(engine.path, "SELECT group_concat(value, ' ') FROM entries") == "b c"
    assert await engine.stream_state("default", "s") == StreamState(3_002, 3_002, 1, 1)


async def test_a_dropped_stream_gives_its_pages_back(engine: Looking) -> None:
    for _ in range(16):
        await engine.commit(batch(Append("s", bytes(1 << 20))))
    assert int(str(look(engine.path, "PRAGMA page_count"))) > 4_096
    await engine.drop_stream("default", "s")
    await engine.until_idle()
    assert int(str(look(engine.path, "PRAGMA page_count"))) < 2_200


async def test_what_was_trimmed_just_before_the_end_is_swept_after_the_start(
    tmp_path: Path, clock: ManualClock
) -> None:
    engine = Looking(tmp_path / "engine.db", clock)
    engine.settled = asyncio.Queue()
    async with engine:
        await engine.until_idle()
        await engine.commit(batch(*(Append("s", b"") for _ in range(1_000))))
        trimming = asyncio.ensure_future(engine.trim("default", "s", 900))
        await asyncio.sleep(0)
    await trimming
    async with SQLiteEngine(tmp_path / "engine.db", clock) as again:
        assert await again.backlog("default", "s", 0) == 100
        while look(again.path, "SELECT count(*) FROM entries") != 100:
            await asyncio.sleep(0.001)


async def test_writes_that_never_pause_do_not_starve_upkeep(engine: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LEAST_PATIENCE", 0.001)
    engine._writer._patience = 0.001
    for start in range(0, 3_000, 1_000):
        await engine.commit(batch(*(Append("s", b"%d" % number) for number in range(start, start + 1_000))))
    swept = asyncio.Event()

    async def load(name: str) -> None:
        while not swept.is_set():
            await fill(engine, name)

    loads = [asyncio.ensure_future(load(f"k{number}")) for number in range(8)]
    await engine.trim("default", "s", 3_000)
    while look(engine.path, "SELECT count(*) FROM entries") != 1:
        await asyncio.sleep(0.001)
    swept.set()
    await asyncio.gather(*loads)


async def test_the_write_ahead_log_stays_within_its_bound(engine: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PASSIVE_PAGES", 100)
    monkeypatch.setattr(checkpoint, "RESTART_PAGES", 400)
    monkeypatch.setattr(checkpoint, "TRUNCATE_PAGES", 800)
    engine._writer._checkpointer._retry_at = 400
    log = engine.path.with_name(engine.path.name + "-wal")
    largest = 0
    for number in range(60):
        await engine.commit(batch(Put("b", f"k{number % 3}", bytes(256 << 10))))
        largest = max(largest, log.stat().st_size)
    assert 3 * largest < 60 * (256 << 10)
