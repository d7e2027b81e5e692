"""The admin's token: what opens the built-in endpoints over TCP."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from pathlib import Path


def admin_token(home: Path) -> str:
    """The token of a home, made at the first call: 256 bits of chance in a file that only its owner can read.

    Raises:
        Forbidden: the file can be read by others, or is no file of this user.
    """
    path = home / "admin.token"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise errors.Forbidden(f"{path} must be a file that only its owner can read; mend it with: chmod 600 {path}")
    token = path.read_text().strip()
    if len(token) < 32:
        raise errors.Forbidden(f"{path} holds no token; delete it, and the next start makes a new one")
    return token
