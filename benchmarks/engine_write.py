"""Row: durable puts through the engine, 64 at a time, against raw apsw with a commit for each.

`python benchmarks/engine_write.py [--rounds N] [--seconds S] [--keys K]`. Both sides write 200 bytes under random keys
of a database of K records, with `synchronous=FULL`, on the disk that holds the temporary folder (or `--folder`).
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
from pathlib import Path

import apsw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, from a tree that nobody installed

from microlite.core.clock import SystemClock
from microlite.core.engine.api import Batch, Put
from microlite.core.engine.sqlite import SQLiteEngine

WRITERS = 64
VALUE_BYTES = 200


def open_raw(path: Path) -> apsw.Connection:
    """Open a plain table in a database with the same promise: on disk when the statement returns."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    return connection


def measure_raw(connection: apsw.Connection, keys: int, seconds: float) -> float:
    """Return puts per second, one after the other, each its own commit."""
    chance, done, began = random.Random(1), 0, time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        place = (f"key-{chance.randrange(keys):08d}", os.urandom(VALUE_BYTES))
        connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", place)
        done += 1
    return done / (time.perf_counter() - began)


async def measure_engine(engine: SQLiteEngine, keys: int, seconds: float, latencies: list[float]) -> float:
    """Return puts per second of `WRITERS` tasks, each awaiting its own put before it makes the next."""
    chance, done, began = random.Random(1), 0, time.perf_counter()
    until = began + seconds

    async def write() -> None:
        nonlocal done
        while (before := time.perf_counter()) < until:
            put = Put("bench", f"key-{chance.randrange(keys):08d}", os.urandom(VALUE_BYTES))
            await engine.commit(Batch("default", (put,)))
            latencies.append(time.perf_counter() - before)
            done += 1

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return done / (time.perf_counter() - began)


async def fill(engine: SQLiteEngine, raw: apsw.Connection, keys: int) -> None:
    """Put all keys into both."""
    names = [f"key-{number:08d}" for number in range(keys)]
    with raw:
        raw.executemany("INSERT INTO records VALUES (?, ?)", ((name, os.urandom(VALUE_BYTES)) for name in names))
    for start in range(0, keys, 1_000):
        puts = tuple(Put("bench", name, os.urandom(VALUE_BYTES)) for name in names[start : start + 1_000])
        await engine.commit(Batch("default", puts))


async def compare(folder: Path, rounds: int, seconds: float, keys: int) -> list[tuple[float, float]]:
    """Measure both in turn, in the same process; return the pairs of rates."""
    pairs = []
    latencies: list[float] = []
    async with SQLiteEngine(folder / "engine.db", SystemClock()) as engine:
        with contextlib.closing(open_raw(folder / "raw.db")) as raw:
            await fill(engine, raw, keys)
            await measure_engine(engine, keys, min(0.3, seconds), [])
            measure_raw(raw, keys, min(0.3, seconds))
            for _ in range(rounds):
                ours = await measure_engine(engine, keys, seconds, latencies)
                theirs = measure_raw(raw, keys, seconds)
                pairs.append((ours, theirs))
                print(f"engine {ours:8,.0f}/s   raw apsw {theirs:8,.0f}/s   {ours / theirs:5.1f} ×")
    cuts = statistics.quantiles(latencies, n=100)
    print(
        f"a put took {cuts[49] * 1000:.1f} ms (p50), {cuts[98] * 1000:.1f} ms (p99), "
        f"{max(latencies) * 1000:.0f} ms (longest)"
    )
    return pairs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each side's turn (1.0)")
    parser.add_argument("--keys", type=int, default=10_000, help="records in the database (10,000)")
    parser.add_argument("--folder", default=None, help="where to put the databases (the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        pairs = asyncio.run(compare(Path(folder), options.rounds, options.seconds, options.keys))
    ratios = [ours / theirs for ours, theirs in pairs]
    print(
        f"{WRITERS} concurrent durable puts against one commit each: median {statistics.median(ratios):.1f} × "
        f"({min(ratios):.1f} to {max(ratios):.1f}, {len(ratios)} rounds)"
    )


if __name__ == "__main__":
    main()
