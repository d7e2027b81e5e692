"""The user ids of isolated services: one for each service of a namespace, on this machine never given to another.

Each id in use is a file, named by it, whose text says whose it is. All platforms of a machine share the folder, so that
two of them never give the same one.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.runtime.isolation.availability import FIRST_ID, IDS

if TYPE_CHECKING:
    from pathlib import Path


def allot(folder: Path, owner: str) -> int:
    """The id of an owner: the one that it has, else a free one, which is its own from now on.

    An id is kept for good, since files that its processes left somewhere on the machine belong to it.

    Args:
        folder: of the ids given.
        owner: home, namespace and service.

    Raises:
        InsufficientStorage: all are given.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Begins where a hash of the owner says, so that the id is found at once, and is the same on the next machine mostly.
    start = int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=4).digest(), "big")
    for step in range(IDS):
        number = FIRST_ID + (start + step) % IDS
        path = folder / str(number)
        aside = folder / f".{os.getpid()}-{number}"
        aside.write_text(owner, encoding="utf-8")
        try:
            if not _is_known(number):
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(aside)  # whole or not at all, and only one of those who try
        finally:
            aside.unlink()
        if path.exists() and path.read_text(encoding="utf-8") == owner:
            return number
    raise errors.InsufficientStorage(f"all {IDS} user ids for isolated services are given: see {folder}")


def given(folder: Path, home: str) -> list[int]:
    """The ids that the services of a home have."""
    files = folder.glob("[0-9]*") if folder.is_dir() else ()
    return [int(path.name) for path in files if path.read_text(encoding="utf-8").partition("\0")[0] == home]


def _is_known(number: int) -> bool:
    """Whether somebody else has the id: the machine's users and groups are asked."""
    with contextlib.suppress(KeyError):
        pwd.getpwuid(number)
        return True
    with contextlib.suppress(KeyError):
        grp.getgrgid(number)
        return True
    return False
