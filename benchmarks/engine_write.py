"""Rows: durable puts and appends through the engine, 64 at a time, against raw apsw with a commit for each.

`python benchmarks/engine_write.py [--rounds N] [--seconds S] [--keys K]`. Both sides write 200 bytes, with
`synchronous=FULL`, on the disk that holds the temporary folder (or `--folder`): puts under random keys of a database of
K records, appends at the end of one stream, which is a table with a row number on the other side.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import enum
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
from microlite.core.engine.api import Append, Batch, Operation, Put
from microlite.core.engine.sqlite import SQLiteEngine

WRITERS = 64
VALUE_BYTES = 200


class Kind(enum.Enum):
    """What is measured."""

    PUT = "put"
    APPEND = "append"


Rates = dict[Kind, list[tuple[float, float]]]
"""Writes per second, the engine's and raw apsw's, for each round."""


def open_raw(path: Path) -> apsw.Connection:
    """Open plain tables in a database with the same promise: on disk when the statement returns."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    connection.execute("CREATE TABLE entries (position INTEGER PRIMARY KEY, at REAL NOT NULL, value BLOB NOT NULL)")
    return connection


def measure_raw(connection: apsw.Connection, kind: Kind, keys: int, seconds: float) -> float:
    """Return writes per second, one after the other, each its own commit."""
    chance, done, began = random.Random(1), 0, time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        if kind is Kind.PUT:
            place = (f"key-{chance.randrange(keys):08d}", os.urandom(VALUE_BYTES))
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", place)
        else:
            connection.execute("INSERT INTO entries (at, value) VALUES (?, ?)", (time.time(), os.urandom(VALUE_BYTES)))
        done += 1
    return done / (time.perf_counter() - began)


async def measure_engine(engine: SQLiteEngine, kind: Kind, keys: int, seconds: float, latencies: list[float]) -> float:
    """Return writes per second of `WRITERS` tasks, each awaiting its own before it makes the next."""
    chance, done, began = random.Random(1), 0, time.perf_counter()
    until = began + seconds

    async def write() -> None:
        nonlocal done
        while (before := time.perf_counter()) < until:
            value = os.urandom(VALUE_BYTES)
            if kind is Kind.PUT:
                operation: Operation = Put("bench", f"key-{chance.randrange(keys):08d}", value)
            else:
                operation = Append("bench", value)
            await engine.commit(Batch("default", (operation,)))
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


async def compare(folder: Path, rounds: int, seconds: float, keys: int) -> Rates:
    """Measure both in turn, in the same process."""
    rates: Rates = {kind: [] for kind in Kind}
    latencies: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    async with SQLiteEngine(folder / "engine.db", SystemClock()) as engine:
        with contextlib.closing(open_raw(folder / "raw.db")) as raw:
            await fill(engine, raw, keys)
            for kind in Kind:
                await measure_engine(engine, kind, keys, min(0.3, seconds), [])
                measure_raw(raw, kind, keys, min(0.3, seconds))
            for _ in range(rounds):
                for kind in Kind:
                    ours = await measure_engine(engine, kind, keys, seconds, latencies[kind])
                    theirs = measure_raw(raw, kind, keys, seconds)
                    rates[kind].append((ours, theirs))
                    print(f"{kind.value:6} engine {ours:8,.0f}/s   raw apsw {theirs:8,.0f}/s   {ours / theirs:5.1f} ×")
    for kind, took in latencies.items():
        cuts = statistics.quantiles(took, n=100)
        print(
            f"{kind.value}: took {cuts[49] * 1000:.1f} ms (p50), {cuts[98] * 1000:.1f} ms (p99), "
            f"{max(took) * 1000:.0f} ms (longest)"
        )
    return rates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (10)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each side's turn (1.0)")
    parser.add_argument("--keys", type=int, default=10_000, help="records in the database (10,000)")
    parser.add_argument("--folder", default=None, help="where to put the databases (the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rates = asyncio.run(compare(Path(folder), options.rounds, options.seconds, options.keys))
    for kind, pairs in rates.items():
        ratios = [ours / theirs for ours, theirs in pairs]
        print(
            f"{WRITERS} concurrent durable {kind.value}s against one commit each: median "
            f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f}, {len(ratios)} rounds)"
        )


if __name__ == "__main__":
    main()
