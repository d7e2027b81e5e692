"""Where sockets lie. Apart from what opens them, since a client command asks this too and loads no event loop."""

from __future__ import annotations

import os
from pathlib import Path

try:
    from _blake2 import blake2b  # the same as hashlib's; that module loads OpenSSL, which takes longer than a call
except ImportError:  # another Python than CPython
    from hashlib import blake2b

PATH_LIMIT = 103
"""Bytes that a socket's path may have (104 with its end on macOS, 108 on Linux)."""


def socket_path(folder: Path, name: str) -> Path:
    """The short, hashed path of a socket; in the folder for temporary files where the folder's own path is too long."""
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    path = folder / f"{digest}.s"
    if len(os.fsencode(path)) <= PATH_LIMIT:
        return path
    place = blake2b(os.fsencode(folder.absolute()), digest_size=8).hexdigest()
    return Path(f"/tmp/microlite-{os.getuid()}-{place}") / f"{digest}.s"  # noqa: S108 - its owner and mode are checked


def platform_socket(home: Path) -> Path:
    """The socket on which the platform of a home listens."""
    return socket_path(home / "run", "platform")
