"""A backup as a stream: how far it is, then its bytes, then what it was."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import TYPE_CHECKING, Final, Protocol

from microlite.core.backup.api import Chunk, Finished, Progress, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from microlite.core.engine.copy import Phase, Snapshot, Tell
    from microlite.core.engine.integrity import Health

CHUNK_BYTES: Final = 128 << 10
"""Bytes of one chunk: half of what may be on the way to a reader who has not taken any yet."""

_READ_BYTES: Final = 1 << 20


class Source(Protocol):
    """What can be backed up: an engine on a file."""

    def snapshot(self, tell: Tell) -> AbstractAsyncContextManager[Snapshot]:
        """A whole and checked copy as of now."""
        ...

    async def health(self, *, full: bool = False) -> Health:
        """Look through all of it."""
        ...


async def make_backup(source: Source) -> AsyncGenerator[Progress | Chunk | Finished]:
    """Make a backup and give it out. What it lies in meanwhile is gone when the iterator ends or is closed.

    Raises:
        errors.Error: what the engine says; see `Copies.make`.
    """
    latest: Progress | None = None
    moved = asyncio.Event()

    def tell(phase: Phase, done: int, total: int) -> None:
        nonlocal latest
        latest = Progress(stage=Stage(phase.value), done=done, total=total)
        moved.set()

    context = source.snapshot(tell)
    making = asyncio.create_task(context.__aenter__(), name="microlite: make a backup")
    making.add_done_callback(lambda _: moved.set())
    try:
        while not making.done():
            await moved.wait()
            moved.clear()
            if latest is not None:
                yield latest
                latest = None
    except BaseException:
        if making.cancel():
            await asyncio.wait([making])
        elif making.exception() is None:
            await context.__aexit__(None, None, None)
        raise
    snapshot = await making
    try:
        digest = hashlib.sha256()
        async with contextlib.aclosing(read_file(snapshot.path)) as chunks:
            async for data in chunks:
                digest.update(data)
                yield Chunk(data=data)
        yield finished(snapshot, digest.hexdigest())
    finally:
        await context.__aexit__(None, None, None)


def finished(snapshot: Snapshot, digest: str) -> Finished:
    """What a backup was: that of a copy, with the digest of its bytes."""
    return Finished(
        size=snapshot.size,
        digest=digest,
        version=snapshot.version,
        revision=snapshot.revision,
        log_growth=snapshot.log_growth,
        seconds=snapshot.seconds,
    )


async def read_file(path: Path) -> AsyncGenerator[bytes]:
    """The bytes of a file in chunks, read in a thread."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, _READ_BYTES):
            for start in range(0, len(block), CHUNK_BYTES):
                yield block[start : start + CHUNK_BYTES]
    finally:
        file.close()
