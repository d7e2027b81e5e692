"""The statements of `queries.sql`, by name."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_ROW: Final = re.compile(r"^(.+?) -- each$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


@functools.cache
def queries() -> dict[str, str]:
    """All statements by their names, read from the file once. Those with rows have one row."""
    text = Path(__file__).with_name("queries.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    found = dict(zip(parts[::2], map(_statement, parts[1::2]), strict=True))
    assert len(found) * 2 == len(parts), "two statements have one name"
    return found


@functools.cache
def with_rows(name: str, count: int) -> str:
    """A statement with `count` rows in its VALUES list."""
    return _ROW.sub(lambda row: ",\n".join([row[1]] * count), queries()[name])


def _statement(block: str) -> str:
    return _COMMENT.sub("", block.lstrip("\n") + "\n").strip()
