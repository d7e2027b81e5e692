"""Row: the longest time that a write waits while the database is backed up.

`python benchmarks/backup.py [--rounds N] [--megabytes M] [--folder F]`. 16 tasks put 1,000 bytes each as fast as
the engine takes them, all the time, into a database of M megabytes. Meanwhile it is backed up, in turn by ours, by
`sqlite3.Connection.backup()` and `VACUUM INTO` on a second connection, and by a copy of the file under the write lock,
as backups of other programs on SQLite do it. A turn without any backup says what this disk does by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, from a tree that nobody installed

from benchmarks.harness import Options, Result, spread
from microlite.core.backup.api import Chunk
from microlite.core.backup.making import make_backup
from microlite.core.clock import SystemClock
from microlite.core.engine.api import Batch, Put
from microlite.core.engine.sqlite import SQLiteEngine

WRITERS: Final = 16
VALUE_BYTES: Final = 1_000
MEGABYTES: Final = 400
SYNC_BYTES: Final = 8 << 20
SETTLE_SECONDS: Final = 1.0
"""How long writes are watched after a backup: what it left for later counts as well."""

LONGEST_BACKUP: Final = 60.0
MOST_ROUNDS: Final = 3

Backup = Callable[[SQLiteEngine, Path], Awaitable[None]]


class Stall(NamedTuple):
    """What writers saw during one backup.

    Attributes:
        longest: the longest that one write took, in milliseconds.
        seconds: how long the backup took.
        rate: writes per second meanwhile.
        log: size of the write-ahead log at the end, in MB.
    """

    longest: float
    seconds: float
    rate: float
    log: float


async def ours(engine: SQLiteEngine, target: Path) -> None:
    """Back up as `microlite backup` does: copied, checked, given out in chunks, and sent on to the disk as they come."""
    with target.open("wb") as file:
        unsynced = 0
        async for part in make_backup(engine):
            if isinstance(part, Chunk):
                file.write(part.data)
                unsynced += len(part.data)
                if unsynced >= SYNC_BYTES:
                    await asyncio.to_thread(os.fsync, file.fileno())
                    unsynced = 0


def peer(statements: str) -> Backup:
    """A backup in a process of its own, with Python's SQLite: two of them in one process would break each other's locks."""

    async def backup(engine: SQLiteEngine, target: Path) -> None:
        program = f"import os, shutil, sqlite3, sys\nsource, target = sys.argv[1:]\n{textwrap.dedent(statements)}"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, engine.path, target)
        if await process.wait():
            raise RuntimeError("the peer failed")

    return backup


async def nothing(engine: SQLiteEngine, target: Path) -> None:
    """Back up nothing, for as long as a backup takes about."""
    await asyncio.sleep(3.0)


KINDS: Final[dict[str, Backup]] = {
    "none": nothing,
    "microlite": ours,
    "sqlite3.Connection.backup()": peer("sqlite3.connect(source).backup(sqlite3.connect(target))"),
    "VACUUM INTO": peer("sqlite3.connect(source).execute('VACUUM INTO ?', (target,))"),
    "file copy under the write lock": peer(
        """
        connection = sqlite3.connect(source, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        shutil.copyfile(source, target)
        file = open(target, "r+b")
        os.fsync(file.fileno())
        connection.execute("ROLLBACK")
        """
    ),
}


async def measure(engine: SQLiteEngine, backup: Backup, target: Path, records: int) -> Stall:
    """Write all the time, back up meanwhile, and say how writes went."""
    chance, done, longest, stop = random.Random(1), 0, 0.0, False

    async def write() -> None:
        nonlocal done, longest
        while not stop:
            before = time.perf_counter()
            put = Put("bench", f"key-{chance.randrange(records):08d}", os.urandom(VALUE_BYTES))
            await engine.commit(Batch("default", (put,)))
            longest = max(longest, time.perf_counter() - before)
            done += 1

    writers = [asyncio.ensure_future(write()) for _ in range(WRITERS)]
    await asyncio.sleep(0.5)
    done, longest, began = 0, 0.0, time.perf_counter()
    try:
        await asyncio.wait_for(backup(engine, target), LONGEST_BACKUP)
        seconds = time.perf_counter() - began
        rate = done / seconds
        await asyncio.sleep(SETTLE_SECONDS)
    finally:
        stop = True
        await asyncio.gather(*writers)
        await asyncio.to_thread(target.unlink, missing_ok=True)
    log = engine.path.with_name(f"{engine.path.name}-wal").stat().st_size / 1e6
    return Stall(longest * 1_000, seconds, rate, log)


async def fill(engine: SQLiteEngine, megabytes: int) -> int:
    """Put records until the file has its size; return how many."""
    records = megabytes * 1_000_000 // (VALUE_BYTES + 150)
    for start in range(0, records, 1_000):
        puts = tuple(
            Put("bench", f"key-{number:08d}", os.urandom(VALUE_BYTES)) for number in range(start, start + 1_000)
        )
        await engine.commit(Batch("default", puts))
    return records


async def compare(folder: Path, rounds: int, megabytes: int) -> dict[str, list[Stall]]:
    """Measure each kind in turn."""
    stalls: dict[str, list[Stall]] = {name: [] for name in KINDS}
    async with SQLiteEngine(folder / "engine.db", SystemClock()) as engine:
        records = await fill(engine, megabytes)
        for _ in range(rounds):
            for name, backup in KINDS.items():
                stall = await measure(engine, backup, folder / "copy.db", records)
                stalls[name].append(stall)
                print(
                    f"{name:31} longest write {stall.longest:7,.0f} ms   took {stall.seconds:5.1f} s   "
                    f"{stall.rate:7,.0f} writes/s   log {stall.log:5.0f} MB",
                    file=sys.stderr,
                    flush=True,
                )
    return stalls


def run(options: Options) -> list[Result]:
    """Say for each kind how long a write waited at most; ours against the disk by itself and the others."""
    with tempfile.TemporaryDirectory() as folder:
        stalls = asyncio.run(compare(Path(folder), min(options.pairs, MOST_ROUNDS), MEGABYTES))
    return [
        spread(
            Result(
                "longest write during a backup of 400 MB",
                name,
                unit="ms",
                note=f"informs; took {statistics.median(one.seconds for one in found):.1f} s, "
                f"{statistics.median(one.rate for one in found):,.0f} writes/s meanwhile",
            ),
            [one.longest for one in found],
        )
        for name, found in stalls.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=MOST_ROUNDS, help=f"rounds ({MOST_ROUNDS})")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help=f"size of the database ({MEGABYTES})")
    parser.add_argument("--folder", default=None, help="where to put the databases (the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        stalls = asyncio.run(compare(Path(folder), options.rounds, options.megabytes))
    for name, found in stalls.items():
        print(
            f"{name:31} longest write: median {statistics.median(one.longest for one in found):,.0f} ms, "
            f"at most {max(one.longest for one in found):,.0f} ms ({len(found)} rounds)"
        )


if __name__ == "__main__":
    main()
