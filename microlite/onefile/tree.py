"""What stands of an extraction: whether it is whole, and the lock that keeps it there.

The build copies this module into microlite.pyz as ``_microlite_onefile.tree``: standard library only, few imports.
"""
# pathlib alone costs as much as all the rest of a warm start.
# ruff: noqa: PTH116, PTH118, PTH123

from __future__ import annotations

import fcntl
import os

from .folder import trusted


def hold(tree: str) -> int | None:
    """Take a shared lock on the extraction ``tree``.

    Returns:
        The descriptor that carries the lock, or None where there is no such extraction, it is not ours to trust, or it
        is being removed. It is closed on exec, so that no child keeps the lock without needing it.
    """
    try:
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if not trusted(tree):
        os.close(descriptor)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # whoever holds it alone is about to remove it
        os.close(descriptor)
        return None
    except OSError:
        pass  # a file system without locks: nothing can be cleaned there either
    try:
        same = os.stat(tree).st_ino == os.fstat(descriptor).st_ino
    except OSError:
        same = False
    if not same:  # removed between open and lock
        os.close(descriptor)
        return None
    return descriptor


def boot() -> str:
    """Return what identifies this boot of the machine, empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as source:
            return source.read().strip()
    except OSError:
        return ""


def settled(tree: str) -> bool:
    """Return whether the files of ``tree`` are known to be whole.

    They are within the boot that unpacked them, and once verified. After a power cut in between, a file may be shorter
    than what was written: `unpack` verifies them then.
    """
    try:
        with open(os.path.join(tree, ".boot")) as source:
            unpacked = source.read()
    except OSError:
        return False
    return unpacked in ("verified", boot()) or not os.access(tree, os.W_OK)
