"""`microlite backup`."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click

from microlite.cli.failure import NOT_FOUND, CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json
from microlite.cli.percent import Percent
from microlite.core import errors
from microlite.core.settings import CONFIG_KEYS, DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from microlite.core.backup.api import Finished, Part, Progress

KEYS_SUFFIX: Final = ".keys"
"""What the name of the file with the keys ends with; before it stands that of the backup."""

_SYNC_BYTES: Final = 8 << 20


@click.command
@click.argument(
    "file", required=False, metavar="[FILE|-]", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--force", is_flag=True, help="Write over a FILE that is there already.")
@click.option("--with-keys", is_flag=True, help="Copy the keys of the configuration's secrets as well, into FILE.keys.")
@output_option
@click.pass_obj
def backup(options: Options, file: Path | None, force: bool, with_keys: bool, output: str) -> None:
    """Back up everything that the platform keeps, while it runs or not.

    It goes to FILE, to standard output where that is -, and without it to microlite-DATE-TIME.db in this folder. All of
    it is of one moment and is checked before it is given out; writes go on meanwhile. Put it back with `microlite restore`.

    Not in it: the keys that decrypt secrets of the configuration, unless you ask for them with --with-keys (keep that file
    apart from the backup); logs; and what the platform makes again, such as environments.
    """
    if file is not None and str(file) == "-":
        _to_stdout(options, with_keys=with_keys, output=output)
        return
    target = file or Path(time.strftime("microlite-%Y%m%d-%H%M%S.db"))
    keys_target = target.with_name(target.name + KEYS_SUFFIX)
    for path in (target, keys_target) if with_keys else (target,):
        if path.exists() and not force:
            raise CommandError(f"{path} is there already: name another file, or write over it with --force")
    keys = _read_keys(options.home)
    with _draft_of(target) as (draft, place):
        finished = _receive(options, draft, sync=True)
        draft.flush()
        os.fsync(draft.fileno())
        if with_keys:
            _check_unchanged(options.home, keys)
            if keys is not None:
                with _draft_of(keys_target) as (keys_draft, keys_place):
                    keys_draft.write(keys)
                    keys_draft.flush()
                    os.fsync(keys_draft.fileno())
                    keys_place.replace(keys_target)
        place.replace(target)
    _wait_for_disk(target.absolute().parent)
    if output == "json":
        print_json(_summary(finished, str(target), str(keys_target) if with_keys and keys is not None else ""))


def _to_stdout(options: Options, *, with_keys: bool, output: str) -> None:
    if with_keys:
        raise click.UsageError("--with-keys writes a second file: name a FILE in place of -")
    if output == "json":
        raise click.UsageError("standard output takes either the backup or a document: name a FILE in place of -")
    if sys.stdout.isatty():
        raise CommandError("a backup is no text for a terminal: send it on with | or >, or name a FILE")
    _receive(options, sys.stdout.buffer, sync=False)
    sys.stdout.buffer.flush()


def _receive(options: Options, target: IO[bytes], *, sync: bool) -> Finished:
    """Write the bytes of a backup, and return what they are.

    Args:
        options: the global ones.
        target: takes the bytes.
        sync: whether to send them on to the disk as they come. All at once in the end would hold up the platform's own
            writes for that long, where both are on one disk.

    Raises:
        CommandError: they are not what was sent, or there is nothing to back up.
    """
    import hashlib

    from microlite.core.backup.api import Chunk, Finished

    percent, digest, finished = Percent(), hashlib.sha256(), None
    received = synced = total = 0

    def tell(progress: Progress) -> None:
        nonlocal total
        total = progress.total
        percent.show(progress.stage, progress.done, progress.total)

    try:
        with contextlib.closing(_parts(options, tell)) as parts:
            for part in parts:
                if isinstance(part, Chunk):
                    target.write(part.data)
                    digest.update(part.data)
                    received += len(part.data)
                    if sync and received - synced >= _SYNC_BYTES:
                        target.flush()
                        os.fsync(target.fileno())
                        synced = received
                    percent.show("writing", received, total)
                elif isinstance(part, Finished):
                    finished = part
                else:
                    tell(part)
    except BaseException:
        percent.end()
        raise
    if finished is None or (finished.size, finished.digest) != (received, digest.hexdigest()):
        percent.end()
        raise CommandError("the backup came in changed or cut short, so it was thrown away: try again")
    percent.end(
        f"backed up {finished.size / 1e6:,.1f} MB in {finished.seconds:.1f} s, up to revision {finished.revision}; "
        f"the log grew by {finished.log_growth / 1e6:,.1f} MB meanwhile"
    )
    return finished


def _parts(options: Options, tell: Callable[[Progress], None]) -> Generator[Part]:
    """The parts of a backup: from the platform, or made here where none runs."""
    from microlite.core.backup.api import Part

    with contextlib.ExitStack() as stack:
        try:
            link = stack.enter_context(connect(options))
        except CommandError as error:
            if error.code != NOT_FOUND:
                raise
        else:
            yield from link.follow("backup", "create", Part)
            return
        database = options.home / DATABASE
        if not database.exists():
            raise CommandError(f"there is nothing to back up: no platform has ever run at {options.home}", NOT_FOUND)
        from microlite.core.backup.offline import back_up_file  # brings SQLite with it

        try:
            yield from back_up_file(database, tell)
        except errors.Error as error:  # it happened here, and not at a service
            raise CommandError(error.detail) from None


@contextlib.contextmanager
def _draft_of(target: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A file beside the target, for its owner only, that takes its place or is gone in the end, also after SIGTERM."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise CommandError(
            f"there is no folder {folder} to write to: make it first, with: mkdir -p {shlex.quote(str(folder))}"
        )
    place = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with contextlib.ExitStack() as stack:
        stack.callback(place.unlink, missing_ok=True)
        with contextlib.suppress(ValueError):  # not in the main thread, and then not a program of its own
            usual = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
            stack.callback(signal.signal, signal.SIGTERM, usual)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as draft:
            yield draft, place


def _read_keys(home: Path) -> bytes | None:
    try:
        return (home / CONFIG_KEYS).read_bytes()
    except FileNotFoundError:
        return None


def _check_unchanged(home: Path, keys: bytes | None) -> None:
    """Refuse keys that may not be those of the moment that was backed up."""
    if _read_keys(home) != keys:
        raise CommandError("the keys were changed while the backup was made, so it was thrown away: try again")


def _summary(finished: Finished, file: str, keys: str) -> dict[str, object]:
    import msgspec

    return {"file": file, "keys": keys, **msgspec.structs.asdict(finished)}


def _wait_for_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
