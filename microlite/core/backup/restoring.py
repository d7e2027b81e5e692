"""From a backup to the database of a home that has none: copied, checked, and only then put in its place. Blocking."""

from __future__ import annotations

import contextlib
import os
import time
from typing import IO, TYPE_CHECKING, Final

import apsw
import msgspec

from microlite.core import errors
from microlite.core.engine.failures import translate
from microlite.core.engine.integrity import find_missing, find_problems
from microlite.core.engine.lock import FileLock, Held
from microlite.core.engine.migrations import check_owner, newest_version
from microlite.core.engine.queries import queries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAGIC: Final = b"SQLite format 3\0"
_BLOCK_BYTES: Final = 1 << 20
_SYNC_BYTES: Final = 64 << 20
_SUFFIX: Final = ".restoring"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was put in place.

    Attributes:
        database: the file.
        size: its bytes.
        version: of its schema; the first start of a platform brings an older one up to date.
        revision: of the last commit in it.
        keys: whether the keys of the configuration's secrets came with it.
        seconds: what it took to copy and check.
    """

    database: str
    size: int
    version: int
    revision: int
    keys: bool
    seconds: float


class Backup(msgspec.Struct, frozen=True):
    """Where a backup comes from.

    Attributes:
        name: for messages.
        stream: open for reading, at its beginning.
        size: its bytes; 0 where nobody knows.
        keys: what belongs into the file of keys; none when it came without.
    """

    name: str
    stream: IO[bytes]
    size: int = 0
    keys: bytes | None = None


def restore(backup: Backup, database: Path, keys: Path, tell: Callable[[str, int, int], None]) -> Restored:
    """Put a backup where a home has no database yet. Whatever goes wrong, the home is as it was before.

    Args:
        backup: what to restore.
        database: where it goes; its folder exists.
        keys: where the keys go.
        tell: hears what is done, `copying` or `checking`, and how far it is in bytes, and of how many (0: nobody knows).

    Raises:
        errors.Conflict: there is a database already, or a platform runs there.
        errors.BadRequest: it is no backup of a microlite, or it is damaged or cut short.
        errors.PreconditionFailed: it was made by a newer microlite, or is another program's database.
        errors.InsufficientStorage: there is no room for it.
        errors.ServiceUnavailable: the home cannot be written.
    """
    began = time.monotonic()
    lock = FileLock(database)
    try:
        lock.acquire()
    except Held as error:
        raise errors.Conflict(
            f"a platform runs on {database.parent} (process {error.pid or 'unknown'}): end it, or restore into another "
            "folder with `microlite --home FOLDER restore`"
        ) from error
    draft = database.with_name(database.name + _SUFFIX)
    try:
        _check_empty(database, keys if backup.keys is not None else None)
        draft.unlink(missing_ok=True)  # of a restore that was cut short
        try:
            _copy(backup, draft, tell)
            version, revision = _check(backup, draft, tell)
            if backup.keys is not None:
                _write_keys(keys, backup.keys)
            size = draft.stat().st_size
            draft.replace(database)
            _wait_for_disk(database.parent)
        except BaseException:
            for path in (draft, draft.with_name(draft.name + "-wal"), draft.with_name(draft.name + "-shm")):
                path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _translated(error, database.parent) from error
    finally:
        lock.release()
    return Restored(
        database=str(database),
        size=size,
        version=version,
        revision=revision,
        keys=backup.keys is not None,
        seconds=time.monotonic() - began,
    )


def _check_empty(database: Path, keys: Path | None) -> None:
    companions = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")]
    for path in companions if keys is None else (*companions, keys):
        if path.exists() and (path.stat().st_size or path == database):
            raise errors.Conflict(
                f"{path} is there already, and restoring writes over nothing: move it away, or restore into another "
                "folder with `microlite --home FOLDER restore`"
            )


def _copy(backup: Backup, draft: Path, tell: Callable[[str, int, int], None]) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        done = unsynced = 0
        while block := backup.stream.read(_BLOCK_BYTES):
            if not done and not block.startswith(_MAGIC):
                break
            file.write(block)
            done += len(block)
            unsynced += len(block)
            if unsynced >= _SYNC_BYTES:
                file.flush()
                os.fsync(file.fileno())
                unsynced = 0
            tell("copying", done, backup.size)
        if not done:
            raise errors.BadRequest(f"{backup.name} is no backup of a microlite: it is not even a database")
        file.flush()
        os.fsync(file.fileno())


def _check(backup: Backup, draft: Path, tell: Callable[[str, int, int], None]) -> tuple[int, int]:
    size = draft.stat().st_size
    tell("checking", 0, size)
    try:
        with contextlib.closing(apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            check_owner(connection, backup.name, newest_version())
            version = int(connection.pragma("user_version"))
            if not version:
                raise errors.BadRequest(f"{backup.name} is no backup of a microlite: it is an empty database")
            problems = find_problems(connection, full=True) or [f"lacks {name}" for name in find_missing(connection)]
            if problems:
                raise errors.BadRequest(
                    f"{backup.name} is damaged or cut short ({problems[0]}): nothing was restored, take an earlier backup"
                )
            _, revision, _ = connection.execute(queries()["last_change"]).get or (0, 0, 0.0)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        raise errors.BadRequest(
            f"{backup.name} is damaged or cut short ({error}): nothing was restored, take an earlier backup"
        ) from error
    except apsw.Error as error:
        raise translate(error, str(draft)) from error
    tell("checking", size, size)
    return version, revision


def _write_keys(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _wait_for_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _translated(error: OSError, folder: Path) -> errors.Error:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.InsufficientStorage(f"there is not enough room in {folder} for the backup: free some space")
    return errors.ServiceUnavailable(f"{error.filename or folder} cannot be written: {error.strerror}")
