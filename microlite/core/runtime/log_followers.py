"""Readers of a log that wait for what comes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from microlite.core.runtime.lines import Line


class Followed(Protocol):
    """The log that is followed: a `Log`."""

    async def read_and_subscribe(
        self, follower: Follower, *, last: int | None, since: float | None, node: str
    ) -> list[Line]:
        """The lines of the past that are asked for; each line after them is offered to the follower."""
        ...

    def unsubscribe(self, follower: Follower) -> None:
        """Offer it no more."""
        ...

    def remark(self, text: str) -> Line:
        """A line of the platform's own, which is in no file."""
        ...


class Follower:
    """Lines of one log as they arrive, after those of the past that were asked for. Comes from `Log.follow`.

    It is entered with `async with`, which is the moment from which no line is missed, and then iterated; it ends when
    the log is closed. A reader that is too slow loses the oldest of what waits for it, and is told by a line of the
    platform how many.
    """

    def __init__(self, log: Followed, *, last: int | None, since: float | None, node: str, limit: int) -> None:
        self._log = log
        self._last = last
        self._since = since
        self._node = node
        self._limit = limit
        self._past: deque[Line] = deque()
        self._waiting: deque[Line] = deque()
        self._arrived = asyncio.Event()
        self._dropped = 0
        self._ended = False

    async def __aenter__(self) -> Self:
        self._past.extend(await self._log.read_and_subscribe(self, last=self._last, since=self._since, node=self._node))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.unsubscribe(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Line:
        if self._past:
            return self._past.popleft()
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                return self._log.remark(f"… {dropped} lines dropped here: they came faster than they were read")
            if self._waiting:
                return self._waiting.popleft()
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()

    def offer(self, line: Line) -> None:
        """A line arrived."""
        if self._node and line.node != self._node:
            return
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(line)
        self._arrived.set()

    def end(self) -> None:
        """No further line will come."""
        self._ended = True
        self._arrived.set()
