"""The checks of `microlite doctor`: of the machine here, of the platform's own things in `checks_platform`."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.cli.checks_exposure import check_exposure
from microlite.cli.checks_log_in import check_log_in
from microlite.cli.checks_machine import (
    check_cache,
    check_files,
    check_isolation,
    check_loop,
    check_tools,
    check_watches,
)
from microlite.cli.checks_platform import check_home, check_platform, check_sockets, existing
from microlite.cli.checks_ports import check_ports
from microlite.cli.checks_state import check_database, check_leftovers
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.options import WITHOUT
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.onefile.cleaning import survey
from microlite.onefile.folder import candidates

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.cli.options import Options

OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 14)

NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs"),
        *("9p", "ceph", "glusterfs", "lustre", "webdav", "davfs"),
    }
)
"""File systems on which SQLite's locks cannot be relied upon (https://www.sqlite.org/useovernet.html)."""

LEAST_SPACE: Final = 100 * 1024**2
ENOUGH_SPACE: Final = 1024**3
CLOCK_SLACK: Final = 300.0


def run_checks(options: Options, port: int) -> list[Finding]:
    """All checks, in the order in which one mends what they find.

    Args:
        options: the global ones.
        port: on which the gateway is to listen.
    """
    chosen = options  # the rest is looked at as the admin, in the namespace that there always is
    options = options._replace(account=WITHOUT, token="", namespace=DEFAULT_NAMESPACE)
    home = options.home
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("python", _python),
        ("home", lambda: check_home(home)),
        ("cache", check_cache),
        ("file system", lambda: _file_system(home)),
        ("disk", lambda: _disk(home)),
        ("clock", lambda: _clock(home)),
        ("platform", lambda: check_platform(options)),
        ("log-in", lambda: check_log_in(chosen)),
        ("ports", lambda: check_ports(options, port)),
        ("exposure", lambda: check_exposure(options)),
        ("sockets", lambda: check_sockets(home)),
        ("leftovers", lambda: check_leftovers(options)),
        ("database", lambda: check_database(options)),
        ("open files", check_files),
        ("watches", check_watches),
        ("uvloop", check_loop),
        ("tools", check_tools),
        ("isolation", check_isolation),
    )
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except OSError as error:
            detail = " ".join(filter(None, (str(error.filename or ""), "cannot be looked at:", error.strerror)))
            findings.append(broken(name, detail, f"ls -ld {shlex.quote(str(home))}"))
    return findings


def _python() -> Finding:
    running = sys.version_info[:2]
    detail = f"Python {'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    mend = f"python{NEWEST_PYTHON[0]}.{NEWEST_PYTHON[1]} {' '.join(map(shlex.quote, sys.argv[:1]))} doctor"
    if running < OLDEST_PYTHON:
        return broken("python", f"{detail} is too old: 3.11 is the least", mend)
    if running > NEWEST_PYTHON:
        return warning("python", f"{detail} is newer than what this version was tried with", mend)
    return ok("python", detail)


def _file_system(home: Path) -> Finding:
    import psutil

    place = str(existing(home).resolve())
    mounts = [one for one in psutil.disk_partitions(all=True) if _holds(one.mountpoint, place)]
    kind = str(max(mounts, key=lambda one: len(one.mountpoint)).fstype) if mounts else "unknown"
    if kind in NETWORK or kind.startswith("fuse.ssh"):
        return broken(
            "file system",
            f"{home} is on a network file system ({kind}), where a database loses data",
            f"export MICROLITE_HOME=/var/tmp/microlite-{os.getuid()}",
        )
    return ok("file system", f"{kind} at {place}")


def _holds(mountpoint: str, place: str) -> bool:
    return mountpoint == "/" or place == mountpoint or place.startswith(mountpoint.rstrip("/") + "/")


def _disk(home: Path) -> Finding:
    place = existing(home)
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    detail = f"{free / 1024**3:.1f} GiB free at {place}"
    mend = _space(place)
    if free < LEAST_SPACE or (usage.f_files and usage.f_favail < 1000):
        return broken("disk", f"{detail}: too little to go on", mend)
    if free < ENOUGH_SPACE:
        return warning("disk", f"{detail}: from here on logs and traces are no longer kept", mend)
    return ok("disk", detail)


def _space(place: Path) -> str:
    """The command that frees space or, where nothing of ours can go, shows what takes it."""
    with contextlib.suppress(OSError):
        unused, _ = survey(candidates(os.environ)[0])
        if unused:
            return "microlite cache clean"
    return f"du -xhd1 {shlex.quote(str(place))} | sort -h"


def _clock(home: Path) -> Finding:
    now = time.time()
    newest = max(path.stat().st_mtime for path in (Path(__file__), *_files(home)))
    if newest > now + CLOCK_SLACK:
        mend = "sudo sntp -sS time.apple.com" if sys.platform == "darwin" else "sudo timedatectl set-ntp true"
        return broken("clock", f"it is slow: there are files {(newest - now) / 60:.0f} minutes in the future", mend)
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)))


def _files(home: Path) -> list[Path]:
    try:
        return [path for path in home.iterdir() if path.is_file()]
    except OSError:
        return []  # what is wrong with the folder, its own check says
