"""How a database comes into being: whole, or not at all."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import apsw

from microlite.core import errors
from microlite.core.engine.failures import translate
from microlite.core.engine.migrations import migrate

if TYPE_CHECKING:
    from pathlib import Path


def create(path: Path, vfs: str | None) -> None:
    """Make the database if there is none, for its owner's eyes only; SQLite gives its companions the same mode.

    It is built under another name without waiting for the disk, made durable once, and then renamed: several times as
    fast as a wait for each of the steps, and a crash leaves either nothing or a database that can be opened. Only for
    who holds the lock, and before SQLite has the file open: closing a second descriptor would drop its own locks.

    Raises:
        errors.ServiceUnavailable: the folder is missing, or the file is not ours to open.
        errors.InsufficientStorage: the disk is full.
    """
    draft = path.with_name(path.name + ".new")
    try:
        if path.exists() and path.stat().st_size:
            _keep_private(path)
            return
        draft.unlink(missing_ok=True)  # of a start that was cut short
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            _build(str(draft), vfs)
            _wait_for_disk(draft)
            draft.replace(path)
            _wait_for_disk(path.parent)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise errors.ServiceUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    except apsw.Error as error:
        raise translate(error, str(path)) from error


def _build(path: str, vfs: str | None) -> None:
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    try:
        connection.pragma("synchronous", "OFF")
        # Takes effect only before the first table; pages that deletions free are given back in small steps later.
        connection.pragma("auto_vacuum", "INCREMENTAL")
        connection.pragma("journal_mode", "WAL")
        migrate(connection, path)
    finally:
        connection.close()


def _keep_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        path.chmod(mode & 0o700)


def _wait_for_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
