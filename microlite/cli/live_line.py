"""One line of a terminal that says how far something is, written over again and again; silent where nobody looks."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

_CLEAR: Final = "\r\x1b[K"


class LiveLine:
    """The line, on stderr.

    Args:
        interval: seconds that are at least between two texts.

    Attributes:
        is_shown: whether stderr is a terminal.
    """

    def __init__(self, interval: float) -> None:
        self.is_shown = sys.stderr.isatty()
        self._begun = self._written = time.monotonic()
        self._interval = interval

    @property
    def is_due(self) -> bool:
        """Whether somebody looks, and the last text is old enough."""
        return self.is_shown and time.monotonic() - self._written >= self._interval

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._begun

    def write(self, text: str) -> None:
        """Put a text in the place of the one before."""
        self._written = time.monotonic()
        click.echo(f"{_CLEAR}{text}", nl=False, err=True)

    def end(self, text: str = "") -> None:
        """Take the line away, and leave a sentence in its place, also where it was not shown."""
        click.echo(f"{_CLEAR if self.is_shown else ''}{text}", nl=bool(text), err=True)
