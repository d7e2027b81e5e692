"""Parts of a body (RFC 9110, section 14): one range of bytes."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range lies outside the body."""


class Range(NamedTuple):
    """The bytes from `first` to before `end` of a body of `size` bytes."""

    first: int
    end: int
    size: int

    @property
    def content_range(self) -> str:
        """The value of the header `Content-Range`."""
        return f"bytes {self.first}-{self.end - 1}/{self.size}"


def read_range(text: str, size: int) -> Range | None:
    """The part that a header `Range` asks for; None where it is to be ignored: malformed, in other units, several.

    Args:
        text: the header.
        size: of the body.

    Raises:
        Unsatisfiable: the body has no such part.
    """
    match = _RANGE.fullmatch(text)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        if not int(last) or not size:
            raise Unsatisfiable
        return Range(max(0, size - int(last)), size, size)
    begin = int(first)
    if last and int(last) < begin:
        return None
    if begin >= size:
        raise Unsatisfiable
    return Range(begin, min(int(last) + 1, size) if last else size, size)
