"""What a Google-style docstring says: the prose, and a line for each parameter."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARAMETERS: Final = frozenset({"Args:", "Arguments:", "Parameters:"})
_LEFT_OUT: Final = frozenset({"Returns:", "Yields:", "Raises:"})
_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


class Docstring(NamedTuple):
    """A docstring, taken apart."""

    text: str
    """The prose: summary line first, without the sections that belong to Python's readers only."""
    parameters: dict[str, str]
    """What the section on arguments says of each, as one line."""


def parse_docstring(docstring: str | None) -> Docstring:
    """Take a docstring apart. A missing one gives empty parts."""
    prose: list[str] = []
    arguments: list[str] = []
    target: list[str] | None = prose
    for line in inspect.cleandoc(docstring or "").splitlines():
        heading = line.rstrip()
        if heading in _PARAMETERS:
            target = arguments
        elif heading in _LEFT_OUT:
            target = None
        elif heading and not heading[0].isspace() and target is not prose:
            target = prose  # a section ends where the indentation does
            prose.append(line)
        elif target is not None:
            target.append(line)
    return Docstring("\n".join(prose).strip(), _entries(arguments))


def _entries(lines: Iterable[str]) -> dict[str, str]:
    entries: dict[str, list[str]] = {}
    current: list[str] | None = None
    depth = -1
    for line in lines:
        text = line.strip()
        if not text:
            continue
        indent = len(line) - len(line.lstrip())
        if depth < 0:
            depth = indent
        match = _ENTRY.fullmatch(text) if indent <= depth else None
        if match is not None:
            current = entries.setdefault(match[1], [])
            text = match[2]
        if current is not None and text:
            current.append(text)
    return {name: " ".join(parts) for name, parts in entries.items()}
