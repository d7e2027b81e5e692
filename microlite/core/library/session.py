"""Starts a platform as a process of its own, for the sessions of a developer."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import private_folder
from microlite.core.settings import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PATIENCE: Final = 5.0
"""Seconds that a platform on the same home has to end before another is started, or to take connections itself."""

NOT_ITS_OWN: Final = (
    "MICROLITE_ACCOUNT",
    "MICROLITE_GENERATION",
    "MICROLITE_JOIN_TOKEN",
    "MICROLITE_PLATFORM",
    "MICROLITE_TICKET",
    "MICROLITE_TOKEN",
)
"""How variables begin that are about one node, or about who starts a platform, and not for the platform."""

MAX_LOG = 1024 * 1024
"""Bytes of the platform's own log at which it is begun anew."""


async def ensure_platform(home: Path, arguments: Sequence[str] = ()) -> bool:
    """Return when a platform runs on this home. See `ensure_platform_blocking`."""
    return await asyncio.to_thread(ensure_platform_blocking, home, arguments)


def ensure_platform_blocking(home: Path, arguments: Sequence[str] = (), *, session: bool = True) -> bool:
    """Return when a platform runs on this home, starting one if none does.

    It is a process of its own, so that a breakpoint in a service does not freeze it, and ends by itself two seconds after
    its last session.

    Args:
        home: the platform's folder.
        arguments: further options for `microlite server`, used if one is started.
        session: whether one that is started ends after its last session; else it stays until somebody ends it.

    Returns:
        Whether one had to be started.

    Raises:
        ServiceUnavailable: it did not start; the detail is what it said.
    """
    if answers(home):
        return False
    with _turn(home):
        if answers(home):
            return False  # somebody else has started it meanwhile
        _let_settle(home)
        _start(home, arguments, session=session)
    return True


def _start(home: Path, arguments: Sequence[str], *, session: bool) -> None:
    ours, theirs = os.pipe()
    kind = ["--session"] if session else []
    command = [*_command(), "--home", str(home), "server", *kind, "--ready-fd", str(theirs), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(NOT_ITS_OWN)}
    said_later = _open_log(home)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said_later,
            stderr=said_later,
            start_new_session=True,
            pass_fds=(theirs,),
            env=environment,
        )
    except OSError as error:
        os.close(ours)
        raise errors.ServiceUnavailable(f"the platform could not be started: {error}") from error
    finally:
        os.close(theirs)
        os.close(said_later)
    with os.fdopen(ours) as said:
        answer = said.read().strip()
    if answer == "ready" or answers(home):  # another process may have been faster
        process.returncode = 0  # it is nobody's child to wait for
        return
    process.wait()
    _let_settle(home)
    if answers(home):
        return  # it was faster indeed, and only now takes connections
    raise errors.ServiceUnavailable(
        answer or f"the platform ended with exit code {process.returncode} before it was ready"
    )


@contextlib.contextmanager
def _turn(home: Path) -> Iterator[None]:
    """One starter at a time: of those that come together, the first starts the platform and the others find it."""
    private_folder(home)
    with (home / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _let_settle(home: Path) -> None:
    """Wait for a platform that takes no connections because it is about to end, or has just begun."""
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience and not answers(home):
        try:
            pid = int((home / f"{DATABASE}.lock").read_text())
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # this process may have started it, and is the one to bury it then
            os.kill(pid, 0)
        except (OSError, ValueError):
            return  # nobody has the database open
        time.sleep(0.02)


def _open_log(home: Path) -> int:
    """Where the platform says what nobody sees it say: `logs/platform.log`, of one start or a few."""
    path = home / "logs" / "platform.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = os.O_TRUNC if path.exists() and path.stat().st_size > MAX_LOG else 0
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | fresh, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)  # a home that cannot be written is the platform's own to complain of


def answers(home: Path) -> bool:
    """Whether a platform listens on the socket of this home."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(platform_socket(home)))
        except OSError:
            return False
        return True


def _command() -> list[str]:
    from microlite import onefile

    return onefile.command()
