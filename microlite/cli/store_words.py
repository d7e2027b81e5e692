"""What the commands of `microlite store` have in common: their options, and how records look in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from microlite.cli.completes import completes
from microlite.cli.moments import write_time
from microlite.core.description.structs import Encoding
from microlite.core.store import values
from microlite.core.store.api import KeyOrder, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microlite.cli.link import Link

Command = TypeVar("Command", bound="Callable[..., Any]")

COLUMNS: Final = ("KEY", "VALUE", "EXPIRY", "REVISION")

WIDEST: Final = 80
"""Characters of a value in a table."""

PAGE: Final = 500
"""Records that are fetched at once."""


def database_option(command: Command) -> Command:
    """Give a command `--database`; it gets `database`, empty where it is left out."""
    return click.option(
        "-d",
        "--database",
        default="",
        help="The database: a service's, by its name.  [default: default]",
        shell_complete=completes("databases"),
    )(command)


def place_options(command: Command) -> Command:
    """Give a command `--table` and `--database`; it gets both, empty where they are left out."""
    return click.option(
        "-t", "--table", default="", help="The table.  [default: default]", shell_complete=completes("tables")
    )(database_option(command))


def range_options(command: Command) -> Command:
    """Give a command `--limit`, `--offset` and `--order`."""
    for option in (
        click.option(
            "--order",
            type=click.Choice([one.value for one in KeyOrder]),
            default=KeyOrder.ASC.value,
            show_default=True,
            help="By key.",
        ),
        click.option("--offset", metavar="N", type=click.IntRange(0), default=0, help="Leave out so many first."),
        click.option(
            "-n", "-l", "--limit", metavar="N", type=click.IntRange(1), help="At most so many.  [default: all]"
        ),
    ):
        command = option(command)
    return command


def place(table: str, database: str) -> dict[str, Any]:
    """The fields of a request that name the table."""
    named = {"table": table, "database": database}
    return {name: value for name, value in named.items() if value}


def pages(link: Link, endpoint: str, kind: Any, limit: int | None = None, **fields: Any) -> Iterator[Any]:
    """The pages of `store.scan` or `store.list`, up to a number of records."""
    cursor: str | None = ""
    while cursor is not None and (limit is None or limit > 0):
        most = PAGE if limit is None else min(PAGE, limit)
        page = link.ask("store", endpoint, kind, limit=most, cursor=cursor, **fields)
        yield page
        limit = None if limit is None else limit - len(page.records if endpoint == "scan" else page.keys)
        fields["offset"], cursor = 0, page.cursor


def print_value(value: msgspec.Raw) -> None:
    """Print a value on a line of its own. Bytes are written as they are, but not to a terminal, which they would upset."""
    kept = bytes(value)
    if values.is_bytes(kept) and not sys.stdout.isatty():
        sys.stdout.buffer.write(msgspec.msgpack.decode(kept))
        sys.stdout.buffer.flush()
        return
    click.echo(values.text(kept))
    if values.is_bytes(kept):
        click.echo("write them to a file, with > FILE behind the command", err=True)


def row(record: Record) -> tuple[str, str, str, str]:
    """A record in a table, under `COLUMNS`."""
    text = values.text(bytes(record.value)).replace("\r", "\\r").replace("\n", "\\n")
    short = text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
    return record.key, short, moment(record.expires_at), str(record.revision)


def moment(at: float | None) -> str:
    """When a record expires; micro's word where it never does."""
    return "None" if at is None else write_time(at)


def as_document(record: Any) -> bytes:
    """A record or change as JSON, its value included."""
    value, encoding = values.unpack(bytes(record.value), Encoding.JSON)
    return msgspec.json.encode(msgspec.structs.replace(record, value=value, encoding=encoding))
