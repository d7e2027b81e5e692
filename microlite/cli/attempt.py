"""What a service writes while it is tried again: shown once, and not with each try that fails in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 200
"""Lines of an attempt that are remembered."""


class Attempt:
    """One service, from a start to the failure or the success that ends it.

    Lines that the failed attempt before has begun with too are held back. With the first other line, or success, they are
    given out after all.
    """

    def __init__(self) -> None:
        self._before: list[str] = []
        self._lines: list[str] = []
        self._held: list[str] = []

    def wrote(self, text: str, line: str) -> list[str]:
        """It wrote a line. Returns those that are to be shown now.

        Args:
            text: the line without escapes.
            line: as it is shown.
        """
        at = len(self._lines)
        if at < LONGEST:
            self._lines.append(text)
        if len(self._held) == at and at < len(self._before) and self._before[at] == text:
            self._held.append(line)
            return []
        return [*self._release(), line]

    def failed_alike(self, late: Sequence[str]) -> bool:
        """Whether it has failed now, having written just what the attempt before did; if so, the next one begins.

        Args:
            late: lines of it that have not come yet.
        """
        alike = bool(self._before) and len(self._held) == len(self._lines) and [*self._lines, *late] == self._before
        if alike:
            self._lines, self._held = [], []
        return alike

    def failed(self, late: Sequence[str]) -> list[str]:
        """It has failed in its own way. Returns what was held back; the next attempt is compared to this one."""
        held = self._release()
        self._before, self._lines = [*self._lines, *late][:LONGEST], []
        return held

    def over(self) -> list[str]:
        """It came up, or is not tried any longer. Returns what was held back."""
        held = self._release()
        self._before, self._lines = [], []
        return held

    def _release(self) -> list[str]:
        held, self._held = self._held, []
        return held
