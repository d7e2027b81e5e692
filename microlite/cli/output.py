"""What commands print: JSON with indentation, tables without lines. Colours reach only a terminal (see `click.echo`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BLANK = "n/a"
"""What a table shows where there is nothing to show."""

# Escape sequences by ECMA-48 §5 and §8.3; then control characters, and the marks that turn the direction of a text.
_COMMANDING: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """A text that others wrote, without all that a terminal would obey; its lines and tabs stay.

    A docstring, an error or a name of somebody else's must not clear the screen or overwrite what stands before it.
    """
    return text if text.isprintable() else _COMMANDING.sub("", text)


def print_json(value: Any) -> None:
    """Print a value as an indented document.

    Args:
        value: anything that msgspec can write.
    """
    print_document(msgspec.json.encode(value))


def print_document(document: bytes) -> None:
    """Print a JSON document indented, its numbers and the order of its fields as they are."""
    click.echo(msgspec.json.format(document or b"null", indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns' names; nothing at all where there is no row."""
    for line in table_lines(columns, rows):
        click.echo(line)


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, first that of its columns' names; none where there is no row."""
    cells = [list(columns), *([plain(cell).replace("\n", " ") or BLANK for cell in row] for row in rows)]
    if len(cells) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head, *lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return [click.style(head, bold=True), *lines]
