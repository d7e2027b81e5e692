"""From a prefix and a cursor to the range of keys that an ordered index can walk."""

from __future__ import annotations

from typing import NamedTuple

_LAST = 0x10FFFF
_BEFORE_SURROGATES = 0xD7FF
_AFTER_SURROGATES = 0xE000


class KeyRange(NamedTuple):
    """Keys from `lower` on, and below `upper`; both in the order of code points, which is also that of UTF-8 bytes."""

    lower: str
    upper: str | bytes
    """SQLite sorts every text below every blob, so an empty blob means: no upper end."""


def key_range(prefix: str = "", after: str = "", *, reverse: bool = False) -> KeyRange:
    """The keys that begin with `prefix`, and lie behind the cursor `after` (before it, when `reverse`).

    No key holds a NUL character, so the least key behind `after` that could be is `after` with one appended.
    """
    lower = prefix
    upper = successor(prefix)
    if after and reverse:
        upper = after if upper is None or after < upper else upper
    elif after:
        lower = max(prefix, after + "\0")
    return KeyRange(lower, b"" if upper is None else upper)


def successor(prefix: str) -> str | None:
    """The least text above all that begin with `prefix`; none where there is no such text."""
    kept = prefix.rstrip(chr(_LAST))
    if not kept:
        return None
    last = ord(kept[-1])
    return kept[:-1] + chr(_AFTER_SURROGATES if last == _BEFORE_SURROGATES else last + 1)
