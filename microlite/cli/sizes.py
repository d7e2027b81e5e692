"""Numbers of bytes as people write them: `500MB`, `2GiB`."""

from __future__ import annotations

import re
from typing import Final

import click

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?)(i?)B?")
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def read_size(text: str, option: str) -> int:
    """Bytes that a text like `1048576`, `500MB` or `2GiB` stands for; KiB, MiB and so on count by 1024.

    Raises:
        click.BadParameter: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise click.BadParameter(
            f"{text!r} is no size: write a number of bytes, or one with a unit, as in 500MB or 2GiB", param_hint=option
        )
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].upper()])


def write_size(size: float) -> str:
    """A number of bytes with a unit: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes all")
