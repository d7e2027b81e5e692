"""What becomes of acks when the disk fails: they are told, tried again, and never pretended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Batch, Committed, Put
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events.api import Ack
from microlite.core.events.events import Events
from tests.events.conftest import ORIGIN, Bench


class Failing(SQLiteEngine):
    """An engine whose next commits go wrong as a test says."""

    fail: Callable[[Batch], errors.Error | None] = staticmethod(lambda _: None)
    committed_first = False

    async def commit(self, batch: Batch) -> Committed:
        """Fail in place of the disk, perhaps after the fact."""
        error = self.fail(batch)
        if error is None or self.committed_first:
            committed = await super().commit(batch)
        if error is not None:
            raise error
        return committed


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with Failing(tmp_path / "microlite.db", clock) as engine, Events(engine, clock) as events:
        yield Bench(engine, clock, events)


def on_cursors(error: errors.Error) -> Callable[[Batch], errors.Error | None]:
    """Fail the commits of groups, and no others."""

    def fail(batch: Batch) -> errors.Error | None:
        found = any(isinstance(one, Put) and one.bucket == "events/cursors" for one in batch.operations)
        return error if found else None

    return fail


@pytest.mark.parametrize("committed_first", [False, True])
@pytest.mark.parametrize("error", [errors.InsufficientStorage("full"), errors.OutcomeUnknown("it broke")])
async def test_an_ack_that_did_not_come_to_disk_fails_and_is_tried_again(
    bench: Bench, error: errors.Error, committed_first: bool
) -> None:
    engine: Any = bench.engine
    await bench.publish("a", "b", "c")
    events = await bench.pull()
    engine.fail, engine.committed_first = on_cursors(error), committed_first
    with pytest.raises(type(error)):
        await bench.ack(events[0])
    nacking = asyncio.create_task(bench.nack(events[1], "bad", dead=True))
    await bench.advance(0.2)
    with pytest.raises(type(error)):
        await nacking
    engine.fail = lambda _: None
    await bench.advance(5)
    await bench.ack(events[2])
    (status,) = await bench.events.groups.all(ORIGIN, "t")
    assert (status.lag, status.dead) == (0, 1)
    await bench.events.leaders.drop("default", "t", "g")
    assert not await bench.pull()


async def test_a_group_that_stops_by_a_fault_of_its_own_is_opened_anew(bench: Bench) -> None:
    engine: Any = bench.engine
    await bench.publish("a", "b")
    events = await bench.pull()
    await bench.ack(events[0])
    leader = bench.events.leaders.all()[0]

    def fault(batch: Batch) -> errors.Error | None:
        raise ZeroDivisionError("a fault of ours")

    engine.fail = fault
    with pytest.raises(errors.OutcomeUnknown):
        await bench.ack(events[1])
    assert leader.closed
    engine.fail = lambda _: None
    (again,) = await bench.pull()
    assert again.payload == "b"


async def test_an_ack_of_a_transaction_counts_also_when_the_groups_commit_fails(bench: Bench) -> None:
    engine: Any = bench.engine
    await bench.publish("a")
    (event,) = await bench.pull()
    plan = await bench.events.plan(ORIGIN, Ack(delivery=event.delivery))
    await engine.commit(Batch("default", plan))
    engine.fail = on_cursors(errors.InsufficientStorage("full"))
    await bench.advance(0.1)
    engine.fail = lambda _: None
    await bench.events.leaders.drop("default", "t", "g")
    assert not await bench.pull()
