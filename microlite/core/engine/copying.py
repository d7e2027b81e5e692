"""A copy of the database as of one moment, made while everybody goes on reading and writing."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import apsw
import msgspec

from microlite.core import errors
from microlite.core.engine.connection import open_reader
from microlite.core.engine.failures import translate
from microlite.core.engine.integrity import find_problems
from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MOST_LOG_GROWTH: Final = 1 << 30
"""Bytes by which the write-ahead log may grow during a copy, which keeps it from beginning anew; then it is given up."""

_STEP_PAGES: Final = 256
_SYNC_BYTES: Final = 8 << 20  # on the way to the disk at once, so that no commit waits behind more than that
_FREE_BYTES: Final = 16 << 20  # given back to the file system at once, likewise
_SPARE_BYTES: Final = 64 << 20  # that have to stay free for the writes meanwhile
_CACHE_KIB: Final = 2 << 10
_SUFFIX: Final = ".copy-"


class Phase(enum.Enum):
    """What is being done."""

    COPYING = "copying"
    CHECKING = "checking"


Tell = Callable[[Phase, int, int], None]
"""Hears how far it is: bytes done, and bytes altogether."""


class Snapshot(msgspec.Struct, frozen=True):
    """A whole and checked copy.

    Attributes:
        path: a database that needs no companion. It is gone when the snapshot is let go of.
        size: its bytes.
        version: of its schema, the number of its last migration.
        revision: of the last commit in it.
        log_growth: bytes by which the write-ahead log grew meanwhile.
        seconds: what it took to copy and check.
    """

    path: Path
    size: int
    version: int
    revision: int
    log_growth: int
    seconds: float


class Copies:
    """Makes copies, one at a time, each in a thread of its own beside the database.

    Args:
        path: the database.
        vfs: the SQLite VFS to read with; none for the usual one.
        hold: keeps the writer from beginning the write-ahead log anew for as long as the context lasts.
    """

    def __init__(
        self, path: Path, vfs: str | None, hold: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._hold = hold
        self._under_way: _Copy | None = None
        self._ended = asyncio.Event()

    def clean(self) -> None:
        """Remove what a process that was killed has left. Only for who holds the database's lock."""
        for leftover in self._path.parent.glob(f"{self._path.name}{_SUFFIX}*"):
            leftover.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def make(self, tell: Tell) -> AsyncIterator[Snapshot]:
        """Copy and check, and keep the copy for as long as the context lasts.

        Args:
            tell: called on the event loop.

        Raises:
            errors.Conflict: another one is being made.
            errors.InsufficientStorage: there is not enough room for it.
            errors.ServiceUnavailable: writes came faster than it, or the engine closes.
            errors.InternalServerError: the database is damaged.
        """
        if self._under_way is not None:
            raise errors.Conflict("a copy of the database is being made already: try again when it is done")
        loop = asyncio.get_running_loop()
        target = self._path.with_name(f"{self._path.name}{_SUFFIX}{secrets.token_hex(4)}")

        def hear(phase: Phase, done: int, total: int) -> None:
            loop.call_soon_threadsafe(tell, phase, done, total)

        copy = _Copy(self._path, target, self._vfs, hear)
        try:
            self._under_way = copy
            self._ended.clear()
            try:
                with self._hold():
                    await _to_its_end(copy, copy.copy)
                await _to_its_end(copy, copy.check)
            finally:
                self._under_way = None
                self._ended.set()
            yield copy.result()
        finally:
            # In the thread, and to its end: a file system takes its time to free that much.
            await asyncio.shield(asyncio.to_thread(_remove, target))

    async def close(self) -> None:
        """Give up what is under way, and wait until it has ended."""
        if self._under_way is not None:
            self._under_way.give_up()
            await self._ended.wait()


async def _to_its_end(copy: _Copy, work: Callable[[], None]) -> None:
    """Run a part in a thread; who is cancelled gives it up, and leaves when it has ended."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        copy.give_up()
        await asyncio.wait([running])
        running.exception()
        raise


class _Copy:
    """One copy. `copy` and then `check` run in a thread; `give_up` may come from any."""

    def __init__(self, source: Path, target: Path, vfs: str | None, tell: Tell) -> None:
        self._source = source
        self._target = target
        self._vfs = vfs
        self._tell = tell
        self._given_up = False
        self._busy: apsw.Connection | None = None
        self._began = time.monotonic()
        self._took = 0.0
        self._version = self._revision = self._log_growth = 0

    def give_up(self) -> None:
        self._given_up = True
        busy = self._busy
        if busy is not None:
            with contextlib.suppress(apsw.ConnectionClosedError):
                busy.interrupt()

    def result(self) -> Snapshot:
        return Snapshot(
            path=self._target,
            size=self._target.stat().st_size,
            version=self._version,
            revision=self._revision,
            log_growth=self._log_growth,
            seconds=self._took,
        )

    def copy(self) -> None:
        try:
            descriptor = os.open(self._target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                self._copy_to(descriptor)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except apsw.FullError as error:
            raise _no_room(self._target) from error
        except apsw.Error as error:
            raise translate(error, str(self._source)) from error
        except OSError as error:
            raise errors.ServiceUnavailable(f"{self._target} cannot be written: {error.strerror}") from error

    def check(self) -> None:
        size = self._target.stat().st_size
        self._tell(Phase.CHECKING, 0, size)
        try:
            with contextlib.closing(apsw.Connection(str(self._target), flags=apsw.SQLITE_OPEN_READONLY)) as copy:
                self._busy = copy
                try:
                    problems = [] if self._given_up else find_problems(copy, full=True)
                finally:
                    self._busy = None
        except apsw.InterruptError:
            problems = []
        except apsw.Error as error:
            problems = [str(error)]
        self._refuse_if_given_up()
        if problems:
            raise errors.InternalServerError(
                f"{self._source} is damaged, so that a copy of it is worth nothing ({problems[0]}): "
                "run `microlite doctor`, restore an earlier backup"
            )
        self._tell(Phase.CHECKING, size, size)
        self._took = time.monotonic() - self._began

    def _copy_to(self, descriptor: int) -> None:
        log = self._source.with_name(self._source.name + "-wal")
        with contextlib.closing(open_reader(str(self._source), self._vfs)) as source:
            # One read transaction from beginning to end: without it, each commit would have the copy begin again.
            source.execute("BEGIN")
            self._version = source.pragma("user_version")
            _, self._revision, _ = source.execute(queries()["last_change"]).get or (0, 0, 0.0)
            grown_from = _size(log)
            page = int(source.pragma("page_size"))
            total = int(source.pragma("page_count")) * page
            place = os.statvfs(self._target.parent)
            if place.f_bavail * place.f_frsize < total + _SPARE_BYTES:
                raise _no_room(self._target, total)
            with contextlib.closing(_open_target(str(self._target))) as target:
                unsynced = 0
                with target.backup("main", source, "main") as steps:
                    while not steps.step(_STEP_PAGES):
                        self._refuse_if_given_up()
                        self._tell(Phase.COPYING, total - steps.remaining * page, total)
                        unsynced += _STEP_PAGES * page
                        if unsynced >= _SYNC_BYTES:
                            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
                            unsynced = 0
                        self._log_growth = max(self._log_growth, _size(log) - grown_from)
                        if self._log_growth > MOST_LOG_GROWTH:
                            raise errors.ServiceUnavailable(
                                f"the copy was given up: so much was written meanwhile that the log grew by "
                                f"{self._log_growth >> 20} MiB; try again when less is written"
                            )
                # One file without companions, wherever it is taken.
                target.pragma("journal_mode", "DELETE")
            self._tell(Phase.COPYING, total, total)

    def _refuse_if_given_up(self) -> None:
        if self._given_up:
            raise errors.ServiceUnavailable("the copy of the database was given up: the engine is closing")


def _open_target(path: str) -> apsw.Connection:
    target = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
    # Nobody sees it before it is whole, and we wait for the disk ourselves.
    target.pragma("synchronous", "OFF")
    target.pragma("journal_mode", "OFF")
    target.pragma("locking_mode", "EXCLUSIVE")
    target.pragma("cache_size", -_CACHE_KIB)
    return target


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for size in range(_size(path), 0, -_FREE_BYTES):
            os.truncate(path, size)
        path.unlink()


def _no_room(path: Path, size: int = 0) -> errors.InsufficientStorage:
    needs = f" ({(size + _SPARE_BYTES) >> 20} MiB)" if size else ""
    return errors.InsufficientStorage(
        f"there is not enough room in {path.parent} for a copy of the database{needs}: free some space"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
