"""Memory stays flat, however much passes through and however slowly somebody reads."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from microlite.core.clock import ManualClock
from microlite.core.engine.api import Append, Batch, Put, Resync
from microlite.core.engine.sqlite import SQLiteEngine

if TYPE_CHECKING:
    from microlite.core.engine.api import Engine

WRITERS = 8
ENTRIES = 250
"""In one batch."""

VALUE = bytes(100)
MOST_GROWTH = 24 << 20
"""Bytes that the process may grow by while a hundred times as much passes through."""


def resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def append(engine: Engine, batches: int) -> None:
    """Append entries, and put a record with each batch."""

    async def write(writer: int) -> None:
        for number in range(batches // WRITERS):
            entries = [Append("s", VALUE) for _ in range(ENTRIES)]
            await engine.commit(Batch("default", (*entries, Put("b", f"k{writer}/{number % 100}", VALUE))))

    await asyncio.gather(*(write(writer) for writer in range(WRITERS)))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_million_entries_with_a_slow_reader_and_a_watch_that_nobody_reads(tmp_path: Path) -> None:
    total = 1_000_000
    async with SQLiteEngine(tmp_path / "engine.db", ManualClock()) as engine:
        async with engine.watch("default", "b") as unread, engine.watch("default", "b", from_revision=0) as begun:
            assert isinstance(await anext(begun), Resync)
            position = 0

            async def read_slowly() -> None:
                nonlocal position
                async with engine.tail("default", "s") as tail:
                    while True:
                        await tail.moved(position)
                        page = await engine.read("default", "s", after=position, limit=10)
                        position = page.entries[-1].position
                        await asyncio.sleep(0.001)  # slow is what it is: this is no wait for anything

            # What is made once, caches and threads, is made before the first look.
            await append(engine, 40 * WRITERS)
            slow = asyncio.ensure_future(read_slowly())
            before = resident()
            await append(engine, (total - 40 * WRITERS * ENTRIES) // ENTRIES)
            grown = resident() - before
            slow.cancel()
            state = await engine.stream_state("default", "s")
            assert state.count == total
            assert 0 < position < total
            assert grown < MOST_GROWTH, f"grown by {grown >> 20} MiB"
            # What the watches missed comes as the state, in bounded parts.
            for watch in (unread, begun):
                item = await anext(watch)
                assert isinstance(item, Resync)
                assert len(item.records) == WRITERS * 100
            # Reading it all, page by page, takes no more either.
            after = count = 0
            while True:
                page = await engine.read("default", "s", after=after, limit=1_000)
                count += len(page.entries)
                if len(page.entries) < 1_000:
                    break
                after = page.entries[-1].position
            assert count == total
            assert resident() - before < MOST_GROWTH
        # And it goes away in slices, the same.
        await engine.trim("default", "s", state.last)
        assert await engine.backlog("default", "s", 0) == 0
