"""Removing extractions that nobody uses any more.

Each running microlite holds a shared lock on its extraction (`start.hold`); removing takes the exclusive one, so what
is in use stays. The build copies this module into microlite.pyz.
"""
# One style with the modules beside it, which run at each start.
# ruff: noqa: PTH104, PTH110, PTH112, PTH114, PTH116, PTH118, PTH208

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from .folder import candidates, trusted

SPARED = 2
"""How many unused extractions an unpacking leaves, the last used ones: for those who switch between versions."""

_LEFTOVERS = (".unpacking-", ".removing-")


class Cleaned(NamedTuple):
    """What a cleaning did.

    Attributes:
        removed: paths of the extractions and library folders that are gone.
        in_use: paths of the extractions that a running microlite uses; they stay.
        freed: bytes of the files removed.
    """

    removed: tuple[str, ...]
    in_use: tuple[str, ...]
    freed: int


@contextlib.contextmanager
def locked(folder: str) -> Iterator[bool]:
    """Hold the cache folder's lock: one process at a time unpacks into it or removes from it.

    Yields:
        False on a file system without locks, where others may be at work.
    """
    path = os.path.join(folder, ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _size(tree: str) -> int:
    total = 0
    for parent, _, names in os.walk(tree):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def _remove(folder: str, name: str) -> bool:
    """Remove ``folder/name`` if nobody holds it; by a rename first, so that no half of it is ever found."""
    path = os.path.join(folder, name)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        aside = os.path.join(folder, f".removing-{name}-{os.getpid()}")
        os.rename(path, aside)
        shutil.rmtree(aside, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def remove_leftovers(folder: str) -> None:
    """Remove what starts and cleanings that were killed left behind. The folder's lock must be held."""
    for name in os.listdir(folder):
        if name.startswith(_LEFTOVERS):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _dangling(tree: str) -> bool:
    """Return whether a library folder links to something that is gone: its installation was removed or replaced."""
    return not all(os.path.exists(os.path.join(tree, name)) for name in os.listdir(tree))


def remove_unused(folder: str, spare: int = 0) -> Cleaned:
    """Remove the extractions in ``folder`` that no running process holds. The folder's lock must be held.

    Args:
        folder: the cache folder.
        spare: how many of them to leave, those used last.
    """
    last_used = []
    removed, in_use, freed = [], [], 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith("microlite-") and os.path.isdir(path) and not os.path.islink(path):
            last_used.append((os.stat(path).st_mtime, name))
        elif name.startswith("library-") and _dangling(path):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    for _, name in sorted(last_used, reverse=True):
        path = os.path.join(folder, name)
        if _in_use(path):
            in_use.append(path)
        elif spare > 0:
            spare -= 1
        else:
            size = _size(path)
            if _remove(folder, name):
                removed.append(path)
                freed += size
    return Cleaned(tuple(removed), tuple(in_use), freed)


def _in_use(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def survey(folder: str) -> tuple[int, int]:
    """Return how many extractions in ``folder`` no running process holds, and the bytes of their files."""
    unused = size = 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith("microlite-") and os.path.isdir(path) and not os.path.islink(path) and not _in_use(path):
            unused += 1
            size += _size(path)
    return unused, size


def clean() -> Cleaned:
    """Remove all extractions that no running process uses, from all cache folders of this user."""
    removed: list[str] = []
    in_use: list[str] = []
    freed = 0
    for folder in candidates(os.environ):
        if not trusted(folder) or not os.access(folder, os.W_OK):
            continue
        with locked(folder) as alone:
            if not alone:
                continue
            remove_leftovers(folder)
            done = remove_unused(folder)
        removed += done.removed
        in_use += done.in_use
        freed += done.freed
    return Cleaned(tuple(removed), tuple(in_use), freed)
