"""How far something is, on one line of a terminal; silent where nobody looks."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

_INTERVAL: Final = 0.1
_CLEAR: Final = "\r\x1b[K"


class Percent:
    """Writes over its own line on stderr, at most ten times a second, if that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._what = ""
        self._at = 0.0

    def show(self, what: str, done: int, total: int) -> None:
        """Say what is being done, and how many bytes of it are; a total of 0 is one that nobody knows."""
        now = time.monotonic()
        if not self._shown or (what == self._what and now - self._at < _INTERVAL):
            return
        self._what, self._at = what, now
        share = f"{100 * done // total:3} %  " if total else ""
        of = f" of {total / 1e6:,.1f}" if total else ""
        click.echo(f"{_CLEAR}{what:<9} {share}{done / 1e6:,.1f}{of} MB", nl=False, err=True)

    def end(self, summary: str = "") -> None:
        """Take the line away, and leave a sentence in its place."""
        if self._shown:
            click.echo(f"{_CLEAR if self._what else ''}{summary}", nl=bool(summary), err=True)
