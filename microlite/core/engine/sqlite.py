"""The engine on one SQLite file: a writer thread, reads on the event loop or in threads, and timers for what expires."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import apsw

from microlite.core import errors
from microlite.core.engine import limits, stream_reads
from microlite.core.engine.api import MAX_PAGE_BYTES, Append, Batch, Entry
from microlite.core.engine.copying import Copies
from microlite.core.engine.creation import create
from microlite.core.engine.failures import translate
from microlite.core.engine.lock import FileLock
from microlite.core.engine.pubsub import PubSub
from microlite.core.engine.ranges import key_range
from microlite.core.engine.reader import Numbers, Reader
from microlite.core.engine.streams import Trim
from microlite.core.engine.tails import Follower, Tails
from microlite.core.engine.threads import ReaderThreads
from microlite.core.engine.timetable import Timetable
from microlite.core.engine.watches import Hub, Watcher
from microlite.core.engine.writer import Settled, Writer

if TYPE_CHECKING:
    import contextlib
    import os
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Committed, Entries, Page, Quota, Record, StreamState, Usage
    from microlite.core.engine.copy import Snapshot, Tell
    from microlite.core.engine.integrity import Health

INLINE_RECORDS: Final = 128
"""Reads of up to so many records happen on the event loop, where one costs less than the way to a thread and back."""

INLINE_BYTES: Final = 1 << 20
"""Values of a page that is read on the event loop; a longer one ends there, with a cursor."""

INLINE_COUNT: Final = 2_000
"""Records that are counted on the event loop, before a thread has to do it."""

_EVERYTHING: Final = (1 << 63) - 1
_FEW: Final = 8  # entries of a page whose reader hardly goes on to further ones

T = TypeVar("T")


class SQLiteEngine:
    """All verbs of `api.Engine` over one file; `async with` opens and closes it.

    A commit is acknowledged when the disk has it. Point reads and short scans run on the event loop and take
    microseconds; what may take long runs in a thread. The file and its companions are for their owner only.

    Args:
        path: the database, made if there is none; its folder exists.
        clock: says what is expired, and wakes the engine for it.
        vfs: a SQLite VFS to use in place of the usual one; tests inject faults through it.

    Raises:
        lock.Held: on entering: another process has the file open; the error names it.
        errors.PreconditionFailed: on entering: the file is newer than this program, or no database of ours.
        errors.ServiceUnavailable: on entering: the file cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock, *, vfs: str | None = None) -> None:
        self.path = Path(path).absolute()
        self._clock = clock
        self._vfs = vfs
        text = str(self.path)
        numbers = Numbers()
        self._lock = FileLock(self.path)
        self._writer = Writer(text, clock, vfs, self._settle)
        self._reader = Reader(text, vfs, numbers)
        self._threads = ReaderThreads(text, vfs, numbers)
        self._timetable = Timetable(clock, self._writer.look_after)
        self._hub = Hub(self._threads, clock, 0)
        pubsub = self._pubsub = PubSub()
        self.publish, self.subscribe = pubsub.publish, pubsub.subscribe
        self._tails = Tails(self._last_position)
        self._copies = Copies(self.path, vfs, self._writer.hold_log)
        self._dropping: dict[str, asyncio.Future[None]] = {}
        self._opened = False

    async def __aenter__(self) -> Self:
        """Take the lock, bring the database up to date, and begin to serve."""
        self._lock.acquire()
        try:
            create(self.path, self._vfs)
            self._copies.clean()
            self._hub.revision = await self._writer.start()
            try:
                self._reader.open()
            except apsw.Error as error:
                raise translate(error, str(self.path)) from error
        except BaseException:
            await self.close()
            raise
        self._opened = True
        # What expired, and what the log may forget, while nobody was running.
        self._writer.look_after()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `close`."""
        await self.close()

    async def close(self) -> None:
        """Commit what waits, end watches, tails and long reads, close the file. A second time does nothing."""
        self._opened = False
        for dropping in self._dropping.values():
            if not dropping.done():
                dropping.set_exception(errors.ServiceUnavailable("the engine is closed"))
                dropping.exception()  # nobody need wait for it
        self._timetable.close()
        self._hub.close()
        self._pubsub.close()
        self._tails.close()
        await self._copies.close()
        self._threads.close()
        # The writer's connection goes last, since the last one to close tidies up the log.
        self._reader.close()
        await self._writer.close()
        self._lock.release()

    async def get(self, namespace: str, bucket: str, key: str) -> Record | None:
        """See `api.Engine`."""
        limits.check_name("namespace", namespace)
        limits.check_name("bucket", bucket)
        limits.check_key(key)
        self._check_open()
        try:
            return self._reader.get(namespace, bucket, key, self._clock.now())
        except apsw.Error as error:
            raise translate(error, str(self.path)) from error

    async def get_many(self, namespace: str, bucket: str, keys: Sequence[str]) -> tuple[Record | None, ...]:
        """See `api.Engine`."""
        limits.check_name("namespace", namespace)
        limits.check_name("bucket", bucket)
        limits.check_keys(keys)
        now = self._clock.now()
        return await self._read(
            lambda reader: reader.get_many(namespace, bucket, keys, now), inline=len(keys) <= INLINE_RECORDS
        )

    async def scan(
        self,
        namespace: str,
        bucket: str,
        *,
        prefix: str = "",
        suffix: str = "",
        after: str = "",
        limit: int = 100,
        reverse: bool = False,
        keys_only: bool = False,
    ) -> Page:
        """See `api.Engine`."""
        self._check_range(namespace, bucket, prefix, suffix)
        limits.check_part("cursor", after)
        limits.check_limit(limit)
        within = key_range(prefix, after, reverse=reverse)
        now, revision = self._clock.now(), self._hub.revision
        inline = limit <= INLINE_RECORDS and not suffix

        def scan(reader: Reader) -> Page:
            return reader.scan(
                namespace,
                bucket,
                within,
                now,
                suffix=suffix,
                limit=limit,
                reverse=reverse,
                keys_only=keys_only,
                revision=revision,
                most_bytes=INLINE_BYTES if inline else MAX_PAGE_BYTES,
            )

        page = await self._read(scan, inline=inline)
        if inline and page.cursor is not None:
            await _let_others()
        return page

    async def count(self, namespace: str, bucket: str, *, prefix: str = "", suffix: str = "") -> int:
        """See `api.Engine`."""
        self._check_range(namespace, bucket, prefix, suffix)
        within, now = key_range(prefix), self._clock.now()

        def count(most: int) -> Callable[[Reader], int]:
            return lambda reader: reader.count(namespace, bucket, within, now, suffix=suffix, most=most)

        if not suffix:
            few = self._inline(count(INLINE_COUNT + 1))
            if few <= INLINE_COUNT:
                return few
        return await self._read(count(_EVERYTHING), inline=False)

    async def buckets(self, namespace: str) -> tuple[str, ...]:
        """See `api.Engine`."""
        limits.check_name("namespace", namespace)
        now = self._clock.now()
        return await self._read(lambda reader: reader.buckets(namespace, now), inline=False)

    async def commit(self, batch: Batch) -> Committed:
        """See `api.Engine`."""
        size = limits.check_batch(batch)
        self._check_open()
        if batch.namespace in self._dropping:
            raise errors.NotFound(f'the namespace "{batch.namespace}" is being deleted')
        return await self._writer.submit(batch, size)

    def usage(self, namespace: str) -> Usage:
        """See `api.Engine`."""
        return self._writer.totals.of(namespace)

    def used_namespaces(self) -> tuple[str, ...]:
        """See `api.Engine`."""
        return self._writer.totals.used()

    def set_quota(self, namespace: str, quota: Quota) -> None:
        """See `api.Engine`."""
        quotas = self._writer.totals.quotas
        if quota.records is None and quota.bytes is None:
            quotas.pop(namespace, None)
        else:
            quotas[namespace] = quota

    async def drop_namespace(self, namespace: str) -> None:
        """See `api.Engine`."""
        limits.check_name("namespace", namespace)
        self._check_open()
        done = self._dropping.get(namespace)
        if done is None:
            done = self._dropping[namespace] = asyncio.get_running_loop().create_future()
            # Behind all that was asked for before; nothing more of it comes in.
            self._writer.submit(Batch(namespace, ()), 0).add_done_callback(lambda _: self._writer.drop(namespace))
        await asyncio.shield(done)

    def watch(self, namespace: str, bucket: str, *, prefix: str = "", from_revision: int | None = None) -> Watcher:
        """See `api.Engine`."""
        self._check_range(namespace, bucket, prefix, "")
        limits.check_revision(from_revision)
        return Watcher(self._hub, namespace, bucket, prefix, from_revision)

    async def read(
        self, namespace: str, stream: str, *, after: int = 0, limit: int = 100, reverse: bool = False
    ) -> Entries:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        limits.check_position(after)
        limits.check_limit(limit)
        inline = limit <= INLINE_RECORDS
        most_bytes = INLINE_BYTES if inline else MAX_PAGE_BYTES

        def read(reader: Reader) -> Entries:
            return stream_reads.read(
                reader, namespace, stream, after=after, limit=limit, reverse=reverse, most_bytes=most_bytes
            )

        page = await self._read(read, inline=inline)
        if inline and len(page.entries) > _FEW:
            await _let_others()
        return page

    async def find_position(self, namespace: str, stream: str, at: float) -> int:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        limits.check_time(at)
        return self._inline(lambda reader: stream_reads.find_position(reader, namespace, stream, at))

    async def find_size_position(self, namespace: str, stream: str, size: int) -> int:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        limits.check_size(size)
        return self._inline(lambda reader: stream_reads.find_size_position(reader, namespace, stream, size))

    async def stream_state(self, namespace: str, stream: str) -> StreamState:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        return self._inline(lambda reader: stream_reads.state(reader, namespace, stream))

    async def backlog(self, namespace: str, stream: str, after: int) -> int:
        """See `api.StreamVerbs`."""
        limits.check_position(after)
        state = await self.stream_state(namespace, stream)
        return max(0, state.last - max(after, state.first - 1))

    async def streams(self, namespace: str) -> tuple[str, ...]:
        """See `api.StreamVerbs`."""
        limits.check_name("namespace", namespace)
        return await self._read(lambda reader: stream_reads.streams(reader, namespace), inline=False)

    async def trim(self, namespace: str, stream: str, through: int) -> None:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        limits.check_position(through)
        await self._trim(namespace, Trim(stream, through))

    async def drop_stream(self, namespace: str, stream: str) -> None:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        await self._trim(namespace, Trim(stream, 0, drop=True))

    def tail(
        self, namespace: str, stream: str, on_entries: Callable[[int, Sequence[Entry]], None] | None = None
    ) -> Follower:
        """See `api.StreamVerbs`."""
        self._check_stream(namespace, stream)
        return Follower(self._tails, namespace, stream, on_entries)

    def snapshot(self, tell: Tell) -> contextlib.AbstractAsyncContextManager[Snapshot]:
        """A whole and checked copy of the database as of now; see `Copies.make`. Reads and writes go on meanwhile."""
        self._check_open()
        return self._copies.make(tell)

    async def health(self, *, full: bool = False) -> Health:
        """Look through the whole file, in a thread, while reads and writes go on.

        Args:
            full: whether to compare indexes with their tables as well, which takes several times as long.
        """
        with self._writer.hold_log():
            return await self._read(lambda reader: reader.health(full=full), inline=False)

    async def _trim(self, namespace: str, trim: Trim) -> None:
        self._check_open()
        await self._writer.submit(Batch(namespace, ()), 0, trim)

    def _last_position(self, namespace: str, stream: str) -> int:
        return self._inline(lambda reader: stream_reads.state(reader, namespace, stream)).last

    def _settle(self, settled: Settled) -> None:
        """Wake who waits for a group or watches what it changed; before them, reads see it."""
        self._hub.revision = settled.revision
        for job in settled.jobs:
            if job.error is None and job.committed is not None:
                self._hub.publish(job.batch.namespace, job.committed.revision, job.changed)
                if job.appended is not None:
                    self._tell_tails(job.batch, job.appended, job.committed.positions)
            if job.future.done():
                continue  # its caller was cancelled
            if job.error is not None:
                job.future.set_exception(job.error)
            elif job.committed is not None:
                job.future.set_result(job.committed)
        if settled.upkeep is not None:
            for expired in settled.upkeep.expired:
                self._hub.expire(settled.upkeep.revision, expired)
            if settled.upkeep.dropped:
                self._end_dropping(settled.upkeep.dropped)
        self._timetable.update(settled)

    def _tell_tails(self, batch: Batch, appended: Mapping[str, float], positions: tuple[int, ...]) -> None:
        namespace = batch.namespace
        for stream, at in appended.items():
            if self._tails.has(namespace, stream):
                appends = [operation for operation in batch.operations if type(operation) is Append]
                entries = [
                    Entry(position, at, append.value)
                    for append, position in zip(appends, positions, strict=True)
                    if append.stream == stream
                ]
                self._tails.publish(namespace, stream, entries)

    def _end_dropping(self, namespace: str) -> None:
        """Nothing of a namespace is left: who still follows it must not see what comes under its name later."""
        for followed in (self._hub, self._tails, self._pubsub):
            followed.end(namespace)
        self._dropping.pop(namespace).set_result(None)

    def _check_open(self) -> None:
        if not self._opened:
            raise errors.ServiceUnavailable("the engine is closed")

    def _check_stream(self, namespace: str, stream: str) -> None:
        limits.check_name("namespace", namespace)
        limits.check_name("stream", stream)

    def _check_range(self, namespace: str, bucket: str, prefix: str, suffix: str) -> None:
        limits.check_name("namespace", namespace)
        limits.check_name("bucket", bucket)
        limits.check_part("prefix", prefix)
        limits.check_part("suffix", suffix)

    def _inline(self, work: Callable[[Reader], T]) -> T:
        self._check_open()
        try:
            return work(self._reader)
        except apsw.Error as error:
            raise translate(error, str(self.path)) from error

    async def _read(self, work: Callable[[Reader], T], *, inline: bool) -> T:
        if inline:
            return self._inline(work)
        self._check_open()
        return await self._threads.run(work)


async def _let_others() -> None:
    """Give the event loop a turn: who reads page after page on it must not keep everybody else from it."""
    await asyncio.sleep(0)
