"""Who watches what, and how each gets its changes: woken in memory after a commit, never by polling."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from microlite.core import errors
from microlite.core.engine.api import Change, ChangeKind, Put, Resync
from microlite.core.engine.ranges import key_range
from microlite.core.engine.reader import Point

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Delete
    from microlite.core.engine.threads import ReaderThreads
    from microlite.core.engine.upkeep import Expired

QUEUE_CHANGES: Final = 1_024
"""Changes that a watch holds for a reader that is slow; one more, and it gets a `Resync` in their place."""

QUEUE_BYTES: Final = 4 << 20
"""Bytes of values in that queue, likewise."""

PART_RECORDS: Final = 1_000
"""Records in one part of a `Resync`, and changes read from the log at once."""

PART_BYTES: Final = 1 << 20
"""Bytes of values there, likewise, but for one record at least."""


class Hub:
    """All watches of an engine, on the event loop.

    Args:
        threads: where watches read what they have missed.
        revision: where the database stands.
    """

    def __init__(self, threads: ReaderThreads, clock: Clock, revision: int) -> None:
        self.threads = threads
        self.clock = clock
        self.revision = revision
        self.closed = False
        self._watchers: dict[tuple[str, str], set[Watcher]] = {}

    def add(self, watcher: Watcher) -> None:
        """Offer it changes from now on."""
        self._watchers.setdefault(watcher.place, set()).add(watcher)

    def discard(self, watcher: Watcher) -> None:
        """Offer it no more; one that is not there is no error."""
        watchers = self._watchers.get(watcher.place)
        if watchers is not None:
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[watcher.place]

    def publish(self, namespace: str, revision: int, operations: Sequence[Put | Delete]) -> None:
        """Tell who watches of what a commit changed."""
        if not self._watchers:
            return
        for operation in operations:
            watchers = self._watchers.get((namespace, operation.bucket))
            if not watchers:
                continue
            if isinstance(operation, Put):
                change = Change(ChangeKind.PUT, operation.key, revision, operation.value, operation.expires_at)
            else:
                change = Change(ChangeKind.DELETE, operation.key, revision)
            for watcher in watchers:
                watcher.offer(change)

    def expire(self, revision: int, expired: Expired) -> None:
        """Tell who watches of what went by itself."""
        for watcher in self._watchers.get((expired.namespace, expired.bucket), ()):
            for key in expired.keys:
                watcher.offer(Change(ChangeKind.EXPIRE, key, revision))

    def end(self, namespace: str) -> None:
        """End the watches of a namespace that is gone, when they have handed out what they have."""
        for place in [place for place in self._watchers if place[0] == namespace]:
            for watcher in self._watchers.pop(place):
                watcher.over = True
                watcher.wake()

    def close(self) -> None:
        """End all watches: their readers get `errors.ServiceUnavailable`."""
        self.closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()
        self._watchers.clear()


class _Stage(enum.Enum):
    """Where a watch gets its next changes from."""

    LIVE = "from the queue that commits fill"
    BEHIND = "from the log of changes, behind a position"
    LOST = "from the records themselves"


class Watcher:
    """One watch; see `api.Watch`. What it has missed it reads only when its reader asks, in bounded parts."""

    def __init__(self, hub: Hub, namespace: str, bucket: str, prefix: str, from_revision: int | None) -> None:
        self.place = (namespace, bucket)
        self.over = False
        """Whether nothing will follow, as its namespace is gone."""
        self._hub = hub
        self.revision = 0
        """See `api.Watch`."""
        self._prefix = prefix
        self._from_revision = from_revision
        self._stage = _Stage.LIVE
        self._entered = False
        self._waiter: asyncio.Future[None] | None = None
        self._ready: deque[Change | Resync] = deque()
        """Read from the disk, to be given out before anything else."""
        self._queue: deque[Change] = deque()
        self._queue_bytes = 0
        self._queueing = False
        self._overflows = 0
        self._point = Point(0)
        """In the log of changes: all up to here has been read."""
        self._part_after = ""
        self._part_revision = 0

    async def __aenter__(self) -> Self:
        """See `api.Watch`."""
        if self._hub.closed:
            raise errors.ServiceUnavailable("the engine is closed")
        start = self._from_revision
        self.revision = self._hub.revision if start is None else start
        if start is None:
            self._begin_queue()
        elif start == 0:
            self._lose()
        else:
            self._fall_behind(start)
        self._entered = True
        self._hub.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `api.Watch`."""
        self._entered = False
        self._hub.discard(self)
        self._end_queue()
        self._ready.clear()
        self.wake()

    def __aiter__(self) -> Self:
        """See `api.Watch`."""
        return self

    async def __anext__(self) -> Change | Resync:
        """See `api.Watch`."""
        while self._entered:
            if self._hub.closed:
                raise errors.ServiceUnavailable("the engine is closing: watch again from where this one was")
            if self._ready:
                return self._hand_out(self._ready)
            if self._stage is _Stage.BEHIND:
                await self._read_log()
            elif self._stage is _Stage.LOST:
                await self._read_state()
            elif self._queue:
                self._queue_bytes -= len(self._queue[0].value)
                return self._hand_out(self._queue)
            elif self.over:
                raise errors.ServiceUnavailable(f'the namespace "{self.place[0]}" was deleted')
            else:
                await self._wait()
        raise StopAsyncIteration

    def offer(self, change: Change) -> None:
        """Take a change that was committed, if it is one of ours."""
        if not self._queueing or not change.key.startswith(self._prefix):
            return
        self._queue.append(change)
        self._queue_bytes += len(change.value)
        if len(self._queue) > QUEUE_CHANGES or self._queue_bytes > QUEUE_BYTES:
            self._overflows += 1
            self._lose()
        self.wake()

    def wake(self) -> None:
        """Have the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hand_out(self, source: deque[Change] | deque[Change | Resync]) -> Change | Resync:
        item = source.popleft()
        if isinstance(item, Resync):
            self.revision = item.revision if item.last else 0
        elif (source and source[0].revision == item.revision) or (not source and self._stage is _Stage.BEHIND):
            # More of the same commit follows, or may follow on the next page of the log.
            self.revision = item.revision - 1
        else:
            self.revision = item.revision
        return item

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _read_log(self) -> None:
        # What is committed during the read gathers in the queue: should this be the last page, the queue goes on from it.
        self._begin_queue()
        overflows = self._overflows
        within = key_range(self._prefix)
        page = await self._hub.threads.run(
            lambda reader: reader.history(*self.place, within, self._point, limit=PART_RECORDS, most_bytes=PART_BYTES)
        )
        if self._overflows != overflows:
            return
        if page.lost:
            self._lose()
            return
        self._point = page.point
        self._ready.extend(page.changes)
        if page.complete:
            self._go_live(page.revision)
        else:
            self._end_queue()

    async def _read_state(self) -> None:
        first = not self._part_after
        self._begin_queue()
        overflows = self._overflows
        within, now = key_range(self._prefix, self._part_after), self._hub.clock.now()
        page = await self._hub.threads.run(
            lambda reader: reader.state(*self.place, within, now, limit=PART_RECORDS, most_bytes=PART_BYTES)
        )
        if self._overflows != overflows:
            return
        if first:
            self._part_revision = page.revision
        self._ready.append(Resync(self._part_revision, page.records, first=first, last=page.cursor is None))
        if page.cursor is not None:
            self._part_after = page.cursor
            self._end_queue()
        elif first:
            self._go_live(page.revision)
        else:
            # The parts are of different moments: what changed since that of the first one follows from the log.
            self._fall_behind(self._part_revision)

    def _go_live(self, revision: int) -> None:
        """Go on from the queue, without what was read up to a revision."""
        self._stage = _Stage.LIVE
        while self._queue and self._queue[0].revision <= revision:
            self._queue_bytes -= len(self._queue.popleft().value)

    def _fall_behind(self, revision: int) -> None:
        """Go on from the log, behind a revision."""
        self._stage = _Stage.BEHIND
        self._point = Point(revision)
        self._end_queue()

    def _lose(self) -> None:
        """Go on from the records themselves."""
        self._stage = _Stage.LOST
        self._part_after = ""
        self._end_queue()

    def _begin_queue(self) -> None:
        self._end_queue()
        self._queueing = True

    def _end_queue(self) -> None:
        self._queueing = False
        self._queue.clear()
        self._queue_bytes = 0
