"""Row: what the engine's work costs in a large database, against a small one.

`python benchmarks/scale.py [--sizes 100000,1000000] [--rounds N] [--seconds S] [--folder F]`. Each size is a database
with so many records and as many entries of one stream, of 200 bytes each. All are open at once and measured in turn, in one
process: appends of 64 tasks, single commits one after the other, random upserts in batches of 64, random point reads. The
engine's own page caches hold 16 MiB (writing) and 8 MiB (each reader); what is beyond comes from the file system's cache,
or from the disk where that is too small: the note says which.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, from a tree that nobody installed

import psutil

from benchmarks.harness import Budget, Options, Result, spread
from microlite.core.clock import SystemClock
from microlite.core.engine.api import Append, Batch, Put
from microlite.core.engine.sqlite import SQLiteEngine

SIZES: Final = (100_000, 1_000_000)
VALUE_BYTES: Final = 200
WRITERS: Final = 64
GROUP: Final = 64

Work = Callable[[SQLiteEngine, int, float], Awaitable[float]]


def key(number: int) -> str:
    """The key of a record."""
    return f"key-{number:010d}"


async def appends(engine: SQLiteEngine, size: int, seconds: float) -> float:
    """Entries per second, each its own commit, of 64 tasks."""
    done, began = 0, time.perf_counter()

    async def write() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await engine.commit(Batch("default", (Append("bench", os.urandom(VALUE_BYTES)),)))
            done += 1

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return done / (time.perf_counter() - began)


async def single_commits(engine: SQLiteEngine, size: int, seconds: float) -> float:
    """Commits per second, one after the other, each of one record under a random key and one entry."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        put = Put("bench", key(random.randrange(size)), os.urandom(VALUE_BYTES))
        await engine.commit(Batch("default", (put, Append("bench", b""))))
        done += 1
    return done / (time.perf_counter() - began)


async def grouped_upserts(engine: SQLiteEngine, size: int, seconds: float) -> float:
    """Records per second, under random keys, 64 in a commit."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        numbers = {random.randrange(size) for _ in range(GROUP)}
        await engine.commit(
            Batch("default", tuple(Put("bench", key(number), os.urandom(VALUE_BYTES)) for number in numbers))
        )
        done += len(numbers)
    return done / (time.perf_counter() - began)


async def point_reads(engine: SQLiteEngine, size: int, seconds: float) -> float:
    """Records per second, by random keys."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        assert await engine.get("default", "bench", key(random.randrange(size))) is not None
        done += 1
    return done / (time.perf_counter() - began)


BUDGET: Final = Budget(must=1.25, aim=1.1)
"""How many times as much an append or a single commit may cost in the largest database."""

WORKS: Final[dict[str, tuple[Work, Budget | None]]] = {
    "append": (appends, BUDGET),
    "single commit": (single_commits, BUDGET),
    "grouped random upsert": (grouped_upserts, None),
    "point read": (point_reads, None),
}


async def fill(engine: SQLiteEngine, size: int) -> None:
    """Put all records and entries."""
    for start in range(0, size, 500):
        operations: list[Put | Append] = []
        for number in range(start, min(start + 500, size)):
            operations.append(Put("bench", key(number), os.urandom(VALUE_BYTES)))
            operations.append(Append("bench", os.urandom(VALUE_BYTES)))
        await engine.commit(Batch("default", tuple(operations)))


async def compare(
    folder: Path, sizes: tuple[int, ...], rounds: int, seconds: float
) -> dict[str, dict[int, list[float]]]:
    """Rates of each work by size, one for each round."""
    rates: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in WORKS}
    async with contextlib.AsyncExitStack() as stack:
        engines = {}
        for size in sizes:
            engines[size] = await stack.enter_async_context(SQLiteEngine(folder / f"{size}.db", SystemClock()))
            began = time.perf_counter()
            await fill(engines[size], size)
            megabytes = engines[size].path.stat().st_size / 1e6
            took = time.perf_counter() - began
            print(f"{size:,} records and entries: {megabytes:,.0f} MB, filled in {took:.0f} s", file=sys.stderr)
        # One work after the other, so that what one leaves behind for later is not on the account of the next.
        for name, (work, _) in WORKS.items():
            for number in range(rounds + 1):
                for size, engine in engines.items():
                    rate = await work(engine, size, seconds)
                    if number:  # the first round warms up
                        rates[name][size].append(rate)
    return rates


def results(rates: dict[str, dict[int, list[float]]], sizes: tuple[int, ...]) -> list[Result]:
    """For each work and each larger size, how many times as much it costs as in the smallest database."""
    found = []
    smallest = sizes[0]
    cache = f"caches 16 + 8 MiB, {psutil.virtual_memory().total / 1e9:.0f} GB of memory for that of the files"
    for name, (_, budget) in WORKS.items():
        for size in sizes[1:]:
            small, large = rates[name][smallest], rates[name][size]
            found.append(
                spread(
                    Result(
                        f"cost of a {name}, {size:,} records and entries",
                        f"{smallest:,}",
                        unit="×",
                        budget=budget,
                        ours=statistics.median(large),
                        theirs=statistics.median(small),
                        side_unit="/s",
                        note=f"informs; {cache}" if budget is None else cache,
                    ),
                    [one / other for one, other in zip(small, large, strict=True)],
                )
            )
    return found


def run(options: Options) -> list[Result]:
    """Measure a hundred thousand against a million; ten million take minutes to fill, and are for a run by hand."""
    with tempfile.TemporaryDirectory() as folder:
        rates = asyncio.run(compare(Path(folder), SIZES, options.pairs, min(options.seconds, 1.0)))
    return results(rates, SIZES)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="the smallest first (100000,1000000)")
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement (1.0)")
    parser.add_argument("--folder", default=None, help="where to put the databases (the temporary folder)")
    options = parser.parse_args()
    sizes = tuple(int(size) for size in options.sizes.split(","))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rates = asyncio.run(compare(Path(folder), sizes, options.rounds, options.seconds))
    for name, by_size in rates.items():
        print(f"{name:22} " + "   ".join(f"{size:,}: {statistics.median(by_size[size]):9,.0f}/s" for size in sizes))
    for result in results(rates, sizes):
        print(f"{result.what}: {result.median:.2f} × ({result.low:.2f} to {result.high:.2f})")


if __name__ == "__main__":
    main()
