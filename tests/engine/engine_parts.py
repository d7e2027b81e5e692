"""A file system that fails when a test says so, and small ways to write and read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import apsw

from microlite.core.clock import Clock
from microlite.core.engine.api import Batch, Engine, Operation, Put
from microlite.core.engine.sqlite import SQLiteEngine

ENGINES: Final[dict[str, Callable[[Path, Clock], AbstractAsyncContextManager[Engine]]]] = {
    "sqlite": lambda folder, clock: SQLiteEngine(folder / "engine.db", clock),
}
"""Opens each engine over what lies in a folder. One more comes under the whole contract by one more line here."""

OpenEngine = Callable[[], AbstractAsyncContextManager[Engine]]
"""Opens an engine over what the same test has stored before."""


def batch(*operations: Operation, namespace: str = "default") -> Batch:
    """Operations in the namespace that most tests use."""
    return Batch(namespace, operations)


async def turn() -> None:
    """Let everything that is ready run once."""
    await asyncio.sleep(0)


async def commit(engine: Engine, *operations: Operation, namespace: str = "default") -> int:
    """Carry out operations; return the revision."""
    return (await engine.commit(Batch(namespace, operations))).revision


async def fill(engine: Engine, *keys: str, bucket: str = "b") -> int:
    """Put keys, each with itself as value; return the revision."""
    return await commit(engine, *(Put(bucket, key, key.encode()) for key in keys))


async def contents(engine: Engine, bucket: str = "b") -> dict[str, bytes]:
    """All keys and values of a bucket."""
    found: dict[str, bytes] = {}
    after = ""
    while True:
        page = await engine.scan("default", bucket, after=after, limit=1000)
        found.update((record.key, record.value) for record in page.records)
        if page.cursor is None:
            return found
        after = page.cursor


class Faults(apsw.VFS):
    """A VFS that does what the usual one does, until a test has it fail. It sees only the write-ahead log."""

    def __init__(self) -> None:
        self.name = f"faults-{id(self)}"
        self.write_error: Exception | None = None
        self.sync_error: Exception | None = None
        self.most_bytes: int | None = None
        """The log cannot grow beyond this."""
        self.before_sync: Callable[[], object] = lambda: None
        """Called in the thread that syncs."""
        self.syncs = 0
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None and path.endswith("-wal"):
            return FaultyLog(self, name, flags)
        return super().xOpen(name, flags)


class FaultyLog(apsw.VFSFile):
    """The write-ahead log as `Faults` has it."""

    def __init__(self, faults: Faults, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._faults = faults

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        faults = self._faults
        if faults.write_error is not None:
            raise faults.write_error
        if faults.most_bytes is not None and offset + len(data) > faults.most_bytes:
            raise apsw.FullError("no space is left for the log")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._faults.syncs += 1
        self._faults.before_sync()
        if self._faults.sync_error is not None:
            raise self._faults.sync_error
        super().xSync(flags)
