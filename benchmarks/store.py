"""Rows: durable writes and reads of records from a service, 64 at a time, against raw apsw in one process."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import apsw

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, Sample, compare, interleave, running, spread
from benchmarks.processes import cpu_seconds

CONCURRENCY = 64
KEYS = 10_000
VALUE_BYTES = 200

KEEPER = """\
import asyncio
import random
import time

from microlite import Context, Service

keeper = Service("keeper")
VALUE = "x" * {value_bytes}


@keeper.endpoint
async def fill(ctx: Context) -> int:
    names = [f"key-{{number:08d}}" for number in range({keys})]
    for start in range(0, {keys}, 1000):
        await ctx.store.write_many(dict.fromkeys(names[start : start + 1000], VALUE))
    return {keys}


@keeper.endpoint
async def write(ctx: Context, count: int) -> float:
    chance, store = random.Random(), ctx.store

    async def share(calls: int) -> None:
        for _ in range(calls):
            await store.write(f"key-{{chance.randrange({keys}):08d}}", VALUE)

    return await timed(share, count)


@keeper.endpoint
async def read(ctx: Context, count: int) -> float:
    chance, store = random.Random(), ctx.store

    async def share(calls: int) -> None:
        for _ in range(calls):
            await store.read(f"key-{{chance.randrange({keys}):08d}}", str)

    return await timed(share, count)


async def timed(share, count: int) -> float:
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range({concurrency}):
            tasks.create_task(share(count // {concurrency}))
    return time.perf_counter() - began


if __name__ == "__main__":
    keeper.run()
"""


class Records:
    """A service that writes to or reads from the store as fast as it can.

    Args:
        options: of the run.
        verb: ``write`` or ``read``.
    """

    name = "microlite"

    def __init__(self, options: Options, verb: str) -> None:
        self.platform = product.Platform(options)
        self._verb = verb
        self._rate = 2_000.0

    def start(self) -> None:
        """Start the platform and the service, with all keys written."""
        self.platform.start()
        source = KEEPER.format(keys=KEYS, value_bytes=VALUE_BYTES, concurrency=CONCURRENCY)
        self.platform.deploy("keeper", source)
        self.platform.wait("keeper answering", lambda: self.platform.number("/keeper/fill", {}, 60) == KEYS)

    def measure(self, seconds: float) -> Sample:
        """Return acknowledged operations per second as the service counts them."""
        pids = self.platform.pids()
        before = cpu_seconds(pids)
        count = max(CONCURRENCY, int(self._rate * seconds) // CONCURRENCY * CONCURRENCY)
        taken = self.platform.number(f"/keeper/{self._verb}", {"count": count}, 60)
        self._rate = count / taken
        return Sample(self._rate, (cpu_seconds(pids) - before) / count * 1e6)

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()


class RawApsw:
    """Raw apsw in this process: one statement, one commit, on disk when it returns."""

    name = "raw apsw"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._connection: apsw.Connection | None = None
        self._chance = random.Random(1)

    def start(self) -> None:
        """Make the database with all keys."""
        self._connection = connection = apsw.Connection(str(Path(self._folder.name) / "raw.db"))
        connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE records (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
        with connection:
            rows = ((f"key-{number:08d}", os.urandom(VALUE_BYTES)) for number in range(KEYS))
            connection.executemany("INSERT INTO records VALUES (?, ?)", rows)

    def measure(self, seconds: float) -> Sample:
        """Return commits per second, one after the other."""
        assert self._connection is not None
        done, began, burnt = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() < began + seconds:
            place = (f"key-{self._chance.randrange(KEYS):08d}", os.urandom(VALUE_BYTES))
            self._connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", place)
            done += 1
        return Sample(done / (time.perf_counter() - began), (time.process_time() - burnt) / done * 1e6)

    def stop(self) -> None:
        """Remove the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def run_write(options: Options) -> list[Result]:
    """Measure acknowledged writes of 200 bytes under random keys of 10,000, both sides in the temporary folder."""
    return compare(
        f"store.write, {CONCURRENCY} at a time",
        lambda: Records(options, "write"),
        [(RawApsw(), Budget(must=5, aim=9, at_least=True))],
        options,
    )


def run_read(options: Options) -> list[Result]:
    """Measure reads of such records over RPC; nothing is compared with."""
    records = Records(options, "read")
    with running(records):
        samples = interleave([records], options)[records.name]
    rates = [sample.value for sample in samples]
    result = Result(
        f"store.read, {CONCURRENCY} at a time",
        unit="/s",
        ours=statistics.median(rates),
        side_unit="/s",
        cpu_ours=statistics.median(sample.cpu_us for sample in samples),
        note="informs",
    )
    return [spread(result, rates)]
