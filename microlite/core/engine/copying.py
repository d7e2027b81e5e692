"""Copies of the database that an engine makes while it works."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.engine.copy import Copy, Phase, Snapshot, Tell, remove_gently

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

_SUFFIX: Final = ".copy-"


class Copies:
    """Makes copies, one at a time, each in a thread of its own beside the database.

    Args:
        path: the database.
        vfs: the SQLite VFS to read with; none for the usual one.
        hold: keeps the writer from beginning the write-ahead log anew for as long as the context lasts.
    """

    def __init__(
        self, path: Path, vfs: str | None, hold: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._hold = hold
        self._under_way: Copy | None = None
        self._ended = asyncio.Event()

    def clean(self) -> None:
        """Remove what a process that was killed has left. Only for who holds the database's lock."""
        for leftover in self._path.parent.glob(f"{self._path.name}{_SUFFIX}*"):
            leftover.unlink(missing_ok=True)

    @contextlib.asynccontextmanager
    async def make(self, tell: Tell) -> AsyncIterator[Snapshot]:
        """Copy and check, and keep the copy for as long as the context lasts.

        Args:
            tell: called on the event loop.

        Raises:
            errors.Conflict: another one is being made.
            errors.InsufficientStorage: there is not enough room for it.
            errors.ServiceUnavailable: writes came faster than it, or the engine closes.
            errors.InternalServerError: the database is damaged.
        """
        if self._under_way is not None:
            raise errors.Conflict("a copy of the database is being made already: try again when it is done")
        loop = asyncio.get_running_loop()
        target = self._path.with_name(f"{self._path.name}{_SUFFIX}{secrets.token_hex(4)}")

        def hear(phase: Phase, done: int, total: int) -> None:
            loop.call_soon_threadsafe(tell, phase, done, total)

        copy = Copy(self._path, target, self._vfs, hear)
        try:
            self._under_way = copy
            self._ended.clear()
            try:
                with self._hold():
                    await _to_its_end(copy, copy.copy)
                await _to_its_end(copy, copy.check)
            finally:
                self._under_way = None
                self._ended.set()
            yield copy.result()
        finally:
            # In a thread, and to its end: a file system takes its time to free that much.
            await asyncio.shield(asyncio.to_thread(remove_gently, target))

    async def close(self) -> None:
        """Give up what is under way, and wait until it has ended."""
        if self._under_way is not None:
            self._under_way.give_up()
            await self._ended.wait()


async def _to_its_end(copy: Copy, work: Callable[[], None]) -> None:
    """Run a part in a thread; who is cancelled gives it up, and leaves when it has ended."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        copy.give_up()
        await asyncio.wait([running])
        running.exception()
        raise
