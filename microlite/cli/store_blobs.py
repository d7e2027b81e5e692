"""`microlite store blobs`: values of any size, from files and into files."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click
import msgspec

from microlite.cli.failure import FAILED, CommandError
from microlite.cli.link import connect
from microlite.cli.live_line import LiveLine
from microlite.cli.moments import read_seconds
from microlite.cli.options import Options, output_option, pairs
from microlite.cli.output import print_json, print_table
from microlite.cli.store_words import database_option, moment
from microlite.cli.subcommands import Subcommands
from microlite.core.store.blob_api import Blob, BlobPage

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE: Final = 256 * 1024
"""Bytes that are sent at once."""

OFTEN: Final = 0.2
"""Seconds between two reports of progress."""

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


@click.group(cls=Subcommands, no_args_is_help=True)
def blobs() -> None:
    """Read and write blobs: values of any size, streamed."""


@blobs.command
@click.argument("name")
@click.argument("file", metavar="FILE|-")
@click.option("--content-type", default="", help="The media type.  [default: what the end of the name says]")
@click.option("-e", "--expiry", metavar="DURATION", help="The blob goes by itself after this time: 10s, 5m, 1h30m.")
@click.option("-m", "--metadata", multiple=True, metavar="KEY=VALUE", help="What to say about it; Can be repeated.")
@click.option("--absent", is_flag=True, help="Only if there is no blob NAME.")
@click.option("--revision", metavar="N", type=click.IntRange(1), help="Only over this revision.")
@database_option
@click.pass_obj
def write(
    options: Options,
    name: str,
    file: str,
    content_type: str,
    expiry: str | None,
    metadata: tuple[str, ...],
    absent: bool,
    revision: int | None,
    database: str,
) -> None:
    """Write FILE, or with - what comes from stdin, as the blob NAME. All of it is on disk when this returns, or none."""
    if absent and revision is not None:
        raise click.UsageError("give --absent or --revision, not both: each says what must be there")
    fields: dict[str, Any] = {
        "name": name,
        "content_type": content_type or (_guess(name) or _guess(file)),
        "metadata": pairs(metadata, "--metadata"),
        "database": database,
    }
    if expiry is not None:
        fields["ttl"] = read_seconds(expiry, "--expiry")
    if absent or revision is not None:
        fields["expect"] = revision or "absent"
    with connect(options) as link, _source(file) as (source, size):
        sent = _Sent(source, Progress("written", size))
        blob: Blob = link.send("store", "blobs.write", Blob, sent.items(), **fields)
    if blob.digest != sent.digest:
        raise CommandError(f"what arrived, {blob.size:,} bytes, is not what was sent; write it again", FAILED)


@blobs.command
@click.argument("name")
@click.option(
    "-f",
    "--file",
    "--output",
    "target",
    metavar="FILE",
    help="Write it to FILE, which is there as a whole or not at all.",
)
@click.option(
    "-r", "--range", "part", metavar="FIRST-LAST", help="Only these bytes, from 0: 0-99, 100-, or -100 for the last."
)
@database_option
@click.pass_obj
def read(options: Options, name: str, target: str | None, part: str | None, database: str) -> None:
    """Write the content of the blob NAME to stdout, or to a file."""
    if target is None and sys.stdout.isatty():
        with connect(options) as link:
            blob = link.ask("store", "blobs.head", Blob, name=name, database=database)
        raise CommandError(
            f"{blob.content_type}, {blob.size:,} bytes: give --file FILE, or write it to one with > FILE behind the command"
        )
    fields: dict[str, Any] = {"name": name, "database": database}
    with connect(options) as link:
        if part is not None:
            size = link.ask("store", "blobs.head", Blob, **fields).size
            fields.update(_read_part(part, size))
        pieces = link.follow("store", "blobs.read", Any, **fields)
        head = msgspec.convert(next(pieces), _Head)
        with _target(target) as out:
            _receive(pieces, out, head, name)


@blobs.command
@click.argument("name")
@output_option
@database_option
@click.pass_obj
def head(options: Options, name: str, output: str, database: str) -> None:
    """Print what the blob NAME is: size, media type, digest, revision, times, metadata."""
    with connect(options) as link:
        blob: Blob = link.ask("store", "blobs.head", Blob, name=name, database=database)
    if output == "json":
        print_json(blob)
        return
    click.echo(f"name      {blob.name}\nsize      {blob.size:,} bytes\ntype      {blob.content_type}")
    click.echo(f"sha256    {blob.digest}\nrevision  {blob.revision}")
    click.echo(f"written   {moment(blob.created_at)}\nexpiry    {moment(blob.expires_at)}")
    for key, value in blob.metadata.items():
        click.echo(f"metadata  {key}={value}")


@blobs.command(name="list")
@click.option("-p", "--prefix", default="", help="Only names that begin so.")
@click.option("-n", "-l", "--limit", metavar="N", type=click.IntRange(1), help="At most so many.  [default: all]")
@output_option
@database_option
@click.pass_obj
def list_(options: Options, prefix: str, limit: int | None, output: str, database: str) -> None:
    """List blobs in the order of their names."""
    with connect(options) as link:
        found: list[Blob] = []
        cursor: str | None = ""
        while cursor is not None and (limit is None or len(found) < limit):
            most = 500 if limit is None else min(500, limit - len(found))
            page = link.ask(
                "store", "blobs.list", BlobPage, prefix=prefix, limit=most, cursor=cursor, database=database
            )
            found += page.blobs
            cursor = page.cursor
    if output == "json":
        print_json(found)
        return
    columns = ("NAME", "SIZE", "TYPE", "EXPIRY", "REVISION")
    print_table(
        columns,
        [
            (one.name, short_size(one.size), one.content_type, moment(one.expires_at), str(one.revision))
            for one in found
        ],
    )


@blobs.command
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--revision", metavar="N", type=click.IntRange(1), help="Only this revision; with a single NAME.")
@database_option
@click.pass_obj
def delete(options: Options, names: tuple[str, ...], revision: int | None, database: str) -> None:
    """Remove blobs. One that is not there is no error."""
    if revision is not None and len(names) > 1:
        raise click.UsageError("--revision is for a single NAME")
    with connect(options) as link:
        for name in names:
            link.ask("store", "blobs.delete", name=name, expect=revision, database=database)


class _Head(msgspec.Struct):
    """As far as it is needed, what is in front of the bytes; `core.description.file_head.FileHead` says what it means."""

    size: int
    etag: str
    first: int
    end: int


class Progress:
    """Says on a terminal's stderr how far it came, now and then, and how long it took.

    Args:
        word: what happens.
        size: of the whole, if it is known.
    """

    def __init__(self, word: str, size: int | None) -> None:
        self._word = word
        self._size = size
        self._done = 0
        self._line = LiveLine(OFTEN)

    def add(self, size: int) -> None:
        """So many more bytes are done."""
        self._done += size
        if self._line.is_due:
            of = f" of {short_size(self._size)}, {self._done * 100 // self._size} %" if self._size else ""
            self._line.write(f"{short_size(self._done)}{of}")

    def end(self) -> None:
        """It is complete."""
        if self._line.is_shown:
            seconds = self._line.seconds
            rate = f", {short_size(int(self._done / seconds))}/s" if seconds > OFTEN else ""
            self._line.end(f"{short_size(self._done)} {self._word}{rate}")


class _Sent:
    """The content on its way out, and the digest of what was sent."""

    def __init__(self, source: IO[bytes], progress: Progress) -> None:
        self._source = source
        self._progress = progress
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Of all that `items` gave."""
        return self._hash.hexdigest()

    def items(self) -> Iterator[bytes]:
        """The pieces as the wire carries them."""
        while piece := self._source.read(PIECE):
            self._hash.update(piece)
            yield msgspec.msgpack.encode(piece)
            self._progress.add(len(piece))
        self._progress.end()


def _receive(pieces: Iterator[bytes], out: IO[bytes], head: _Head, name: str) -> None:
    digest, size = hashlib.sha256(), 0
    progress = Progress("read", head.end - head.first)
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        out.write(piece)
        progress.add(len(piece))
    if size != head.end - head.first or (size == head.size and digest.hexdigest() != head.etag):
        raise CommandError(f"what came is not the blob {name} as it was written; read it again", FAILED)
    progress.end()


def short_size(size: int) -> str:
    """A number of bytes for people: `17 B`, `1.5 MB`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} B" if not unit else f"{value:.3g} {_UNITS[unit]}"


def _read_part(text: str, size: int) -> dict[str, int]:
    from microlite.core.description.ranges import Unsatisfiable, read_range

    try:
        part = read_range(f"bytes={text}", size)
    except Unsatisfiable:
        raise CommandError(f"the blob has {size:,} bytes, and not these: {text}", FAILED) from None
    if part is None:
        raise click.BadParameter(f"{text!r} is no range: write 0-99, 100-, or -100 for the last", param_hint="--range")
    return {"first": part.first, "end": part.end}


def _guess(name: str) -> str:
    import mimetypes

    return mimetypes.guess_type(name)[0] or ""


@contextmanager
def _source(file: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """A file to read, and its size if it is known."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below; an error of reading is another one
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", FAILED) from None
    with opened:
        yield opened, os.fstat(opened.fileno()).st_size or None


@contextmanager
def _target(file: str | None) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name when it is complete; without a name stdout."""
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as opened:
            yield opened
        part.replace(path)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}", FAILED) from None
    finally:
        part.unlink(missing_ok=True)
