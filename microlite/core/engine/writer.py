"""The one thread that writes: it takes everything that waits and commits it together."""

from __future__ import annotations

import asyncio
import enum
import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Put
from microlite.core.engine.checkpoint import Checkpointer
from microlite.core.engine.group import Job
from microlite.core.engine.ledger import Ledger
from microlite.core.engine.upkeep import Slice, Upkeep

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Batch, Committed
    from microlite.core.engine.streams import Trim
    from microlite.core.engine.usage import Totals

GROUP_OPERATIONS: Final = 2_000
"""Operations after which a group takes no further job, so that nobody waits long for others' work."""

GROUP_BYTES: Final = 4 << 20
"""Bytes after which a group takes no further job."""

WAITING_BYTES: Final = 64 << 20
"""Bytes in memory for writes that wait; who comes then is told to come again."""

_OPERATION_BYTES: Final = 256  # what an operation weighs besides its value, about
_MOST_PATIENCE: Final = 1.0  # seconds after which upkeep gets a slice although writes wait
_LEAST_PATIENCE: Final = (
    0.05  # the same when a lot has gathered, so that a heavy load cannot let the file grow for ever
)

_logger = logging.getLogger("microlite.engine")


class _Signal(enum.Enum):
    UPKEEP = enum.auto()
    STOP = enum.auto()


class _Drop(msgspec.Struct, frozen=True):
    namespace: str


class Settled(msgspec.Struct, frozen=True):
    """What the writer hands to the event loop after each group or slice, in the order of the commits.

    Attributes:
        revision: the last one that is on disk.
        jobs: each with its revision or error; their futures are still open.
        next_expiry: when the first of the records that the jobs put expires, if one does.
        upkeep: what a slice of upkeep did; with neither jobs nor this, upkeep failed and wants to be tried again.
    """

    revision: int
    jobs: list[Job] = []
    next_expiry: float | None = None
    upkeep: Slice | None = None


class Writer:
    """Owns the writer thread, and through it the connection that writes.

    Writes of one turn of the event loop go to the thread together at its end; while the thread waits for the disk,
    further ones gather and make the next group.

    Args:
        settle: called on the event loop for each group and slice.
    """

    def __init__(self, path: str, clock: Clock, vfs: str | None, settle: Callable[[Settled], None]) -> None:
        self._checkpointer = Checkpointer(path, vfs)
        self._ledger = Ledger(path, clock, vfs, self._checkpointer.note)
        self._upkeep = Upkeep(self._ledger, clock)
        self._settle = settle
        self._inbox: queue.SimpleQueue[list[Job] | _Signal | _Drop] = queue.SimpleQueue()
        self._turn: list[Job] = []
        self._waiting_bytes = 0
        self._last_upkeep = 0.0
        self._patience = _MOST_PATIENCE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None

    async def start(self) -> int:
        """Open the database in the thread; return the revision at which it stands.

        Raises:
            errors.Error: why it cannot be opened; no thread is left then.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[int] = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, opened, self._ended), name="microlite-writer", daemon=True
        )
        self._thread.start()
        try:
            revision = await asyncio.shield(opened)
        except BaseException:
            await self.close()
            raise
        self._checkpointer.start()
        return revision

    def submit(self, batch: Batch, size: int, trim: Trim | None = None) -> asyncio.Future[Committed]:
        """Put a batch in line; the future has what became of it when it is on disk.

        Args:
            size: bytes of its values.
            trim: what to trim in its namespace; the batch is empty then.

        Raises:
            errors.ServiceUnavailable: too much waits already.
        """
        assert self._loop is not None
        size += _OPERATION_BYTES * (1 + len(batch.operations))
        if self._waiting_bytes + size > WAITING_BYTES:
            raise errors.ServiceUnavailable("more writes wait for the disk than it can take: try again in a moment")
        self._waiting_bytes += size
        future: asyncio.Future[Committed] = self._loop.create_future()
        if not self._turn:
            self._loop.call_soon(self._send_turn)
        self._turn.append(Job(batch, size, future, trim))
        return future

    def hold_log(self) -> contextlib.AbstractContextManager[None]:
        """Let the write-ahead log grow for as long as the context lasts; see `Checkpointer.hold`."""
        return self._checkpointer.hold()

    @property
    def totals(self) -> Totals:
        """What each namespace holds, and its quotas."""
        return self._ledger.totals

    def drop(self, namespace: str) -> None:
        """Have a namespace removed; a slice says when it is done. Nothing that is to be written to it may wait."""
        self._inbox.put(_Drop(namespace))

    def look_after(self) -> None:
        """Have upkeep look for work as soon as nobody waits."""
        self._inbox.put(_Signal.UPKEEP)

    async def close(self) -> None:
        """Commit what waits, then end the thread and close its connection; a second time does nothing."""
        if self._thread is None or self._ended is None:
            return
        self._send_turn()
        self._inbox.put(_Signal.STOP)
        await asyncio.shield(self._ended)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _send_turn(self) -> None:
        if self._turn:
            jobs, self._turn = self._turn, []
            self._inbox.put(jobs)

    def _hand_over(self, settled: Settled) -> None:
        for job in settled.jobs:
            self._waiting_bytes -= job.size
        self._settle(settled)

    # From here on: in the thread.

    def _run(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[int], ended: asyncio.Future[None]) -> None:
        try:
            try:
                self._ledger.open()
            except BaseException as error:  # noqa: BLE001 - carried to who waits for the start
                _tell(loop, _fail, opened, error)
                return
            if _tell(loop, _succeed, opened, self._ledger.revision):
                self._work(loop)
        finally:
            self._checkpointer.close()
            self._ledger.close()
            _tell(loop, _succeed, ended, None)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting: deque[Job] = deque()
        stopping = False
        while True:
            stopping = self._take(waiting, block=not (waiting or stopping or self._upkeep.due)) or stopping
            if self._upkeep.due and not stopping and (not waiting or self._upkeep_is_late()):
                self._last_upkeep = time.monotonic()
                settled = self._run_slice()
                self._adapt_patience()
            elif waiting:
                settled = self._run_group(waiting)
            elif stopping:
                return
            else:
                continue
            if not _tell(loop, self._hand_over, settled):
                return
            if self._ledger.connection is not None:
                self._checkpointer.bound(self._ledger.connection)

    def _take(self, waiting: deque[Job], *, block: bool) -> bool:
        """Move what is in the inbox into `waiting`; return whether to stop."""
        try:
            item = self._inbox.get(block)
            while True:
                if isinstance(item, list):
                    waiting.extend(item)
                elif item is _Signal.STOP:
                    return True
                elif isinstance(item, _Drop):
                    self._upkeep.drop(item.namespace)
                else:
                    self._upkeep.due = True
                item = self._inbox.get_nowait()
        except queue.Empty:
            return False

    def _upkeep_is_late(self) -> bool:
        return time.monotonic() - self._last_upkeep > self._patience

    def _adapt_patience(self) -> None:
        """The longer writes leave no time for upkeep, the more often it takes a slice of it."""
        self._patience = max(_LEAST_PATIENCE, self._patience / 2) if self._upkeep.due else _MOST_PATIENCE

    def _run_group(self, waiting: deque[Job]) -> Settled:
        jobs: list[Job] = []
        operations = size = 0
        while waiting and operations < GROUP_OPERATIONS and size < GROUP_BYTES:
            job = waiting.popleft()
            jobs.append(job)
            operations += len(job.batch.operations)
            size += job.size
        try:
            self._ledger.commit(jobs)
        except Exception as error:
            _logger.exception("a group of writes failed in an unforeseen way")
            self._ledger.close()
            for job in jobs:
                job.error = errors.OutcomeUnknown(f"the engine failed while writing, see its log: {error!r}")
            return Settled(self._ledger.revision, jobs)
        if any(job.trim is not None for job in jobs):
            self._upkeep.due = True
        expiries = [
            operation.expires_at
            for job in jobs
            for operation in job.changed
            if isinstance(operation, Put) and operation.expires_at is not None
        ]
        return Settled(self._ledger.revision, jobs, min(expiries, default=None))

    def _run_slice(self) -> Settled:
        try:
            return Settled(self._ledger.revision, upkeep=self._upkeep.run_slice())
        except errors.Error as error:
            _logger.warning("the upkeep of the database was put off: %s", error)
        except Exception:
            _logger.exception("the upkeep of the database failed in an unforeseen way")
            self._upkeep.due = False
            self._ledger.close()
        return Settled(self._ledger.revision)


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> bool:
    """Call back on the loop; False when it was closed before its engine, so that nobody is left to tell."""
    try:
        loop.call_soon_threadsafe(callback, *args)
    except RuntimeError:
        _logger.warning("the event loop ended before its engine was closed")
        return False
    return True


def _succeed(future: asyncio.Future[object], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[int], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
