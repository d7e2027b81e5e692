"""`microlite restore`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from microlite.cli.backup import KEYS_SUFFIX
from microlite.cli.failure import CommandError
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json
from microlite.cli.percent import Percent
from microlite.core import errors
from microlite.core.settings import CONFIG_KEYS, DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command
@click.argument("file", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@output_option
@click.pass_obj
def restore(options: Options, file: Path, output: str) -> None:
    """Put a backup into an empty home.

    The home is that of `--home`, as before every command; it has no database yet. The backup is checked from beginning to
    end before it is used, and nothing is ever written over. One of an older microlite is brought up to date by the first
    start; one of a newer microlite is refused. Where FILE.keys lies beside FILE, the keys of the configuration's secrets
    are put in place as well. A FILE of - is standard input.
    """
    from microlite.core.backup.restoring import Backup
    from microlite.core.backup.restoring import restore as put_in_place

    percent = Percent()
    with _opened(file) as stream:
        stdin = str(file) == "-"
        if not stdin:
            _refuse_one_in_use(file)
        keys = None if stdin else file.with_name(file.name + KEYS_SUFFIX)
        source = Backup(
            name="standard input" if stdin else str(file),
            stream=stream,
            size=0 if stdin else file.stat().st_size,
            keys=keys.read_bytes() if keys is not None and keys.exists() else None,
        )
        options.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            done = put_in_place(source, options.home / DATABASE, options.home / CONFIG_KEYS, percent.show)
        except errors.Error as error:  # it happened here, and not at a service
            percent.end()
            raise CommandError(error.detail) from None
        except BaseException:
            percent.end()
            raise
    percent.end(
        f"restored {done.size / 1e6:,.1f} MB in {done.seconds:.1f} s, up to revision {done.revision}; "
        "start it with: microlite server"
    )
    if output == "json":
        print_json(done)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    if str(file) != "-":
        with file.open("rb") as stream:
            yield stream
    elif sys.stdin.isatty():
        raise CommandError("a backup cannot be typed: send it in with < or |, or name a FILE")
    else:
        yield sys.stdin.buffer


def _refuse_one_in_use(file: Path) -> None:
    log = file.with_name(file.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise CommandError(
            f"{file} is a database that is in use, or was not closed: a part of it is still in {log.name}; "
            "make a backup of it with: microlite --home FOLDER backup"
        )
