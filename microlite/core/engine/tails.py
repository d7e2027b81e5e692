"""Who waits for entries of which stream: woken in memory after a commit, never by polling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from microlite.core.engine.api import Entry

_logger = logging.getLogger("microlite.engine")

LastOf = Callable[[str, str], int]
"""Reads the last position of a stream, by namespace and name."""


class Tails:
    """All tails of an engine, on the event loop.

    Args:
        last_of: what a tail begins with.
    """

    def __init__(self, last_of: LastOf) -> None:
        self.last_of = last_of
        self.closed = False
        self._followers: dict[tuple[str, str], set[Follower]] = {}

    def add(self, follower: Follower) -> None:
        """Tell it of new entries from now on."""
        self._followers.setdefault(follower.place, set()).add(follower)

    def discard(self, follower: Follower) -> None:
        """Tell it no more; one that is not there is no error."""
        followers = self._followers.get(follower.place)
        if followers is not None:
            followers.discard(follower)
            if not followers:
                del self._followers[follower.place]

    def has(self, namespace: str, stream: str) -> bool:
        """Whether anybody waits for entries of a stream."""
        return (namespace, stream) in self._followers

    def publish(self, namespace: str, stream: str, entries: Sequence[Entry]) -> None:
        """Tell who waits what was added to a stream."""
        for follower in tuple(self._followers.get((namespace, stream), ())):
            follower.advance(entries)

    def end(self, namespace: str) -> None:
        """End the waiting for streams of a namespace that is gone."""
        for place in [place for place in self._followers if place[0] == namespace]:
            for follower in self._followers.pop(place):
                follower.over = True
                follower.wake()

    def close(self) -> None:
        """End all waiting, with `errors.ServiceUnavailable`."""
        self.closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.wake()
        self._followers.clear()


class Follower:
    """One tail; see `api.Tail`. Several tasks may wait on it."""

    def __init__(
        self,
        tails: Tails,
        namespace: str,
        stream: str,
        on_entries: Callable[[int, Sequence[Entry]], None] | None = None,
    ) -> None:
        self.place = (namespace, stream)
        self.over = False
        """Whether nothing will follow, as its namespace is gone."""
        self._on_entries = on_entries
        self._tails = tails
        self._last = 0
        self._entered = False
        self._waiters: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        """See `api.Tail`."""
        if self._tails.closed:
            raise errors.ServiceUnavailable("the engine is closed")
        self._last = self._tails.last_of(*self.place)
        self._entered = True
        self._tails.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """See `api.Tail`."""
        self._entered = False
        self._tails.discard(self)
        self.wake()

    async def moved(self, after: int) -> int:
        """See `api.Tail`. Others get a turn also when there is no need to wait: who is far behind reads page after page."""
        if self._last > after:
            await asyncio.sleep(0)
        while self._last <= after:
            if self._tails.closed:
                raise errors.ServiceUnavailable("the engine is closing: read on behind your last position later")
            if self.over:
                raise errors.ServiceUnavailable(f'the namespace "{self.place[0]}" was deleted')
            if not self._entered:
                raise errors.ServiceUnavailable("nobody follows this stream any more")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self._last

    def advance(self, entries: Sequence[Entry]) -> None:
        """Take note of what was added to the stream."""
        before, last = self._last, entries[-1].position
        if last <= before:
            return
        self._last = last
        if self._on_entries is not None:
            try:
                self._on_entries(before, entries)
            except Exception:  # whoever committed, and all others who wait, must not suffer from it
                self._on_entries = None
                _logger.exception("following %s/%s failed in an unforeseen way; it is read instead", *self.place)
        self.wake()

    def wake(self) -> None:
        """Have those who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
