"""How grave a line of a log is, as far as it says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core.runtime.lines import Stream

if TYPE_CHECKING:
    from microlite.core.runtime.lines import Line

LEVELS: Final = ("debug", "info", "warning", "error")
"""From the least to the most grave."""

LOOKED_AT: Final = 64
"""Characters of a line in which a level may stand: behind a time and a name, in front of the message."""

_WORDS: Final = re.compile(r"\b(DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
_NAMES: Final = {"WARN": "warning", "CRITICAL": "error", "FATAL": "error"}


class Levels:
    """Reads the levels of lines in their order. A traceback has the level of the line above it."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], str] = {}

    def of(self, line: Line) -> str:
        """One of `LEVELS`; empty where the line says nothing of it."""
        place = (line.service, line.node)
        match = _WORDS.search(line.text[:LOOKED_AT])
        if match is not None:
            level = _NAMES.get(match[1], match[1].lower())
        elif line.stream is not Stream.STDERR:
            return ""
        elif line.text.startswith("Traceback "):
            level = self._last.get(place) or "error"
        else:
            return self._last.get(place, "")
        if line.stream is Stream.STDERR:
            self._last[place] = level
        return level
