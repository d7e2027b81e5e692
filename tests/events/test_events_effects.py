"""Effects happen exactly once, whatever is slow, late or gone: consumers, their transactions, and whole platforms."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Batch, Operation, Put
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events.api import Ack, Event, GroupSettings
from microlite.core.events.events import Events
from tests.events.conftest import ORIGIN, Bench

EVENTS = 30


@pytest.mark.parametrize("seed", range(8))
async def test_effects_happen_exactly_once(tmp_path: Path, seed: int) -> None:
    """A platform that is replaced is not told: what it still does is refused, as that of a dead one would never happen."""
    chance = random.Random(seed)
    clock = ManualClock(seed=seed)
    plans: list[tuple[Event[object], tuple[Operation, ...]]] = []
    taken: list[Event[object]] = []
    replaced: list[Events] = []
    effects = 0
    async with SQLiteEngine(tmp_path / "microlite.db", clock) as engine:
        bench = Bench(engine, clock, await Events(engine, clock).__aenter__())

        async def commit(event: Event[object], plan: tuple[Operation, ...]) -> None:
            nonlocal effects
            effects += 1
            effect = Put("effects", f"{event.position:03d}-{effects}", b"")
            try:
                await engine.commit(Batch("default", (*plan, effect)))
            except errors.Conflict:
                pass

        async def step() -> None:
            nonlocal bench
            what = chance.choices(["pull", "plan", "commit", "time", "replace", "nack", "ack"], [6, 6, 6, 3, 1, 1, 0])[
                0
            ]
            if what == "pull":
                taken.extend(await bench.pull(chance.randint(1, 5)))
            elif what == "plan" and taken:
                event = chance.choice(taken)
                try:
                    plans.append((event, await bench.events.plan(ORIGIN, Ack(delivery=event.delivery))))
                except errors.Conflict:
                    taken.remove(event)
            elif what == "commit" and plans:
                # Some are committed twice, as by a caller that did not hear of the first.
                await asyncio.gather(*(commit(*chance.choice(plans)) for _ in range(chance.randint(1, 4))))
            elif what == "time":
                await bench.advance(chance.choice([1, 5, 11]))
            elif what == "replace":
                replaced.append(bench.events)
                bench = Bench(engine, clock, await Events(engine, clock).__aenter__())
            elif what == "nack" and taken:
                event = taken.pop(chance.randrange(len(taken)))
                try:
                    await bench.nack(event, delay=0.0)
                except errors.Conflict:
                    pass

        settings = GroupSettings(retries=-1, ack_wait=10.0, backoff=0.0)
        await bench.events.groups.set(ORIGIN, "t", "g", settings, "beginning")
        for number in range(EVENTS):
            await bench.publish(number, key=chance.choice(["", "a", "b"]))
        for _ in range(200):
            await step()
        async with asyncio.timeout(20):
            while (await bench.events.groups.all(ORIGIN))[0].lag:
                for event in await bench.pull(100):
                    await commit(event, await bench.events.plan(ORIGIN, Ack(delivery=event.delivery)))
                await bench.advance(11)
        found = [record.key for record in (await engine.scan("default", "effects", limit=1_000)).records]
        for events in (*replaced, bench.events):
            await events.__aexit__(None, None, None)
    assert [key.partition("-")[0] for key in found] == [f"{position:03d}" for position in range(1, EVENTS + 1)]
