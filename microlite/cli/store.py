"""`microlite store`: records, as micro's command of this name has them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from microlite.cli.failure import FAILED, CommandError
from microlite.cli.link import connect
from microlite.cli.moments import read_seconds
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table
from microlite.cli.store_blobs import blobs
from microlite.cli.store_transfer import export, import_
from microlite.cli.store_words import (
    COLUMNS,
    as_document,
    database_option,
    pages,
    place,
    place_options,
    print_value,
    range_options,
    row,
)
from microlite.cli.subcommands import Subcommands
from microlite.core.store import values
from microlite.core.store.api import Change, ChangeKind, Count, Keys, Page, Record

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.group(cls=Subcommands, no_args_is_help=True)
def store() -> None:
    """Read and change the records that services keep.

    \b
        microlite store write ann --json '{"balance": 12}' --table customers
        microlite store read ann --table customers
        microlite store list --database shop
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines


store.add_command(blobs)


@store.command
@click.argument("key")
@click.option("-p", "--prefix", is_flag=True, help="All records whose keys begin with KEY.")
@click.option("-s", "--suffix", is_flag=True, help="All records whose keys end with KEY; with -p, those that do both.")
@click.option("-v", "--verbose", is_flag=True, help="Show key, expiry and revision too.")
@range_options
@place_options
@output_option
@click.pass_obj
def read(
    options: Options,
    key: str,
    prefix: bool,
    suffix: bool,
    verbose: bool,
    limit: int | None,
    offset: int,
    order: str,
    table: str,
    database: str,
    output: str,
) -> None:
    """Print the value under KEY, or those of several keys.

    Text is printed as it is, bytes too where the output is no terminal, and everything else as JSON.
    """
    where = place(table, database)
    with connect(options) as link:
        if not prefix and not suffix:
            records: Iterable[Record] = [link.ask("store", "read", Record, key=key, **where)]
        else:
            fields = {"prefix": key if prefix else "", "suffix": key if suffix else "", "order": order}
            found = pages(link, "scan", Page, limit, offset=offset, **fields, **where)
            records = (record for page in found for record in page.records)
        if output == "json":
            _print_documents(map(as_document, records), several=prefix or suffix)
        elif verbose:
            print_table(COLUMNS, map(row, records))
        else:
            for record in records:
                print_value(record.value)


@store.command
@click.argument("key")
@click.argument("value", nargs=-1)
@click.option("--json", "is_json", is_flag=True, help="VALUE is JSON, not text.")
@click.option("-f", "--file", type=click.File("rb"), help="Write the bytes of a file; - reads them from stdin.")
@click.option("-e", "--expiry", metavar="DURATION", help="The record goes by itself after this time: 10s, 5m, 1h30m.")
@click.option("--absent", is_flag=True, help="Only if there is no record under KEY.")
@click.option("--revision", metavar="N", type=click.IntRange(1), help="Only over this revision.")
@place_options
@click.pass_obj
def write(
    options: Options,
    key: str,
    value: tuple[str, ...],
    is_json: bool,
    file: Any,
    expiry: str | None,
    absent: bool,
    revision: int | None,
    table: str,
    database: str,
) -> None:
    """Store VALUE under KEY: several words are one text. It is on disk when this returns."""
    fields: dict[str, Any] = {"key": key, **place(table, database)}
    if (file is None) == (not value) or (file is not None and is_json):
        raise click.UsageError("give a VALUE, or a --file in its place")
    if absent and revision is not None:
        raise click.UsageError("give --absent or --revision, not both: each says what must be there")
    if file is not None:
        fields["value"] = file.read()
    else:
        fields["value"] = _read_json(" ".join(value)) if is_json else " ".join(value)
    if expiry is not None:
        fields["ttl"] = read_seconds(expiry, "--expiry")
    if absent or revision is not None:
        fields["expect"] = revision or "absent"
    with connect(options) as link:
        link.ask("store", "write", **fields)


@store.command
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--revision", metavar="N", type=click.IntRange(1), help="Only this revision; with a single KEY.")
@place_options
@click.pass_obj
def delete(options: Options, keys: tuple[str, ...], revision: int | None, table: str, database: str) -> None:
    """Remove records. One that is not there is no error."""
    if revision is not None and len(keys) > 1:
        raise click.UsageError("--revision is for a single KEY")
    where: dict[str, Any] = place(table, database)
    if revision is not None:
        where["expect"] = revision
    with connect(options) as link:
        for key in keys:
            link.ask("store", "delete", key=key, **where)


@store.command(name="list")
@click.option("-p", "--prefix", default="", help="Only keys that begin so.")
@click.option("-s", "--suffix", default="", help="Only keys that end so.")
@range_options
@place_options
@output_option
@click.pass_obj
def list_(
    options: Options,
    prefix: str,
    suffix: str,
    limit: int | None,
    offset: int,
    order: str,
    table: str,
    database: str,
    output: str,
) -> None:
    """Print the keys of a table, one a line."""
    with connect(options) as link:
        fields = {"prefix": prefix, "suffix": suffix, "offset": offset, "order": order}
        found = pages(link, "list", Keys, limit, **fields, **place(table, database))
        keys = (key for page in found for key in page.keys)
        if output == "json":
            _print_documents(map(msgspec.json.encode, keys), several=True)
        else:
            for key in keys:
                click.echo(key)


@store.command
@click.option("-p", "--prefix", default="", help="Only keys that begin so.")
@click.option("-s", "--suffix", default="", help="Only keys that end so.")
@place_options
@output_option
@click.pass_obj
def count(options: Options, prefix: str, suffix: str, table: str, database: str, output: str) -> None:
    """Print how many records a table has."""
    with connect(options) as link:
        found: int = link.ask("store", "count", prefix=prefix, suffix=suffix, **place(table, database))
    if output == "json":
        print_json(found)
    else:
        click.echo(f"{found:,}" if sys.stdout.isatty() else found)


@store.command
@click.argument("key")
@click.option("--by", default="1", show_default=True, metavar="NUMBER", help="What to add; below 0 to subtract.")
@click.option(
    "-e", "--expiry", metavar="DURATION", help="A record that begins with this goes by itself after this time."
)
@place_options
@output_option
@click.pass_obj
def increment(options: Options, key: str, by: str, expiry: str | None, table: str, database: str, output: str) -> None:
    """Add to the number under KEY, and print the sum. A record that is not there counts as 0."""
    fields: dict[str, Any] = {"key": key, "by": _number(by), **place(table, database)}
    if expiry is not None:
        fields["ttl"] = read_seconds(expiry, "--expiry")
    with connect(options) as link:
        done = link.ask("store", "increment", Count, **fields)
    if output == "json":
        print_json(done)
    else:
        click.echo(msgspec.json.encode(done.value))


@store.command
@output_option
@click.pass_obj
def databases(options: Options, output: str) -> None:
    """Print the databases that hold a record, one a line."""
    with connect(options) as link:
        _print_names(link.ask("store", "databases"), output)


@store.command
@database_option
@output_option
@click.pass_obj
def tables(options: Options, database: str, output: str) -> None:
    """Print the tables that hold a record, one a line."""
    with connect(options) as link:
        _print_names(link.ask("store", "tables", database=database), output)


@store.command
@click.argument("key", default="")
@click.option("-p", "--prefix", is_flag=True, help="All records whose keys begin with KEY.")
@click.option("--since", metavar="N", type=click.IntRange(1), help="Begin behind this revision.")
@click.option("--state", is_flag=True, help="Begin with the records that are there.")
@place_options
@output_option
@click.pass_obj
def watch(
    options: Options,
    key: str,
    prefix: bool,
    since: int | None,
    state: bool,
    table: str,
    database: str,
    output: str,
) -> None:
    """Print each change of a record as it happens, until Ctrl-C; without KEY, of all the table.

    As JSON each change is a document of its own, and its field `resume` is what --since takes.
    """
    if state and since is not None:
        raise click.UsageError("give --state or --since, not both: each says where to begin")
    fields: dict[str, Any] = {"prefix" if prefix else "key": key, **place(table, database)}
    if state or since is not None:
        fields["since"] = since or 0
    with connect(options) as link:
        for change in link.follow("store", "watch", Change, **fields):
            if output == "json":
                click.echo(as_document(change))
            elif change.kind is ChangeKind.WRITE:
                click.echo(f"write   {change.key}  {values.text(bytes(change.value))}")
            elif change.kind is ChangeKind.RESET:
                click.echo("reset", err=True)
            elif change.kind is not ChangeKind.SYNCED:
                click.echo(f"{change.kind:<6}  {change.key}")
            sys.stdout.flush()


store.add_command(export)
store.add_command(import_)


def _print_names(names: list[str], output: str) -> None:
    if output == "json":
        print_json(names)
    else:
        for name in names:
            click.echo(name)


def _print_documents(documents: Iterable[bytes], *, several: bool) -> None:
    """Print a document, or a list of them as each comes, so that it may be long."""
    if not several:
        for document in documents:
            click.echo(msgspec.json.format(document, indent=2))
        return
    begun = False
    for document in documents:
        click.echo(",\n  " if begun else "[\n  ", nl=False)
        click.echo(document, nl=False)
        begun = True
    click.echo("\n]" if begun else "[]")


def _read_json(text: str) -> Any:
    """The value of a document that was typed; - reads it from stdin."""
    try:
        return msgspec.json.decode(sys.stdin.buffer.read() if text == "-" else text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CommandError(f"VALUE is no JSON: {error}; without --json it is taken as text", FAILED) from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number", param_hint="--by") from None
