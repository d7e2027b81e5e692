"""Starts a platform as a process of its own, for the sessions of a developer."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.library.placement import platform_socket

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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
    ours, theirs = os.pipe()
    kind = ["--session"] if session else []
    command = [*_command(), "--home", str(home), "server", *kind, "--ready-fd", str(theirs), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_GENERATION")}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(theirs,),
            env=environment,
        )
    except OSError as error:
        os.close(ours)
        raise errors.ServiceUnavailable(f"the platform could not be started: {error}") from error
    finally:
        os.close(theirs)
    with os.fdopen(ours) as said:
        answer = said.read().strip()
    if answer == "ready" or answers(home):  # another process may have been faster
        process.returncode = 0  # it is nobody's child to wait for
        return True
    process.wait()
    raise errors.ServiceUnavailable(
        answer or f"the platform ended with exit code {process.returncode} before it was ready"
    )


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
