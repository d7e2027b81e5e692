"""Files that nobody but their owner may read: they hold secrets."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from pathlib import Path


def read_private(path: Path) -> bytes | None:
    """What such a file holds; None where there is none.

    Raises:
        Forbidden: it is no plain file of this user, or others can read it.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise errors.Forbidden(f"{path} must be a file that only its owner can read; mend it with: chmod 600 {path}")
    return path.read_bytes()


def write_private(path: Path, content: bytes) -> None:
    """Write such a file in one step: whoever reads it meanwhile, or after a crash, finds what was there or what is now.

    Folders that are missing are made, for their owner alone.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        aside.unlink()
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
