"""The threads for reads that may take long."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from microlite.core import errors
from microlite.core.engine.failures import translate
from microlite.core.engine.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.engine.reader import Numbers

THREADS: Final = 2
"""Long reads that can be under way at once."""

T = TypeVar("T")


class ReaderThreads:
    """A few threads with a reader each, for reads that would keep the event loop from its work."""

    def __init__(self, path: str, vfs: str | None, numbers: Numbers) -> None:
        self._path = path
        self._idle = deque(Reader(path, vfs, numbers) for _ in range(THREADS))
        self._under_way: set[_Read] = set()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="microlite-reader")

    async def run(self, work: Callable[[Reader], T]) -> T:
        """Run a read in a thread. When the caller is cancelled, the read is interrupted."""
        read = _Read()

        def in_thread() -> T:
            reader = self._idle.popleft()
            try:
                read.begin(reader)
                return work(reader)
            except apsw.Error as error:
                raise translate(error, self._path) from error
            finally:
                read.end()
                self._idle.append(reader)

        self._under_way.add(read)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, in_thread)
        except asyncio.CancelledError:
            read.give_up()
            raise
        except errors.Canceled as error:
            # Nobody cancelled the caller, so it was `close` that gave the read up.
            raise errors.ServiceUnavailable("the engine is closing") from error
        finally:
            self._under_way.discard(read)

    def close(self) -> None:
        """Interrupt what is under way, end the threads and close their connections; a second time does nothing."""
        for read in tuple(self._under_way):
            read.give_up()
        self._executor.shutdown(wait=True)
        for reader in self._idle:
            reader.close()


class _Read:
    """Ties a caller to the reader that works for it, so that giving up never interrupts another caller's read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._given_up = False

    def begin(self, reader: Reader) -> None:
        with self._lock:
            if self._given_up:
                raise errors.Canceled("the read was given up")
            self._reader = reader

    def end(self) -> None:
        with self._lock:
            self._reader = None

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._reader is not None:
                self._reader.interrupt()
