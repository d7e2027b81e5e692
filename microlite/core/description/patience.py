"""Patterns, for as long as one is ready to wait: what somebody else wrote may take for ever on the right text.

Python's matcher holds the whole process while it works, and cannot be told to stop; but every few thousand steps it looks at
signals. So a timer of the process's own CPU time ends what takes too long, however busy the machine is with something else.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

PATIENCE: Final = 0.05
"""Seconds of CPU time for all patterns of one value."""


class OutOfPatienceError(Exception):
    """A pattern takes too long on a text."""


class Patience:
    """What is left of the time for the patterns of one value.

    The limit holds on the main thread, where a platform runs; on another one a pattern takes the time that it takes.

    Args:
        seconds: of CPU time.
    """

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._left = seconds

    def compile(self, pattern: str) -> re.Pattern[str]:
        """Compile a pattern.

        Raises:
            OutOfPatienceError: that is not done in time.
            re.error: it is no pattern.
        """
        try:
            return self._during(lambda: re.compile(pattern))
        except (OverflowError, RecursionError) as error:
            raise re.error(str(error)) from None

    def finds(self, pattern: re.Pattern[str], text: str) -> bool:
        """Whether a text has a place that a pattern matches.

        Raises:
            OutOfPatienceError: that is not known in time.
        """
        return self._during(lambda: pattern.search(text)) is not None

    def _during(self, work: Callable[[], T]) -> T:
        if threading.current_thread() is not threading.main_thread():
            return work()
        if self._left <= 0.0:
            raise OutOfPatienceError
        begun = time.process_time()
        try:
            _ALARM.set(self._left)
            return work()
        finally:
            _ALARM.clear()
            self._left -= time.process_time() - begun


class _Alarm:
    """Raises an `OutOfPatienceError` on the main thread after a while, unless it is cleared."""

    def __init__(self) -> None:
        self._armed = False
        self._installed = False

    def set(self, seconds: float) -> None:
        if not self._installed:
            signal.signal(signal.SIGVTALRM, self._ring)
            self._installed = True
        self._armed = True
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)

    def clear(self) -> None:
        self._armed = False  # first: what rings from here on is not heard
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise OutOfPatienceError


_ALARM: Final = _Alarm()
"""A process has one such timer, and each signal one handler."""
