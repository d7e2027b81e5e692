"""The checks of `microlite doctor` that look at the platform: its home, its process, its port, its sockets."""

from __future__ import annotations

import os
import shlex
import socket
import stat
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.cli.failure import CommandError
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.link import connect
from microlite.core import errors
from microlite.core.rpc.paths import platform_socket
from microlite.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.cli.options import Options

_ANOTHER_HOME: Final = "export MICROLITE_HOME=FOLDER"
_PATIENCE: Final = 5.0
"""Seconds that the platform has for an answer."""


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check_home(home: Path) -> Finding:
    """Whether the home can be used, and by its owner alone."""
    path = shlex.quote(str(home))
    if not home.exists():
        parent = existing(home)
        if os.access(parent, os.W_OK | os.X_OK):
            return ok("home", f"{home} does not exist yet; the first start makes it")
        return broken("home", f"{home} cannot be made: {parent} cannot be written", _ANOTHER_HOME)
    found = home.lstat()
    if stat.S_ISLNK(found.st_mode) or not stat.S_ISDIR(found.st_mode):
        return broken("home", f"{home} is no folder of its own", _ANOTHER_HOME)
    if found.st_uid != os.getuid():
        return broken("home", f"{home} belongs to another user", f"sudo chown -R {os.getuid()} {path}")
    if found.st_mode & 0o077 or not found.st_mode & stat.S_IWUSR:
        mode = stat.S_IMODE(found.st_mode)
        return broken("home", f"{home} has mode {mode:o}, and should be open to its owner alone", f"chmod 700 {path}")
    if os.statvfs(home).f_flag & os.ST_RDONLY:
        return broken("home", f"{home} is on a read-only file system", _ANOTHER_HOME)
    token = home / "admin.token"
    if token.exists() and token.stat().st_mode & 0o077:
        return broken("home", f"{token} can be read by others", f"chmod 600 {shlex.quote(str(token))}")
    return ok("home", str(home))


def check_platform(options: Options) -> Finding:
    """Whether a platform runs, answers, and is of this version."""
    try:
        with connect(options) as link:
            version, gateway = link.version, link.gateway
            link.ask("registry", "list", timeout=_PATIENCE)
    except CommandError:
        return ok("platform", f"none runs at {options.home}; start one with: microlite server")
    except errors.Error as error:
        if error.code < 500 and not isinstance(error, errors.Timeout):
            return warning("platform", f"it runs, and refuses to say what runs on it: {error}", "")
        pid = server_pid(options.home)
        return broken("platform", f"it takes connections and does not answer: {error}", f"kill {pid or 'PID'}")
    if version != __version__:
        return warning(
            "platform",
            f"version {version or 'unknown'} runs, and this is {__version__}",
            f"kill {server_pid(options.home) or 'PID'} && microlite server",
        )
    return ok("platform", f"version {version} runs, gateway {gateway}")


def server_pid(home: Path) -> int:
    """The process of the platform that runs on a home, or ran last; 0 where nothing tells."""
    try:
        found = msgspec.json.decode((home / "server.json").read_bytes())
        return int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def check_sockets(home: Path) -> Finding:
    """Whether killed processes left sockets behind."""
    folders = {home / "run", platform_socket(home).parent}
    stale = [path for folder in sorted(folders) for path in sorted(folder.glob("*.s")) if _stale(path)]
    if stale:
        count = "one socket is" if len(stale) == 1 else f"{len(stale)} sockets are"
        paths = " ".join(shlex.quote(str(path)) for path in stale)
        return warning("sockets", f"{count} left behind by processes that were killed", f"rm {paths}")
    return ok("sockets", "none is left behind")


def _stale(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False  # gone meanwhile, or not ours to judge
        return False
