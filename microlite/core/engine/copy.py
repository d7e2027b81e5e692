"""A copy of the database as of one moment, made while everybody goes on reading and writing."""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import apsw
import msgspec

from microlite.core import errors
from microlite.core.engine.connection import MOST_LOG_GROWTH, open_reader, size_of
from microlite.core.engine.failures import translate
from microlite.core.engine.integrity import find_problems
from microlite.core.engine.migrations import check_owner, newest_version
from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    from pathlib import Path

_STEP_PAGES: Final = 256
_SYNC_BYTES: Final = 8 << 20  # on the way to the disk at once, so that no commit waits behind more than that
_FREE_BYTES: Final = 16 << 20  # given back to the file system at once, likewise
_SPARE_BYTES: Final = 64 << 20  # that have to stay free for the writes meanwhile
_CACHE_KIB: Final = 2 << 10


class Phase(enum.Enum):
    """What is being done."""

    COPYING = "copying"
    CHECKING = "checking"


Tell = Callable[[Phase, int, int], None]
"""Hears how far it is: bytes done, and bytes altogether."""


class Snapshot(msgspec.Struct, frozen=True):
    """A whole and checked copy.

    Attributes:
        path: a database that needs no companion. Of an engine, it is gone when the snapshot is let go of.
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


class Copy:
    """One copy, blocking: `copy`, then `check`, then `result`. `give_up` may come from any thread.

    Args:
        source: the database.
        target: where the copy goes, which must not be there yet; whoever makes the copy removes it.
        vfs: the SQLite VFS to read with; none for the usual one.
        tell: called in the thread that copies and checks.
    """

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
        """End it as soon as possible, with an error."""
        self._given_up = True
        busy = self._busy
        if busy is not None:
            with contextlib.suppress(apsw.ConnectionClosedError):
                busy.interrupt()

    def result(self) -> Snapshot:
        """What was made."""
        return Snapshot(
            path=self._target,
            size=self._target.stat().st_size,
            version=self._version,
            revision=self._revision,
            log_growth=self._log_growth,
            seconds=self._took,
        )

    def copy(self) -> None:
        """Copy all that is committed.

        Raises:
            errors.InsufficientStorage: there is not enough room for it.
            errors.PreconditionFailed: it is no database of ours, or a newer one.
            errors.ServiceUnavailable: writes came faster than it, or it was given up.
        """
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
        """Read the copy from beginning to end.

        Raises:
            errors.InternalServerError: it is damaged, and so was what it was made of.
            errors.ServiceUnavailable: it was given up.
        """
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
            check_owner(source, str(self._source), newest_version())
            self._version = source.pragma("user_version")
            _, self._revision, _ = source.execute(queries()["last_change"]).get or (0, 0, 0.0)
            grown_from = size_of(log)
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
                        self._log_growth = max(self._log_growth, size_of(log) - grown_from)
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


def remove_gently(path: Path) -> None:
    """Remove a large file in steps that hold nobody up; one that is not there is no error."""
    with contextlib.suppress(FileNotFoundError):
        for size in range(size_of(path), 0, -_FREE_BYTES):
            os.truncate(path, size)
        path.unlink()


def _no_room(path: Path, size: int = 0) -> errors.InsufficientStorage:
    needs = f" ({(size + _SPARE_BYTES) >> 20} MiB)" if size else ""
    return errors.InsufficientStorage(
        f"there is not enough room in {path.parent} for a copy of the database{needs}: free some space"
    )
