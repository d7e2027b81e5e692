"""How much work of upkeep goes into one slice."""

from __future__ import annotations

from typing import Final

SLICE_SECONDS: Final = 0.005
"""How long a slice may keep a write waiting, about."""

MOST_ROWS: Final = 1_024
"""Rows of one slice."""

_FEWEST: Final = 16


def fitting_rows(rows: int, seconds: float) -> int:
    """The rows of the next slice, by what the last one cost; a full one aims a little below the limit."""
    fitting = int(rows * 0.7 * SLICE_SECONDS / max(seconds, 1e-6))
    return max(_FEWEST, min(MOST_ROWS, 2 * rows, fitting))
