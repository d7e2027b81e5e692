"""A backup of a home on which no platform runs, in the same parts as one that a platform makes. Blocking."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from microlite.core.backup.api import Chunk, Finished, Progress, Stage
from microlite.core.backup.making import finished
from microlite.core.engine.copy import Copy, Phase, remove_gently
from microlite.core.engine.lock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_READ_BYTES: Final = 1 << 20


def back_up_file(database: Path, tell: Callable[[Progress], None]) -> Iterator[Chunk | Finished]:
    """Copy a database that nobody has open, and give the copy out. No platform can start meanwhile.

    Args:
        database: the file.
        tell: hears how far it is.

    Raises:
        errors.Error: it is in use, damaged, not ours or of a newer version, or there is no room for the copy.
    """

    def hear(phase: Phase, done: int, total: int) -> None:
        tell(Progress(stage=Stage(phase.value), done=done, total=total))

    lock = FileLock(database)
    lock.acquire()
    target = database.with_name(f"{database.name}.copy-{secrets.token_hex(4)}")
    try:
        copy = Copy(database, target, None, hear)
        copy.copy()
        copy.check()
        snapshot = copy.result()
        digest = hashlib.sha256()
        with target.open("rb") as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
                yield Chunk(data=data)
        yield finished(snapshot, digest.hexdigest())
    finally:
        remove_gently(target)
        lock.release()
