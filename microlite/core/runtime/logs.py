"""The logs of all services: the newest lines in memory, all of them in rotating files, and readers that follow.

A line costs two appends while it arrives; encoding and writing happen in batches, on a thread. Nothing
grows without bound: not the memory of a log, not what waits for a slow disk, not what waits for a slow reader; what
does not fit is dropped and counted, and the count stands where the lines would have stood.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import deque
from typing import TYPE_CHECKING, Final, Self

import msgspec

from microlite.core.runtime.lines import Line, LineSplitter, Stream
from microlite.core.runtime.log_files import LogFile
from microlite.core.runtime.log_followers import Follower

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from microlite.core.clock import Clock

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LINE_COST: Final = 200  # bytes that a Line and its two places take, its text aside

log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the logs is kept, where.

    Attributes:
        lines: of a service in memory.
        size: bytes of a service in memory; whichever of the two is reached first.
        waiting: bytes of a service that may wait for the disk.
        follow: lines that may wait for one reader.
        file: bytes of a file before the next one is begun.
        files: how many old files of a service are kept besides.
        flush: seconds after which a line is on its way to the disk.
    """

    lines: int = 1000
    size: int = 256 * 1024
    waiting: int = 4 * 1024 * 1024
    follow: int = 2000
    file: int = 4 * 1024 * 1024
    files: int = 2
    flush: float = 0.25


class LogWriter:
    """The bytes that one stream of one node writes, on their way into the log. Comes from `Log.writer`."""

    def __init__(self, log: Log, node: str, stream: Stream) -> None:
        self._log = log
        self._node = node
        self._stream = stream
        self._splitter = LineSplitter()

    def feed(self, data: bytes) -> None:
        """Take a piece, of any size and cut anywhere."""
        self._log.add(self._node, self._stream, self._splitter.feed(data))

    def close(self) -> None:
        """The stream has ended: a last line without a line end counts too. May be called twice."""
        self._log.add(self._node, self._stream, self._splitter.flush())


class Log:
    """The log of one service, across its nodes, restarts and those of the platform. Comes from `Logs.of`."""

    def __init__(self, service: str, file: LogFile, clock: Clock, limits: Limits, dirty: asyncio.Event) -> None:
        self._service = service
        self._file = file
        self._clock = clock
        self._limits = limits
        self._dirty = dirty
        self._ring: deque[Line] = deque()
        self._ring_size = 0
        self._whole = not file.exists()  # the ring holds every line there is
        self._waiting: list[Line] = []
        self._waiting_size = 0
        self._shed = 0
        self._broken = False
        self._followers: set[Follower] = set()
        self._closed = False
        self._disk = asyncio.Lock()

    def writer(self, node: str, stream: Stream) -> LogWriter:
        """Where the bytes of one stream of a node go; the caller closes it at the stream's end."""
        return LogWriter(self, node, stream)

    def say(self, text: str, node: str = "") -> None:
        """A line of the platform itself: why a node restarted, what failed."""
        self.add(node, Stream.PLATFORM, text.splitlines() or [""])

    def remark(self, text: str) -> Line:
        """A line of the platform that is shown to one reader and not kept."""
        return Line(self._clock.now(), self._service, "", Stream.PLATFORM, text)

    def add(self, node: str, stream: Stream, texts: Iterable[str]) -> None:
        """Keep lines that arrived now."""
        now = self._clock.now()
        for text in texts:
            self._keep(Line(now, self._service, node, stream, text))

    async def tail(self, last: int = 15, *, node: str = "") -> list[Line]:
        """The newest lines, oldest of them first; from before a restart of the platform, too.

        Args:
            last: at most so many.
            node: only those of this node.
        """
        return await self._read(None, last=last, since=None, node=node)

    async def since(self, at: float, *, last: int | None = None, node: str = "") -> list[Line]:
        """The lines that arrived at `at` (seconds since the Unix epoch) or later, oldest first; see `tail`."""
        return await self._read(None, last=last, since=at, node=node)

    def recent(self, last: int, *, node: str = "") -> list[Line]:
        """The newest lines that are in memory, at once: for the last words of a node that failed."""
        found = [line for line in self._ring if not node or line.node == node]
        return found[-last:] if last > 0 else []

    def follow(self, *, last: int | None = 0, since: float | None = None, node: str = "") -> Follower:
        """Lines of the past, then each new one as it arrives, without gap or repetition.

        Args:
            last: so many of the past at most; all of them if None.
            since: of the past only what arrived then or later.
            node: only lines of this node.
        """
        return Follower(self, last=last, since=since, node=node, limit=self._limits.follow)

    async def read_and_subscribe(
        self, follower: Follower, *, last: int | None, since: float | None, node: str
    ) -> list[Line]:
        """The past for a follower, who gets every line after it."""
        past = await self._read(follower, last=last, since=since, node=node)
        if self._closed:
            follower.end()
        return past

    def unsubscribe(self, follower: Follower) -> None:
        """The follower is gone. May be called twice."""
        self._followers.discard(follower)

    async def flush(self) -> None:
        """Write what waits. A disk that refuses is said once in the platform's own log, and tried again next time."""
        async with self._disk:
            await self._write_waiting()

    async def delete(self) -> None:
        """Remove all lines and files; followers stay."""
        async with self._disk:
            self._ring.clear()
            self._ring_size = 0
            self._take_waiting()
            await asyncio.to_thread(self._file.delete)
            self._whole = not self._shed

    def close(self) -> None:
        """End all followers, and each that comes later after what it reads of the past."""
        self._closed = True
        for follower in tuple(self._followers):
            follower.end()
        self._followers.clear()

    def _keep(self, line: Line) -> None:
        cost = len(line.text) + _LINE_COST
        self._ring.append(line)
        self._ring_size += cost
        while len(self._ring) > self._limits.lines or (self._ring_size > self._limits.size and len(self._ring) > 1):
            self._ring_size -= len(self._ring.popleft().text) + _LINE_COST
            self._whole = False
        if self._waiting_size + cost > self._limits.waiting:
            self._shed += 1
        else:
            self._waiting.append(line)
            self._waiting_size += cost
            self._dirty.set()
        for follower in self._followers:
            follower.offer(line)

    async def _read(self, follower: Follower | None, *, last: int | None, since: float | None, node: str) -> list[Line]:
        found = self._in_memory(last=last, since=since, node=node)
        if found is not None:
            if follower is not None:
                self._followers.add(follower)
            return found
        async with self._disk:
            if follower is not None:
                # In this turn of the loop the reader joins and what waits is taken; it is written before the file is
                # read. So the file holds each line from before this moment, and the reader gets each one after it.
                self._followers.add(follower)
            try:
                await self._write_waiting()
                return await asyncio.to_thread(self._file.read, last=last, since=since, node=node)
            except BaseException:
                if follower is not None:
                    self._followers.discard(follower)
                raise

    def _in_memory(self, *, last: int | None, since: float | None, node: str) -> list[Line] | None:
        """The answer, if the ring is known to hold all of it."""
        if last is not None and last <= 0:
            return []
        ring = self._ring
        found = [line for line in ring if (not node or line.node == node) and (since is None or line.at >= since)]
        enough = last is not None and len(found) >= last
        reaches_back = since is not None and bool(ring) and ring[0].at < since
        if not (enough or reaches_back or self._whole or self._broken):
            return None
        return found if last is None else found[-last:]

    def _take_waiting(self) -> Sequence[Line]:
        batch, self._waiting, self._waiting_size = self._waiting, [], 0
        if self._shed:
            batch.append(
                self.remark(
                    f"… {self._shed} lines are not in this file: the disk was too slow for them, or refused them"
                )
            )
            self._shed = 0
        return batch

    async def _write_waiting(self) -> None:
        batch = self._take_waiting()
        if not batch:
            return
        writing = asyncio.create_task(asyncio.to_thread(self._file.append, batch), name=f"log of {self._service}")
        try:
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # The thread cannot be called off, and two of them must not write one file: wait for it all the same.
                await asyncio.wait((writing,))
                raise
        except OSError as error:
            self._whole = False
            self._shed += len(batch)
            if not self._broken:
                log.error("the log of %s cannot be written: %s", self._service, error)
            self._broken = True
        else:
            self._broken = False


class Logs:
    """All logs, and the one task that brings them to the disk.

    Entered with `async with`; leaving it writes what waits and ends all followers.

    Args:
        folder: `<home>/logs`; a log is `<folder>/<namespace>/<service>.log`.
        clock: stamps the lines.
        limits: how much is kept.
    """

    def __init__(self, folder: Path, clock: Clock, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._folder = folder
        self._clock = clock
        self._limits = limits
        self._logs: dict[tuple[str, str], Log] = {}
        self._dirty = asyncio.Event()
        self._flusher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._flusher = asyncio.create_task(self._flush_for_ever(), name="runtime logs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Write what waits, end all followers. May be called twice."""
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
            self._flusher = None
        for each in self._logs.values():
            each.close()
        await self.flush()

    def of(self, namespace: str, service: str) -> Log:
        """The log of a service; a new one if nothing was ever written.

        Raises:
            ValueError: a name that is none, and could name another file.
        """
        existing = self._logs.get((namespace, service))
        if existing is None:
            for name in (namespace, service):
                if not _NAME.fullmatch(name):
                    raise ValueError(f"{name!r} is no name of a namespace or service")
            path = self._folder / namespace / f"{service}.log"
            file = LogFile(path, limit=self._limits.file, keep=self._limits.files)
            existing = Log(service, file, self._clock, self._limits, self._dirty)
            self._logs[namespace, service] = existing
        return existing

    def known(self, namespace: str) -> list[str]:
        """The services of a namespace that have a log, also from before a restart; sorted."""
        names = {service for space, service in self._logs if space == namespace}
        if _NAME.fullmatch(namespace):
            names |= {path.name.removesuffix(".log") for path in (self._folder / namespace).glob("*.log")}
        return sorted(names)

    async def delete(self, namespace: str, service: str) -> None:
        """Remove the log of a service, and end who follows it."""
        gone = self.of(namespace, service)
        gone.close()
        del self._logs[namespace, service]
        await gone.delete()

    async def forget(self, namespace: str) -> None:
        """Remove all logs of a namespace, which is being deleted, and end who follows them."""
        for service in self.known(namespace):
            await self.delete(namespace, service)
        if _NAME.fullmatch(namespace):
            with contextlib.suppress(FileNotFoundError):
                await asyncio.to_thread((self._folder / namespace).rmdir)

    async def flush(self) -> None:
        """Write what waits in all logs."""
        for each in tuple(self._logs.values()):
            await each.flush()

    async def _flush_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            await self._clock.sleep(self._limits.flush)
            self._dirty.clear()
            await self.flush()
