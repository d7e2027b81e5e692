"""`microlite store export` and `import`: records as lines of JSON."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import msgspec

from microlite.cli.failure import FAILED, INTERRUPTED, CommandError
from microlite.cli.link import connect
from microlite.cli.live_line import LiveLine
from microlite.cli.options import Options
from microlite.cli.store_words import pages, place, place_options
from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.store import values
from microlite.core.store.api import Page, ValueEncoding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microlite.cli.link import Link

BATCH: Final = 500
"""Most records that are written together."""

BATCH_BYTES: Final = 2 << 20
"""Most bytes of values there, but for one record at least."""

OFTEN: Final = 0.2
"""Seconds between two reports of progress."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A record in a file: what `import` needs to make it again."""

    key: str
    value: msgspec.Raw
    table: str = ""
    encoding: ValueEncoding = ValueEncoding.PLAIN
    expires_at: float | None = None


@click.command
@click.argument("file", default="-")
@click.option("-p", "--prefix", default="", help="Only keys that begin so.")
@place_options
@click.pass_obj
def export(options: Options, file: str, prefix: str, table: str, database: str) -> None:
    """Write the records of a database to FILE, one JSON document a line; without FILE to stdout.

    All its tables, or the one of --table. `import` makes the same records of it, bytes and expiry included. What is written
    meanwhile may be in it or not; a copy as of one moment is what `microlite backup` makes.
    """
    progress = Progress("exported")
    with connect(options) as link, _target(file) as out:
        where = place("", database)
        for name in [table] if table else link.ask("store", "tables", **where):
            for page in pages(link, "scan", Page, prefix=prefix, table=name, **where):
                for record in page.records:
                    value, encoding = values.exact(bytes(record.value))
                    line = Line(record.key, value, name, encoding, record.expires_at)
                    out.write(msgspec.json.encode(line) + b"\n")
                progress.add(len(page.records))
    progress.end()


@click.command(name="import")
@click.argument("file", default="-")
@click.option("--from-line", metavar="N", type=click.IntRange(1), default=1, help="Go on where an import broke off.")
@place_options
@click.pass_obj
def import_(options: Options, file: str, from_line: int, table: str, database: str) -> None:
    """Write the records of FILE, as `export` wrote them; without FILE from stdin.

    Each goes into the table that its line names, or all into that of --table, over what is there. When it breaks
    off, it says how far it came; records that have expired meanwhile are left out.
    """
    progress = Progress("imported")
    done = from_line - 1
    try:
        with connect(options) as link, _source(file) as lines:
            for batch in _batches(lines, from_line, place(table, database)):
                _write(link, batch)
                done = batch.last
                progress.add(len(batch.changes))
    except _BadLine as error:
        progress.end()
        raise CommandError(_broke_off(str(error), error.line - 1, file), FAILED) from None
    except (errors.Error, KeyboardInterrupt) as error:
        progress.end()
        known = isinstance(error, errors.Error)
        reason = error.detail if isinstance(error, errors.Error) else "interrupted"
        raise CommandError(_broke_off(reason, done, file), FAILED if known else INTERRUPTED) from None
    progress.end()


class Progress:
    """Says on stderr how far it came: now and then in a terminal, and at the end.

    Args:
        word: what happens to records.
    """

    def __init__(self, word: str) -> None:
        self._word = word
        self._count = 0
        self._line = LiveLine(OFTEN)

    def add(self, count: int) -> None:
        """So many more are done."""
        self._count += count
        if self._line.is_due:
            rate = self._count / self._line.seconds
            self._line.write(f"{self._word} {self._count:,} records, {rate:,.0f}/s")

    def end(self) -> None:
        """Say what was done."""
        self._line.end(f"{self._word} {self._count:,} record{'' if self._count == 1 else 's'}")


class _BadLine(Exception):
    """A line that is no record, or cannot be written."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line


class _Batch:
    """Records that are written together."""

    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.places: set[tuple[str, str]] = set()
        self.size = 0
        self.last = 0
        """The number of the last line that is in it, or was left out before it."""


def _batches(lines: IO[bytes], from_line: int, where: dict[str, Any]) -> Iterator[_Batch]:
    batch = _Batch()
    now = time.time()
    for number, text in enumerate(lines, 1):
        if number < from_line:
            continue
        if text.strip():
            try:
                change = _change(number, text, where)
            except _BadLine:
                if batch.last:
                    yield batch  # what came before it is in, so that the rest can follow
                raise
            spot = (change.get("table", ""), change["key"])
            size = len(change["value"])
            if len(batch.changes) == BATCH or batch.size + size > BATCH_BYTES or spot in batch.places:
                yield batch
                batch = _Batch()
            if not (change.get("expires_at") or now + 1) <= now:
                batch.changes.append(change)
                batch.numbers.append(number)
                batch.places.add(spot)
                batch.size += size
        batch.last = number
    if batch.last:
        yield batch


def _change(number: int, text: bytes, where: dict[str, Any]) -> dict[str, Any]:
    try:
        line = msgspec.json.decode(text, type=Line)
        kept = values.pack(line.value, Encoding.JSON, line.encoding)
    except msgspec.MsgspecError as error:
        raise _BadLine(number, f"it is no record: {error}") from None
    except errors.Error as error:
        raise _BadLine(number, error.detail) from None
    change: dict[str, Any] = {
        "type": "write",
        "key": line.key,
        "value": msgspec.Raw(kept),
        "table": line.table,
        **where,
    }
    if line.expires_at is not None:
        change["expires_at"] = line.expires_at
    return change


def _write(link: Link, batch: _Batch) -> None:
    """Write a batch; where that is refused, one by one up to the record that is to blame."""
    if not batch.changes:
        return
    try:
        link.ask("store", "batch", changes=batch.changes)
    except (errors.BadRequest, errors.PayloadTooLarge):
        for number, change in zip(batch.numbers, batch.changes, strict=True):
            try:
                link.ask("store", "batch", changes=[change])
            except errors.Error as error:
                raise _BadLine(number, error.detail) from None


def _broke_off(reason: str, done: int, file: str) -> str:
    if not done:
        return f"{reason}; nothing was imported"
    name = "-" if file == "-" else file
    return (
        f"{reason}; lines up to {done:,} are imported, go on with: microlite store import {name} --from-line {done + 1}"
    )


@contextmanager
def _target(file: str) -> Iterator[IO[bytes]]:
    """Where to write. A file takes its name when it is complete, so that an earlier one is not lost to a broken export."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as out:
            yield out
        partial.replace(path)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}", FAILED) from None


@contextmanager
def _source(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below, outside of this `try`
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", FAILED) from None
    with opened:
        yield opened
