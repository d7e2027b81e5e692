"""Engines for the tests, with a clock that they move, and a file system that fails when they say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import apsw
import pytest

from microlite.core.clock import ManualClock
from microlite.core.engine.api import Engine
from microlite.core.engine.sqlite import SQLiteEngine

OpenEngine = Callable[[], AbstractAsyncContextManager[Engine]]
"""Opens an engine over what the same test has stored before. Which one: the fixture's parameter."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> OpenEngine:
    """Put a further engine under the contract by one more parameter here."""
    assert request.param == "sqlite"
    return lambda: SQLiteEngine(tmp_path / "engine.db", clock)


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


@pytest.fixture
def faults() -> Iterator[Faults]:
    vfs = Faults()
    yield vfs
    vfs.unregister()
