"""The checks of `microlite doctor` that look at what is kept: the database, and what a killed platform left."""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from microlite.cli.checks_platform import server_pid
from microlite.cli.failure import CommandError
from microlite.cli.finding import Finding, broken, ok, warning
from microlite.cli.link import connect
from microlite.core import errors
from microlite.core.engine.migrations import FOLDER
from microlite.core.runtime.launch.api import MARKER
from microlite.core.runtime.launch.sweep import find_marked
from microlite.core.settings import DATABASE

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.cli.options import Options

_LONGEST: Final = 10.0
"""Seconds that the look through the database may take; a larger one is looked at in part."""


def check_database(options: Options) -> Finding:
    """Whether the database is whole, and of a version that this program knows. A running platform looks itself."""
    path = options.home / DATABASE
    if not path.exists():
        return ok("database", "there is none yet; the first start makes it")
    return _ask_platform(options, path) or _look_at_file(path)


def _ask_platform(options: Options, path: Path) -> Finding | None:
    """What the platform says; none where none runs, or it does not know this question."""
    try:
        with connect(options) as link:
            found = link.ask("backup", "check", timeout=_LONGEST)
    except (CommandError, errors.ServiceNotFound):
        return None
    except errors.Timeout:
        return ok(
            "database",
            f"{path}, {_size(path)}: too large to be looked through in {_LONGEST:.0f} s; "
            "this does it: microlite call --timeout 10m backup check",
        )
    except errors.Error as error:
        if error.code < 500:
            return warning("database", f"the platform did not look through {path}: {error}", "")
        return broken("database", f"the platform cannot look through {path}: {error}", _mend(path, options))
    if not found["sound"]:
        return broken("database", f"{path} is damaged: {found['problems'][0]}", _mend(path, options))
    return ok("database", f"{path}, {_size(path)}, version {found['version']}, looked through while it is in use")


def _look_at_file(path: Path) -> Finding:
    partly = ""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            until = time.monotonic() + _LONGEST
            connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            return broken("database", f"{path} cannot be read: {error}", f"chmod u+rw {shlex.quote(str(path))}")
        said, partly = "ok", f"; for {_LONGEST:.0f} s, which was not all of it"
    except sqlite3.DatabaseError as error:
        return broken("database", f"{path} is damaged: {error}", _mend(path))
    if said != "ok":
        return broken("database", f"{path} is damaged: {said.splitlines()[0]}", _mend(path))
    known = len(list(FOLDER.glob("[0-9]*_*.sql")))
    if version > known:
        return broken(
            "database",
            f"{path} was written by a newer microlite (version {version}, this one knows {known}): run that one",
            f"export MICROLITE_HOME={shlex.quote(str(path.parent) + '-' + str(known))}",
        )
    return ok("database", f"{path}, {_size(path)}, version {version}{partly}")


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _mend(path: Path, running: Options | None = None) -> str:
    """The commands that put the last backup in the place of a damaged database; first they end the platform, if one runs."""
    aside = shlex.quote(str(path.parent / "damaged"))
    end = f"kill {server_pid(running.home) or 'PID'} && " if running is not None else ""
    return f"{end}mkdir -p {aside} && mv {shlex.quote(str(path))}* {aside} && microlite restore BACKUP"


def check_leftovers(options: Options) -> Finding:
    """Whether a platform that was killed left something that nobody looks after."""
    try:
        with connect(options):
            return ok("leftovers", "the platform looks after its own")
    except (CommandError, errors.Error):
        pass
    marker = hashlib.blake2s(str(options.home).encode(), digest_size=8).hexdigest()
    orphans = find_marked(MARKER, f"{marker}/")
    if orphans:
        count = "one process of a service still runs" if len(orphans) == 1 else f"{len(orphans)} processes still run"
        pids = " ".join(map(str, orphans))
        return warning("leftovers", f"{count}, and no platform does (pid {pids})", f"kill -9 {pids}")
    file = options.home / "server.json"
    if file.exists():
        return warning(
            "leftovers",
            f"{file} tells of a platform that was killed (pid {server_pid(options.home)})",
            f"rm {shlex.quote(str(file))}",
        )
    return ok("leftovers", "none")
