"""How long the tests with generated input run: seconds in CI, and as long as one likes by `make fuzz`."""

from __future__ import annotations

import os

_FACTOR = int(os.environ.get("FUZZ", "1"))


def examples(few: int) -> int:
    """How many examples to try where CI tries a few; `FUZZ=50` tries fifty times as many."""
    return few * _FACTOR


def is_long_run() -> bool:
    """Whether to try other examples each time. CI tries the same ones, so that it fails for what a commit has changed."""
    return _FACTOR > 1
