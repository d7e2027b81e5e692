"""Lengths of time as people write them: `90s`, `10m`, `1h30m`, `2d`; and as status pages show them."""

from __future__ import annotations

import itertools
import math
import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str) -> float:
    """Seconds that a text like `1h30m`, `90s`, `1.5h` or `250ms` stands for.

    The units are `ms`, `s`, `m`, `h` and `d`; each at most once, the larger one first; `0` needs none.

    Raises:
        ValueError: the text is no duration; the message says what one looks like.
    """
    compact = text.strip()
    if compact == "0":
        return 0.0
    parts = [(float(number), _UNITS[unit]) for number, unit in _PART.findall(compact)]
    units = [unit for _, unit in parts]
    if not _WHOLE.fullmatch(compact) or any(left <= right for left, right in itertools.pairwise(units)):
        raise ValueError(f"{text!r} is no duration: write a number with a unit, such as 90s, 10m, 1h30m or 2d")
    return sum(number * unit for number, unit in parts)


def format_duration(seconds: float) -> str:
    """The length in micro's form: `4s`, `15m32s`, `1h15m32s`, from a day on `1d0h0m0s`. Whole seconds, rounded down.

    A negative length, which a clock that was set back can produce, shows as `0s`.
    """
    rest = max(0, math.floor(seconds))
    days, rest = divmod(rest, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next((index for index, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return "".join(f"{number}{unit}" for number, unit in parts[first:])


def write_duration(seconds: float, parts: int = 5) -> str:
    """The length as people write it, and `parse_duration` reads it: `10m`, `1h30m`, `0.5s`.

    Args:
        seconds: what is no whole number stands as it is.
        parts: so many units at most, the largest; what is less is left away.
    """
    if seconds != int(seconds) and parts >= len(_UNITS):
        return f"{seconds:g}s"
    rest, found = int(seconds), list[str]()
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        found += [f"{number}{unit}"] if number else []
    return "".join(found[:parts]) or "0s"


def format_ago(seconds: float) -> str:
    """How long ago something was, as `status` shows it: `4s ago`, `1h15m32s ago`, `1d0h0m0s ago`."""
    return f"{format_duration(seconds)} ago"
