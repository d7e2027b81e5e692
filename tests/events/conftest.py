"""Events over a real database, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from microlite.core.clock import ManualClock
from microlite.core.context import Origin
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events.api import Event, Publish, Published
from microlite.core.events.events import Events

ORIGIN = Origin("default", "tests", "ann")


class Bench:
    """Events, their engine and their clock, and short ways to use them."""

    def __init__(self, engine: SQLiteEngine, clock: ManualClock, events: Events) -> None:
        self.engine = engine
        self.clock = clock
        self.events = events

    async def publish(self, *payloads: object, topic: str = "t", **more: Any) -> list[Published]:
        """Publish some payloads in one batch."""
        return await self.events.publish(
            ORIGIN, [Publish(topic=topic, payload=payload, **more) for payload in payloads]
        )

    async def pull(
        self, count: int = 100, *, topic: str = "t", group: str = "g", wait: float = 0.0
    ) -> list[Event[Any]]:
        """What is ready now, or after a wait."""
        return await self.events.pull(ORIGIN, topic, group, count=count, wait=wait, ack_wait=None, start="beginning")

    async def payloads(self, count: int = 100, **more: Any) -> list[Any]:
        """The payloads of what is ready now."""
        return [event.payload for event in await self.pull(count, **more)]

    async def ack(self, *events: Event[Any]) -> None:
        """Settle deliveries."""
        await self.events.ack(ORIGIN, [event.delivery for event in events])

    async def nack(self, event: Event[Any], error: str = "no", **more: Any) -> None:
        """Let a delivery fail."""
        await self.events.nack(ORIGIN, event.delivery, error=error, **{"delay": None, "dead": False, **more})

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what follows from it happen."""
        self.clock.advance(seconds)
        for _ in range(10):
            await asyncio.sleep(0)


async def until(condition: Callable[[], Any]) -> None:
    """Return once something holds that other tasks bring about."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def open_bench(tmp_path: Path) -> Callable[[], contextlib.AbstractAsyncContextManager[Bench]]:
    """Opens the same database each time, as a platform does that is restarted. Time goes on."""
    clock = ManualClock()

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Bench]:
        async with SQLiteEngine(tmp_path / "microlite.db", clock) as engine, Events(engine, clock) as events:
            yield Bench(engine, clock, events)

    return opened


@pytest.fixture
async def bench(
    open_bench: Callable[[], contextlib.AbstractAsyncContextManager[Bench]],
) -> AsyncIterator[Bench]:
    """Events over an empty database."""
    async with open_bench() as opened:
        yield opened
