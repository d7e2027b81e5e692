"""Flow control of streams: what a receiver has room for, and what it has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.errors import Error


class CreditGate:
    """The sender's side: lets an item through while the receiver has room.

    The balance is in bytes. One item may overdraw it, so that an item larger than the window passes at all; the next
    one waits until the balance is positive again.
    """

    __slots__ = ("_balance", "_closed", "_waiter")

    def __init__(self, balance: int) -> None:
        self._balance = balance
        self._waiter: asyncio.Future[None] | None = None
        self._closed: Error | None = None

    @property
    def open(self) -> bool:
        """Whether an item may be sent right now."""
        return self._balance > 0

    def take(self, size: int) -> None:
        """Note that an item of `size` bytes was sent. Each item counts 64 bytes more than its payload."""
        self._balance -= size + 64

    def give(self, size: int) -> None:
        """The receiver takes `size` bytes more."""
        self._balance += size
        if self._balance > 0:
            self._wake()

    def close(self, error: Error) -> None:
        """Nobody will take any more: `wait` raises `error` from now on."""
        self._closed = error
        self._wake()

    async def wait(self) -> None:
        """Return as soon as an item may be sent. One waiter at a time.

        Raises:
            Error: the stream was closed.
        """
        while self._closed is None and self._balance <= 0:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._closed is not None:
            raise self._closed

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ItemQueue:
    """The receiver's side: items that arrived and were not read, bounded by the credit that was given.

    Args:
        grant: called with a number of bytes when the reader has made room for them.
        window: bytes of credit that the sender had at the start.
    """

    __slots__ = ("_ended", "_error", "_grant", "_items", "_owed", "_waiter", "_window")

    def __init__(self, grant: Callable[[int], None], window: int = INITIAL_CREDIT) -> None:
        self._items: deque[bytes] = deque()
        self._grant = grant
        self._window = window
        self._owed = 0
        self._ended = False
        self._error: Error | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, payload: bytes) -> None:
        """An item arrived."""
        if not self._ended:
            self._items.append(payload)
            self._wake()

    def end(self, error: Error | None = None) -> None:
        """Nothing more comes; what was put before is still read first."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

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
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        payload = self._items.popleft()
        self._owed += len(payload) + 64
        if self._owed * 2 >= self._window and not self._ended:
            owed, self._owed = self._owed, 0
            self._grant(owed)
        return payload

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
