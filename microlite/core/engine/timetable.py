"""When the engine has to look after its records again: one timer of the clock, for whatever comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.engine.upkeep import EARLY_SECONDS, MEMORY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock, Timer
    from microlite.core.engine.writer import Settled

FORGETTING_SECONDS: Final = 60.0
"""At least so long between two times that the log forgets what is too old: it need not happen for each change."""

RETRY_SECONDS: Final = 5.0
"""After upkeep has failed."""


class Timetable:
    """Sets the timer by what the writer reports. On the event loop.

    Args:
        wake: has upkeep look for work.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._timer: Timer | None = None
        self._due = 0.0
        self._log_is_empty = True
        self._closed = False

    def update(self, settled: Settled) -> None:
        """Take note of a group or slice."""
        now = self._clock.now()
        if settled.jobs:
            if settled.next_expiry is not None:
                self._set(settled.next_expiry, now)
            if self._log_is_empty:
                self._log_is_empty = False
                self._set(now + MEMORY_SECONDS, now)
        elif settled.upkeep is None:
            self._set(now + RETRY_SECONDS, now)
        elif settled.upkeep.done:
            if settled.upkeep.next_expiry is not None:
                self._set(settled.upkeep.next_expiry, now)
            if settled.upkeep.next_oldest is not None:
                self._log_is_empty = False
                self._set(max(settled.upkeep.next_oldest + MEMORY_SECONDS, now + FORGETTING_SECONDS), now)
            else:
                self._log_is_empty = True

    def close(self) -> None:
        """Take the timer back; nothing sets it again."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float, now: float) -> None:
        if self._closed or (self._timer is not None and self._due <= due):
            return
        if self._timer is not None:
            # What it was for is not lost: each time upkeep is done, it says what comes next.
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_later(max(0.0, due - now - EARLY_SECONDS), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()
