"""How a connection to the database is opened, and why each setting stands there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import apsw

from microlite.core import errors

if TYPE_CHECKING:
    from pathlib import Path

BUSY_MILLISECONDS: Final = 5_000
"""How long to wait for another program that looks into the file, such as the sqlite3 shell."""

MOST_LOG_GROWTH: Final = 1 << 30
"""Bytes by which the write-ahead log may grow while somebody reads one moment for long, which keeps it from beginning anew;
then that read is given up."""

_WRITER_CACHE_KIB: Final = 16 << 10
_READER_CACHE_KIB: Final = 8 << 10


def open_writer(path: str, vfs: str | None) -> apsw.Connection:
    """The connection that writes; the file exists."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        if connection.pragma("journal_mode", "WAL") != "wal":
            raise errors.ServiceUnavailable(f"{path} lies on a file system without shared memory: choose a local disk")
        # Acknowledged means on disk: each commit waits for the disk.
        connection.pragma("synchronous", "FULL")
        _harden(connection)
        # Checkpoints have a thread of their own: within a commit they would hold up everybody who waits for it.
        connection.wal_autocheckpoint(0)
        connection.pragma("cache_size", -_WRITER_CACHE_KIB)
        connection.pragma("temp_store", "MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def open_checkpointer(path: str, vfs: str | None) -> apsw.Connection:
    """The connection that moves pages from the log into the database."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.pragma("synchronous", "FULL")
    _harden(connection)
    connection.wal_autocheckpoint(0)
    return connection


def open_reader(path: str, vfs: str | None) -> apsw.Connection:
    """A connection that cannot write; the database exists."""
    # Not opened read-only: the last connection that closes has to be able to tidy up the log.
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("query_only", True)
    connection.wal_autocheckpoint(0)
    connection.pragma("cache_size", -_READER_CACHE_KIB)
    connection.pragma("temp_store", "MEMORY")
    return connection


def _harden(connection: apsw.Connection) -> None:
    if sys.platform == "darwin":
        # There a plain fsync leaves the data in the drive's own cache (https://www.sqlite.org/pragma.html#pragma_fullfsync).
        connection.pragma("fullfsync", True)
        connection.pragma("checkpoint_fullfsync", True)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
