"""What commands print: JSON with indentation, tables without lines. Colours reach only a terminal (see `click.echo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BLANK = "n/a"
"""What a table shows where there is nothing to show."""


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
    cells = [list(columns), *([cell or BLANK for cell in row] for row in rows)]
    if len(cells) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head, *lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
    return [click.style(head, bold=True), *lines]
