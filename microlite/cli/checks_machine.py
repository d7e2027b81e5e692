"""The checks of `microlite doctor` that look at what the machine grants, and at what earlier runs left on it."""

from __future__ import annotations

import errno
import importlib.util
import os
import resource
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from microlite.cli.finding import Finding, broken, ok, warning
from microlite.onefile.cleaning import SPARED, survey
from microlite.onefile.folder import candidates, fault

FEW_FILES: Final = 1024
"""Open files that a process should be allowed: each service and each client takes some."""

TOO_FEW_FILES: Final = 256

FEW_WATCHES: Final = 8192
"""Folders that the watcher should be allowed to watch, over all programs of this user."""

MUCH_CACHE: Final = 500 * 10**6
"""Bytes of unused extractions from which on they are a nuisance."""

_INOTIFY: Final = Path("/proc/sys/fs/inotify")


def check_cache() -> Finding:
    """Whether the one file can unpack itself, and how much earlier versions have left."""
    folder = candidates(os.environ)[0]
    path = shlex.quote(folder)
    elsewhere = f"export MICROLITE_CACHE=/var/tmp/microlite-cache-{os.getuid()}"
    try:
        reason = fault(folder)
    except FileNotFoundError:
        return ok("cache", f"{folder} does not exist yet; it is made when it is needed")
    if reason is not None:
        theirs = os.lstat(folder).st_uid != os.getuid()
        return broken("cache", reason, elsewhere if theirs else f"chmod go-w {path}")
    flags = os.statvfs(folder).f_flag
    if flags & os.ST_RDONLY:
        return broken("cache", f"{folder} is on a read-only file system", elsewhere)
    if flags & getattr(os, "ST_NOEXEC", 0):
        return broken("cache", f"{folder} is on a disk that allows no programs (noexec)", elsewhere)
    if not os.access(folder, os.W_OK | os.X_OK):
        return broken("cache", f"{folder} cannot be written", f"chmod u+rwx {path}")
    unused, size = survey(folder)
    detail = f"{folder}, {size / 1e6:.0f} MB in {unused} unused extractions" if unused else folder
    if unused > SPARED + 1 or size > MUCH_CACHE:
        return warning("cache", detail, "microlite cache clean")
    return ok("cache", detail)


def check_files() -> Finding:
    """How many files and sockets a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{soft if soft != resource.RLIM_INFINITY else 'any number of'} files may be open in a process"
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    mend = f"ulimit -n {wanted}"
    if soft == resource.RLIM_INFINITY or soft >= FEW_FILES:
        return ok("open files", detail)
    return (broken if soft < TOO_FEW_FILES else warning)("open files", f"{detail}: too few for many services", mend)


def check_watches() -> Finding:
    """Whether saves can be noticed: the kernel grants each user so many watches, over all programs."""
    if not _INOTIFY.is_dir():
        return ok("watches", "this system counts none")
    watches, instances = (int((_INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances"))
    if _inotify_error() == errno.EMFILE:
        mend = f"sudo sysctl fs.inotify.max_user_instances={max(512, 2 * instances)}"
        return broken("watches", f"all {instances} watchers of this user are taken: no save would be noticed", mend)
    if watches < FEW_WATCHES:
        mend = "sudo sysctl fs.inotify.max_user_watches=524288"
        return warning("watches", f"{watches} folders and files can be watched, which large projects exceed", mend)
    return ok("watches", f"{watches} folders and files can be watched, by {instances} programs")


def _inotify_error() -> int:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(os.O_CLOEXEC))
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0


def check_loop() -> Finding:
    """Whether the quick event loop is there."""
    if importlib.util.find_spec("uvloop") is None:
        return warning(
            "uvloop",
            "is not installed: all works, and more slowly",
            f"{shlex.quote(sys.executable)} -m pip install uvloop",
        )
    return ok("uvloop", "is there")


def check_isolation() -> Finding:
    """Which walls services can have here. None has to be."""
    from microlite.core.runtime.isolation.availability import why_not_bwrap, why_not_uid

    reasons = {"bwrap": why_not_bwrap(), "uid": why_not_uid()}
    there = [mode for mode, reason in reasons.items() if not reason]
    missing = [f"{mode} cannot be had: {reason}" for mode, reason in reasons.items() if reason]
    told = f"services can be isolated by {' or '.join(there)}" if there else "services cannot be isolated"
    return ok("isolation", "; ".join([told, *missing]))


def check_tools() -> Finding:
    """Which programs are there that make more possible. None of them has to be."""
    git, uv = shutil.which("git"), shutil.which("uv")
    told = [
        f"git at {git}" if git else "no git: code comes from folders only",
        f"uv at {uv}" if uv else "no uv: dependencies are installed by the slower pip",
    ]
    return ok("tools", "; ".join(told))
