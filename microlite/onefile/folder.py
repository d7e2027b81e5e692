"""The cache folder: where the one file keeps what it unpacks, and who may be trusted with it.

Code is run from this folder, so it must be nobody else's: a real folder (no symlink), owned by this user or by root,
writable by no other. The build copies this module into microlite.pyz, where it runs before anything is unpacked:
standard library only, and as few imports as can be.
"""
# pathlib alone costs as much as all the rest of a warm start.
# ruff: noqa: PTH100, PTH102, PTH103, PTH111, PTH116, PTH117, PTH118, PTH120

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # type checkers take it for true; to import typing costs a start 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY = ("microlite", "msgspec", "uvloop")
"""The packages a service process imports besides the standard library: what `library/` links to."""


class CacheError(Exception):
    """No folder to unpack into. The message is one line for the user and says what to do."""


def candidates(environ: Mapping[str, str]) -> list[str]:
    """Return the folders that may serve as cache, as absolute paths, best first.

    ``MICROLITE_CACHE`` alone when set; else the XDG cache folder, then one in the temporary folder that is named by the
    user id, for homes that are missing or read-only.
    """
    chosen = environ.get("MICROLITE_CACHE")
    if chosen:
        return [os.path.abspath(chosen)]
    found = []
    base = environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG rules: a relative path is to be ignored
        home = os.path.expanduser("~")
        # Under `sudo` HOME may still be the caller's: leave no folder of root's there.
        base = os.path.join(home, ".cache") if _owned(home) else ""
    if base:
        found.append(os.path.join(base, "microlite"))
    temporary = environ.get("TMPDIR", "")
    if not os.path.isabs(temporary):
        temporary = "/tmp"  # noqa: S108 - the folder below it is created 0700 and its owner checked
    found.append(os.path.join(temporary, f"microlite-{os.geteuid()}"))
    return found


def _owned(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def fault(path: str) -> str | None:
    """Return why code must not be run from the existing folder ``path``, or None where it may.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a symbolic link, and microlite runs code only from a real folder"
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is not a folder"
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user (uid {status.st_uid})"
    if status.st_mode & 0o022:
        return f"{path} can be written by others (run: chmod go-w {path})"
    return None


def trusted(path: str) -> bool:
    """Return whether ``path`` exists and code may be run from it."""
    try:
        return fault(path) is None
    except OSError:
        return False


def prepare(path: str) -> None:
    """Create ``path`` with mode 0700 unless it exists, and make sure that it can be written and trusted.

    Raises:
        CacheError: it cannot; the message says why and names the way out.
    """
    way_out = "set MICROLITE_CACHE to a folder of your own"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        reason = fault(path)
        noexec = getattr(os, "ST_NOEXEC", 0)
        if reason is None and not os.access(path, os.W_OK | os.X_OK):
            reason = f"{path} cannot be written"
        if reason is None and os.statvfs(path).f_flag & noexec:
            reason = f"{path} is on a disk that allows no programs (noexec)"
    except OSError as error:
        reason = f"{error.filename or path} cannot be written ({error.strerror})"
    if reason is not None:
        raise CacheError(f"{reason}; {way_out}")


def choose(environ: Mapping[str, str]) -> str:
    """Return the first candidate that exists or can be created, is trusted and can be written.

    Raises:
        CacheError: there is none; the message tells about the best candidate.
    """
    first: CacheError | None = None
    for path in candidates(environ):
        try:
            prepare(path)
        except CacheError as error:
            first = first or error
        else:
            return path
    assert first is not None  # candidates() is never empty
    raise first
