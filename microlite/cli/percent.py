"""How much of something is done, in percent, on one line of a terminal."""

from __future__ import annotations

from typing import Final

from microlite.cli.live_line import LiveLine

_INTERVAL: Final = 0.1


class Percent:
    """Writes over its own line on stderr, at most ten times a second, if that is a terminal."""

    def __init__(self) -> None:
        self._line = LiveLine(_INTERVAL)
        self._what = ""

    def show(self, what: str, done: int, total: int) -> None:
        """Say what is being done, and how many bytes of it are; a total of 0 is one that nobody knows."""
        if not self._line.is_shown or (what == self._what and not self._line.is_due):
            return
        self._what = what
        share = f"{100 * done // total:3} %  " if total else ""
        of = f" of {total / 1e6:,.1f}" if total else ""
        self._line.write(f"{what:<9} {share}{done / 1e6:,.1f}{of} MB")

    def end(self, summary: str = "") -> None:
        """Take the line away, and leave a sentence in its place."""
        if self._line.is_shown and (self._what or summary):
            self._line.end(summary)
