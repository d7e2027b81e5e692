"""Notices that a handler keeps the loop busy, so that no other call can run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import logging
    from collections.abc import Callable, Iterable

BEAT: Final = 0.1
"""Seconds to the next beat while calls come; without any running there is none."""

SLOW_BEAT: Final = 2.0
"""Seconds between two beats while long calls run and no others come."""

LATE: Final = 0.5
"""Seconds by which a beat is late when something blocks, and does not only compute."""


class Pulse:
    """A timer of the loop that is late when a handler has not let it run.

    Args:
        service: the name of the service.
        loop: it beats on.
        running: gives the endpoint of each call that runs; an empty name for one that cannot block.
        log: is told, once for each endpoint.
    """

    def __init__(
        self,
        service: str,
        loop: asyncio.AbstractEventLoop,
        running: Callable[[], Iterable[str]],
        log: logging.Logger,
    ) -> None:
        self._service = service
        self._loop = loop
        self._running = running
        self._log = log
        self._recent: set[str] = set()
        self._told: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = BEAT
        self._due = 0.0

    def started(self, endpoint: str) -> None:
        """An endpoint is about to be called; see `running` for its name."""
        self._recent.add(endpoint)
        if self._timer is None:
            self._pause = BEAT
            self._beat_next()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat_next(self) -> None:
        self._due = self._loop.time() + self._pause
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        late = self._loop.time() - self._due
        running = set(self._running())
        served = (self._recent | running) - {""}
        if late > LATE and served and not _at_a_breakpoint():
            self._tell(late, served)
        self._pause = BEAT if self._recent else min(2 * self._pause, SLOW_BEAT)
        self._recent.clear()
        self._timer = None
        if running:
            self._beat_next()

    def _tell(self, late: float, served: set[str]) -> None:
        new = sorted(served - self._told)
        self._told |= served
        if new:
            names = " or ".join(f"{self._service}.{name}" for name in new[:3])
            self._log.warning(
                "%s blocked its node for %.1f s, and no other call could run: make it a plain `def`, which runs in a "
                "thread, or await what it waits for (`asyncio.sleep` in place of `time.sleep`)",
                names,
                late + BEAT,
            )


def _at_a_breakpoint() -> bool:
    """Whether a person may have stopped the program to look at it."""
    return "pdb" in sys.modules or "pydevd" in sys.modules or sys.gettrace() is not None
