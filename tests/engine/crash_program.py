"""Writes through an engine as fast as it can and says what was acknowledged, until somebody kills it.

Each batch puts its number under two keys of two buckets, and appends it to a stream of its writer's and to one of all.
Each acknowledgement is a line "writer number revision position", the position in the stream of all.
"""

from __future__ import annotations

import asyncio
import sys

from microlite.core.clock import SystemClock
from microlite.core.engine.api import Append, Batch, Delete, Put
from microlite.core.engine.sqlite import SQLiteEngine

WRITERS = 16


async def write(engine: SQLiteEngine, writer: int, first: int) -> None:
    number = first
    while True:
        number += 1
        value = b"%d" % number
        puts = (
            Put("left", f"w{writer}", value),
            Put("right", f"w{writer}", value),
            Put("log", f"{writer}/{number}", value),
        )
        appends = (Append(f"w{writer}", value), Append("all", b"%d/%d" % (writer, number)))
        gone = Delete("log", f"{writer}/{number - 50}")
        committed = await engine.commit(Batch("default", (*puts, gone, *appends)))
        print(writer, number, committed.revision, committed.positions[1], flush=True)


async def main() -> None:
    async with SQLiteEngine(sys.argv[1], SystemClock()) as engine:
        await asyncio.gather(*(write(engine, writer, int(sys.argv[2])) for writer in range(WRITERS)))


asyncio.run(main())
