"""Whether a running node still answers; one that does not is ended, unless a debugger holds it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.rpc.connection import Connection
    from microlite.core.runtime.machinery import Patience


async def until_silent(
    connection: Connection, is_held: Callable[[], bool], patience: Patience, on_debugging: Callable[[bool], None]
) -> str:
    """Ping a node until it does not answer any more.

    The waits are those of the machine, not of the platform's clock: the process lives by it.

    Args:
        connection: to the node.
        is_held: whether a debugger holds it, or may at any time.
        patience: how long to wait.
        on_debugging: told at each look whether a debugger is at work in it.

    Returns:
        Why it has to be ended; empty if it has left by itself, and its process is about to end.
    """
    while True:
        await asyncio.wait({connection.closed}, timeout=patience.check)
        debugged = is_held()
        on_debugging(debugged)
        try:
            async with asyncio.timeout(patience.silence):
                await connection.ping()
        except errors.Error:
            return ""
        except TimeoutError:
            if not (debugged or is_held()):
                return f"did not answer for {patience.silence:g} s: does a handler block the loop?"


def is_debugged(pid: int) -> bool:
    """Whether a debugger is at work in a process, as far as Linux tells.

    One that traces it from outside (gdb) is known to the kernel; one of Python's own (debugpy, PyCharm) by the compiled
    part of pydevd, on which both are built.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        if any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines()):
            return True
        return "pydevd" in Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError:
        return False
