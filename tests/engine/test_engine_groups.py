"""What waits for the disk together is committed together, and each batch of it still stands for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine import writer
from microlite.core.engine.api import Change, ChangeKind, Check, Delete, Presence, Put
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import Faults, batch, commit, contents, fill, turn


@pytest.fixture
async def engine(tmp_path: Path, clock: ManualClock, faults: Faults) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "engine.db", clock, vfs=faults.name) as engine:
        await fill(engine, "first")
        yield engine


async def test_writes_of_one_turn_wait_for_the_disk_once(engine: SQLiteEngine, faults: Faults) -> None:
    before = faults.syncs
    revisions = await asyncio.gather(*(fill(engine, f"k{number}") for number in range(64)))
    assert faults.syncs - before == 1
    assert list(revisions) == sorted(set(revisions))


async def test_writes_that_come_while_the_disk_works_make_the_next_group(engine: SQLiteEngine, faults: Faults) -> None:
    entered, proceed = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(entered.set)
        proceed.wait(10)

    before = faults.syncs
    faults.before_sync = hold
    slow = asyncio.ensure_future(fill(engine, "slow"))
    await entered.wait()
    waiting = []
    for number in range(20):
        waiting.append(asyncio.ensure_future(fill(engine, f"k{number}")))
        await turn()
        assert not slow.done()
    await turn()  # what one turn of the loop has written goes to the thread in the next
    proceed.set()
    assert await slow < min(await asyncio.gather(*waiting))
    assert faults.syncs - before == 2


async def test_nothing_is_acknowledged_or_seen_before_the_disk_has_it(engine: SQLiteEngine, faults: Faults) -> None:
    entered, proceed = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(entered.set)
        proceed.wait(10)

    async with engine.watch("default", "b") as watch:
        faults.before_sync = hold
        seen = asyncio.ensure_future(anext(watch))
        acknowledged = asyncio.ensure_future(fill(engine, "k"))
        await entered.wait()
        assert await engine.get("default", "b", "k") is None
        assert not seen.done()
        assert not acknowledged.done()
        proceed.set()
        assert (await seen).revision == await acknowledged


async def test_a_refused_batch_fails_alone_in_its_group(engine: SQLiteEngine, faults: Faults) -> None:
    before = faults.syncs
    good, bad, also_good = await asyncio.gather(
        fill(engine, "a"),
        engine.commit(batch(Put("b", "half", b""), Put("b", "first", b"", expect=Presence.ABSENT))),
        fill(engine, "c"),
        return_exceptions=True,
    )
    assert isinstance(bad, errors.Conflict)
    assert isinstance(good, int)
    assert isinstance(also_good, int)
    assert await contents(engine) == {"a": b"a", "c": b"c", "first": b"first"}
    assert faults.syncs - before == 1


async def test_a_batch_is_judged_on_what_earlier_ones_of_its_group_leave(engine: SQLiteEngine, faults: Faults) -> None:
    before = faults.syncs
    async with engine.watch("default", "b") as watch:
        outcomes = await asyncio.gather(
            commit(engine, Put("b", "k", b"1", expect=Presence.ABSENT)),
            commit(engine, Put("b", "k", b"2", expect=Presence.ABSENT)),
            commit(engine, Put("b", "k", b"3", expect=Presence.PRESENT)),
            commit(engine, Delete("b", "k", expect=Presence.PRESENT)),
            commit(engine, Check("b", "k", Presence.ABSENT), Put("b", "l", b"")),
            commit(engine, Put("b", "k", b"4", expect=Presence.ABSENT)),
            return_exceptions=True,
        )
        seen = [await anext(watch) for _ in range(5)]
    assert [isinstance(outcome, errors.Conflict) for outcome in outcomes] == [False, True, False, False, False, False]
    assert faults.syncs - before == 1
    record = await engine.get("default", "b", "k")
    assert record is not None
    assert (record.value, record.revision) == (b"4", outcomes[-1])
    # Watches see each step, though only the last one reaches the disk.
    assert [(one.kind, one.key) for one in seen if isinstance(one, Change)] == [
        (ChangeKind.PUT, "k"),
        (ChangeKind.PUT, "k"),
        (ChangeKind.DELETE, "k"),
        (ChangeKind.PUT, "l"),
        (ChangeKind.PUT, "k"),
    ]


async def test_who_gives_up_waiting_does_not_disturb_the_group(engine: SQLiteEngine, faults: Faults) -> None:
    entered, proceed = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(entered.set)
        proceed.wait(10)

    faults.before_sync = hold
    given_up, stays = asyncio.ensure_future(fill(engine, "a")), asyncio.ensure_future(fill(engine, "b"))
    await entered.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    proceed.set()
    await stays
    assert await engine.get("default", "b", "a") is not None


async def test_closing_commits_what_waits(tmp_path: Path, clock: ManualClock) -> None:
    async with SQLiteEngine(tmp_path / "closing.db", clock) as engine:
        waiting = [asyncio.ensure_future(fill(engine, f"k{number}")) for number in range(100)]
        await turn()
    assert len(await asyncio.gather(*waiting)) == 100
    async with SQLiteEngine(tmp_path / "closing.db", clock) as engine:
        assert len(await contents(engine)) == 100


async def test_more_than_the_disk_can_take_is_refused_at_once_and_can_be_sent_again(
    engine: SQLiteEngine, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAITING_BYTES", 100_000)
    value = bytes(40_000)
    one, two, three = await asyncio.gather(
        *(commit(engine, Put("b", key, value)) for key in ("a", "b", "c")), return_exceptions=True
    )
    assert isinstance(one, int)
    assert isinstance(two, int)
    assert isinstance(three, errors.ServiceUnavailable)
    assert not isinstance(three, errors.OutcomeUnknown)
    await engine.commit(batch(Put("b", "c", value)))


async def test_a_group_has_its_bounds(engine: SQLiteEngine, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_OPERATIONS", 10)
    before = faults.syncs
    await asyncio.gather(*(fill(engine, f"k{number}") for number in range(30)))
    assert faults.syncs - before == 3
