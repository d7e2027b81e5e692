"""How the lines look that a node writes to its log."""

from __future__ import annotations

import logging
import sys
from typing import Final

LOOK: Final = "%(levelname)s %(message)s"


class LineFormat(logging.Formatter):
    """The level and the message; a line of a call ends with the id of its trace, a traceback follows below."""

    def __init__(self) -> None:
        super().__init__(LOOK)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        text = super().format(record)
        trace = getattr(record, "trace", None)
        if trace is None:
            return text
        first, end, rest = text.partition("\n")
        return f"{first} trace={trace}{end}{rest}"


def write_to_stderr(level: int) -> None:
    """Let the log go to stderr, unless the program has set up logging of its own."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(LineFormat())
        root.addHandler(handler)
        root.setLevel(level)
