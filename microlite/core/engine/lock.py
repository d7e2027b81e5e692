"""One process at a time opens a database, and who comes second learns who holds it."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from pathlib import Path


class Held(errors.Conflict):
    """Another process has the database open.

    Attributes:
        pid: its process id; 0 when it has not said so yet.
    """

    def __init__(self, path: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is in use by {who}: only one platform at a time may open it, and one that `run` has started ends "
            "two seconds after its last session"
        )
        self.pid = pid


class FileLock:
    """A lock that the kernel drops with the process, however it ends.

    It lies beside the database, on a file of its own: SQLite's locks on the database itself would be lost as soon as
    somebody closed another descriptor of it. The file stays behind, since removing it could split the lock in two.

    Args:
        path: the database; the lock is on `<path>.lock`.
    """

    def __init__(self, path: Path) -> None:
        self._database = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting, and write our process id into it.

        Raises:
            Held: another process, or another engine of this one, has it.
            errors.ServiceUnavailable: the folder is missing or cannot be written.
        """
        path = self._database.with_name(self._database.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise errors.ServiceUnavailable(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            held = Held(self._database, _pid(os.pread(descriptor, 32, 0)))
            os.close(descriptor)
            raise held from error
        except OSError as error:
            os.close(descriptor)
            raise errors.ServiceUnavailable(f"{path} cannot be locked: {error.strerror}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _pid(content: bytes) -> int:
    text = content.strip()
    return int(text) if text.isdigit() else 0
