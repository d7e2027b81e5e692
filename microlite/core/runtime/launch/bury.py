"""Reaping what the platform inherits: as a subreaper it gets every orphan, and nobody else will wait for those."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from microlite.core.runtime.launch import sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAUSE = 30.0  # seconds; whoever starts a process of his own has long reaped it by then


class Orphans:
    """Reaps children that stay zombies for half a minute, for as long as it is open.

    A process that a daemon left behind has no owner here. One that somebody in this process started has, and is reaped
    by that owner at once, so the two can be told apart by waiting.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to look. May be called twice."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._look)

    def close(self) -> None:
        """Look no more. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Reap what was a zombie at the last look already."""
        zombies = sweep.zombies()
        for pid, _ in zombies & self._seen:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = zombies

    def _look(self) -> None:
        self.look()
        self._timer = None
        self.open()


async def dead(pidfds: Mapping[int, int]) -> None:
    """Return when the processes are dead, and reap those that are children of this one.

    Args:
        pidfds: from pid to pidfd. They are closed.
    """
    loop = asyncio.get_running_loop()
    for pid, pidfd in pidfds.items():
        ended = asyncio.Event()
        loop.add_reader(pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        with suppress(ChildProcessError):  # the child of another
            os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not block
