"""Flow control of streams: what a receiver has room for, and what it has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.rpc.frames import INITIAL_CREDIT, ITEM_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Callable


class _Waiters:
    """Tasks that wait for the same news. Each looks again by itself after it was woken."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        try:
            await future
        finally:
            if future in self._futures:  # canceled, not woken
                self._futures.remove(future)

    def wake(self) -> None:
        if self._futures:
            woken, self._futures = self._futures, []
            for future in woken:
                if not future.done():
                    future.set_result(None)


class CreditGate:
    """The sender's side: lets an item through while the receiver has room.

    The balance is in bytes. One item may overdraw it, so that an item larger than the window passes at all; the next
    one waits until the balance is positive again.
    """

    __slots__ = ("_balance", "_closed", "_waiters")

    def __init__(self, balance: int) -> None:
        self._balance = balance
        self._waiters = _Waiters()
        self._closed: errors.Error | None = None

    @property
    def open(self) -> bool:
        """Whether an item may be sent right now."""
        return self._balance > 0 and self._closed is None

    def take(self, size: int) -> None:
        """Note that an item of `size` bytes was sent. Each item counts 64 bytes more than its payload."""
        self._balance -= size + ITEM_OVERHEAD

    def give(self, size: int) -> None:
        """The receiver takes `size` bytes more."""
        self._balance += size
        if self._balance > 0:
            self._waiters.wake()

    def reset(self, balance: int) -> None:
        """Begin anew: the stream goes to another receiver, which has taken nothing yet."""
        self._balance = balance
        if balance > 0:
            self._waiters.wake()

    def close(self, error: errors.Error) -> None:
        """Nobody will take any more: `wait` raises `error` from now on."""
        if self._closed is None:
            self._closed = error
            self._waiters.wake()

    async def wait(self) -> None:
        """Return as soon as an item may be sent.

        Raises:
            Error: the stream was closed.
        """
        while self._closed is None and self._balance <= 0:
            await self._waiters.wait()
        if self._closed is not None:
            raise self._closed


class ItemQueue:
    """The receiver's side: items that arrived and were not read, bounded by the credit that was given.

    Args:
        grant: called with a number of bytes when the reader has made room for them.
        window: bytes of credit that the sender had at the start.
    """

    __slots__ = ("_ended", "_error", "_grant", "_held", "_items", "_owed", "_waiters", "_window")

    def __init__(self, grant: Callable[[int], None], window: int = INITIAL_CREDIT) -> None:
        self._items: deque[bytes] = deque()
        self._grant = grant
        self._window = window
        self._held = 0
        self._owed = 0
        self._ended = False
        self._error: errors.Error | None = None
        self._waiters = _Waiters()

    @property
    def held(self) -> int:
        """Bytes that arrived and were not read, each item with its overhead."""
        return self._held

    def put(self, payload: bytes) -> bool:
        """An item arrived. After the end it is dropped.

        Returns:
            False when the sender had no credit for it: the item is dropped, and the stream ends with an error after
            what came before. This is what bounds memory if the other side does not keep to the rules.
        """
        if self._ended:
            return True
        if self._held + self._owed >= self._window:
            self.end(errors.BadRequest("the stream broke off: its sender sent more than it had credit for"))
            return False
        self._items.append(payload)
        self._held += len(payload) + ITEM_OVERHEAD
        self._waiters.wake()
        return True

    def end(self, error: errors.Error | None = None) -> None:
        """Nothing more comes; what was put before is still read first."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._waiters.wake()

    async def get(self) -> bytes | None:
        """The next item; None after the last.

        Raises:
            Error: the stream ended with it.
        """
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            await self._waiters.wait()
        payload = self._items.popleft()
        size = len(payload) + ITEM_OVERHEAD
        self._held -= size
        self._owed += size
        if self._owed * 2 >= self._window and not self._ended:
            owed, self._owed = self._owed, 0
            self._grant(owed)
        return payload
