"""Copies of what a service may read, for a user id that cannot read the originals. Blocking."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from microlite.core import errors

MOST_FILES: Final = 50_000
MOST_BYTES: Final = 2 * 1024**3

_LEFT_OUT: Final = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "__pycache__",
        "node_modules",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".ruff_cache",
    }
)


def copy_sources(source: Path, target: Path, *, group: int, without: tuple[Path, ...] = ()) -> None:
    """Copy the files of a project, for a group to read.

    Links stay links, so that none makes the platform copy what it points to; sockets, pipes and devices are left out, as
    are version control, environments and caches.

    Args:
        source: the folder of the project.
        target: the copy; it does not exist.
        group: may read it; nobody but root may write.
        without: folders that are left out: the platform's home, which may lie in it.

    Raises:
        PayloadTooLarge: it is too much to be a project.
    """
    left = [MOST_FILES, MOST_BYTES]
    spared = {str(path) for path in without}

    def copy(folder: str, into: str) -> None:
        os.mkdir(into, 0o750)  # noqa: PTH102 - paths are texts here, thousands of them
        os.chown(into, 0, group)
        with os.scandir(folder) as entries:
            for entry in entries:
                place = f"{into}/{entry.name}"
                left[0] -= 1
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), place)  # noqa: PTH115, PTH211 - see above
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name not in _LEFT_OUT and entry.path not in spared:
                        copy(entry.path, place)
                elif entry.is_file(follow_symlinks=False):
                    left[1] -= _copy_file(entry.path, place, group)
                if min(left) < 0:
                    raise errors.PayloadTooLarge(
                        f"{source} is too large to be copied for an isolated service: at most {MOST_FILES} files and "
                        f"{MOST_BYTES >> 30} GiB; run the folder of the service itself, or use --isolate bwrap "
                        "without root, which copies nothing"
                    )

    copy(str(source), str(target))


def _copy_file(source: str, target: str, group: int) -> int:
    try:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0  # an editor has just put another in its place
    with open(reading, "rb") as file:  # noqa: PTH123 - a descriptor
        found = os.fstat(reading)
        if not stat.S_ISREG(found.st_mode):
            return 0
        with open(target, "xb") as copy:  # noqa: PTH123 - see above
            shutil.copyfileobj(file, copy, 1 << 20)
            os.fchown(copy.fileno(), 0, group)
            os.fchmod(copy.fileno(), 0o750 if found.st_mode & stat.S_IXUSR else 0o640)
    return found.st_size


def copy_library(source: Path, target: Path) -> None:
    """Copy the library, which is the platform's own, for everybody to read; links are followed."""
    if target.is_dir():
        return
    aside = target.with_name(f".{target.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(source, aside)
    # Whoever runs it cannot write beside it, and would compile it at each start.
    subprocess.run([sys.executable, "-I", "-S", "-m", "compileall", "-q", str(aside)], check=False)
    for folder, _, files in os.walk(aside):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o644)
    aside.rename(target)
