"""What a page that is looked at again and again costs where there are a hundred thousand dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from microlite.core.clock import ManualClock
from microlite.core.engine.api import Batch, Page, Put
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events import records, tallies
from microlite.core.events.api import DeadLetter, GroupSettings, Publish, Retention, TopicSettings
from microlite.core.events.envelope import encode_envelope, make_envelope
from microlite.core.events.events import Events
from tests.events.conftest import ORIGIN, Bench

MANY = 100_000


class Counting(SQLiteEngine):
    """An engine that counts what is read."""

    read_records = 0
    read_entries = 0

    async def scan(self, *args: Any, **more: Any) -> Page:
        """See `api.Engine`."""
        page = await super().scan(*args, **more)
        self.read_records += len(page.records)
        return page

    async def count(self, *args: Any, **more: Any) -> int:
        """See `api.Engine`."""
        found = await super().count(*args, **more)
        self.read_records += found
        return found

    async def read(self, *args: Any, **more: Any) -> Any:
        """See `api.StreamVerbs`."""
        page = await super().read(*args, **more)
        self.read_entries += len(page.entries)
        return page


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = ManualClock()
    async with Counting(tmp_path / "microlite.db", clock) as engine, Events(engine, clock) as events:
        yield Bench(engine, clock, events)


async def bury(bench: Bench, number: int) -> None:
    """Put so many dead letters of ten kinds into the quarantine of `t`, and as many into the group `g`."""
    envelope = encode_envelope(make_envelope(Publish(topic="t", payload=1), bench.clock.new_id(), 0.0))
    values = [
        records.encode(
            records.DeadRecord(
                envelope=envelope, position=0, error=f"no {'x' * kind}", kind=f"no {'x' * kind}", died=0.0
            )
        )
        for kind in range(10)
    ]
    await bench.publish(1)
    await bench.events.groups.set(ORIGIN, "t", "g", GroupSettings(), "beginning")
    for place in ("t//", "t/g/"):
        for start in range(0, number, 500):
            puts = tuple(Put(records.DEAD, f"{place}{one:020d}", values[one % 10]) for one in range(start, start + 500))
            await bench.engine.commit(Batch(ORIGIN.namespace, puts))


@pytest.mark.slow
async def test_a_page_does_not_count_a_hundred_thousand_dead_letters_at_each_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tallies, "LEAST", tallies.LONGEST)  # however slow the machine is
    engine: Any = bench.engine
    await bury(bench, MANY)

    async def look() -> list[int]:
        topics = await bench.events.topics.all(ORIGIN)
        groups = await bench.events.groups.all(ORIGIN)
        kinds = await bench.events.dead.kinds(ORIGIN, "t", None)
        page = await bench.events.dead.page(ORIGIN, "t", "g", limit=50)
        return [topics[0].quarantined, groups[0].dead, sum(kind.count for kind in kinds), len(page.letters)]

    assert await look() == [MANY, MANY, 2 * MANY, 50]
    engine.read_records = 0
    for _ in range(20):
        assert await look() == [MANY, MANY, 2 * MANY, 50]
    assert engine.read_records < 20 * 250  # the pages of 50, and the few records of topics and groups


async def test_what_somebody_takes_away_is_counted_anew_at_once(bench: Bench) -> None:
    await bury(bench, 1_500)

    async def counts() -> list[int]:
        topic = await bench.events.describe(ORIGIN, "t")
        kinds = await bench.events.dead.kinds(ORIGIN, "t", "g")
        return [topic.quarantined, topic.groups[0].dead, sum(kind.count for kind in kinds)]

    assert await counts() == [1_500, 1_500, 1_500]
    await bench.events.dead.delete(ORIGIN, "t", "g", None, "no x")
    assert await counts() == [1_500, 1_350, 1_350]
    await bench.events.dead.redrive(ORIGIN, "t", "g", None, "no xx")
    assert await counts() == [1_500, 1_200, 1_200]
    await bench.events.dead.delete(ORIGIN, "t", "", None, "")
    assert await counts() == [0, 1_200, 1_200]


async def test_a_page_of_a_rare_kind_is_found_in_bounded_steps(bench: Bench) -> None:
    engine: Any = bench.engine
    await bury(bench, 5_000)
    rare = records.encode(
        records.DeadRecord(
            envelope=encode_envelope(make_envelope(Publish(topic="t", payload=1), "id", 0.0)),
            position=0,
            error="rare",
            kind="rare",
            died=0.0,
        )
    )
    await bench.engine.commit(Batch(ORIGIN.namespace, (Put(records.DEAD, f"t/g/{9_999:020d}", rare),)))

    found: list[DeadLetter] = []
    after, pages = "", 0
    while True:
        engine.read_records = 0
        page = await bench.events.dead.page(ORIGIN, "t", "g", kind="rare", after=after)
        assert engine.read_records <= 2_200
        found += page.letters
        pages += 1
        if not page.cursor:
            break
        after = page.cursor
    assert [letter.kind for letter in found] == ["rare"]
    assert pages == 3


async def test_retention_by_size_reads_no_event(bench: Bench) -> None:
    engine: Any = bench.engine
    await bench.publish(*("x" * 100 for _ in range(400)))
    size = (await bench.events.topics.status(ORIGIN.namespace, "t")).size
    settings = TopicSettings(retention=Retention(size=size // 4))
    await bench.events.topics.set(ORIGIN, "t", settings)
    await bench.events.look()

    after = await bench.events.topics.status(ORIGIN.namespace, "t")
    assert size // 4 - 300 < after.size <= size // 4
    assert engine.read_entries == 0
