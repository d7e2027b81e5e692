"""Calls with a stream, between the loop's callbacks and an ASGI application that writes at the client's pace."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.core.rpc.call import Call
from microlite.core.rpc.flow import CreditGate
from microlite.core.rpc.frames import INITIAL_CREDIT, ITEM_OVERHEAD

if TYPE_CHECKING:
    from microlite.core.rpc.call import Channel


class StreamExchange(Call):
    """A call with a stream in either direction or both, whose items are read in batches.

    The callee may send `credit` bytes ahead; it gets new credit for what `release` says has left towards the
    client, so no more than that is ever held here, however slowly the client reads.
    """

    __slots__ = ("_channel", "_error", "_gate", "_items", "_owed", "_started", "_waiter", "ended", "held", "reply")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._started = asyncio.Event()
        super().__init__(*args, **kwargs)
        self._items: deque[bytes] = deque()
        self._gate = CreditGate(INITIAL_CREDIT)
        self._waiter: asyncio.Future[None] | None = None
        self._error: errors.Error | None = None
        self._owed = 0
        self.held = 0
        """Bytes of items that arrived and were not released."""
        self.reply = b""
        """The answer of a client-streaming call."""
        self.ended = False

    @property
    def channel(self) -> Channel | None:
        """See `Call`. None while the call waits for a node."""
        return self._channel

    @channel.setter
    def channel(self, channel: Channel | None) -> None:
        self._channel = channel
        if channel is not None:
            self._started.set()

    # -- what the callee sends -----------------------------------------------------------------------------------------

    def on_item(self, payload: bytes) -> None:
        """See `Call`."""
        if not self.ended:
            self.held += len(payload) + ITEM_OVERHEAD
            self._items.append(payload)
            self._wake()

    def on_reply(self, payload: bytes) -> None:
        """See `Call`."""
        self.reply = payload
        self.on_end()

    def on_end(self) -> None:
        """See `Call`."""
        self._finish(None)

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        self._finish(error)

    def on_credit(self, size: int) -> None:
        """See `Call`."""
        self._gate.give(size)

    def cut(self, error: errors.Error) -> None:
        """End it from outside: the client hears why, the callee that nobody waits any longer."""
        self.on_error(error)
        self.cancel()

    def _finish(self, error: errors.Error | None) -> None:
        if not self.ended:
            self.ended = True
            self._error = error
            self._gate.close(errors.Canceled("the callee ended the call and reads no further"))
            self._started.set()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what the gateway does -----------------------------------------------------------------------------------------

    def give_up(self, error: errors.Error) -> None:
        """End the call from this side: the callee is told, and the reader gets `error` after what is there."""
        if not self.ended:
            self.cancel()
            self._finish(error)

    async def take(self, timeout: float | None = None) -> list[bytes] | None:
        """All items that are there, as soon as there is one; None after the last.

        Args:
            timeout: seconds after which the answer is an empty list.

        Raises:
            Error: the stream ended with it; the items before it were taken first.
        """
        if not self._items and not self.ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._waiter
            except TimeoutError:
                return []
            finally:
                self._waiter = None
        if self._items:
            items = list(self._items)
            self._items.clear()
            return items
        if self._error is not None:
            raise self._error
        return None

    def release(self, items: list[bytes]) -> None:
        """These items have left towards the client; the callee may send as much again."""
        size = sum(map(len, items)) + ITEM_OVERHEAD * len(items)
        self.held -= size
        self._owed += size
        if self._owed * 2 >= self.credit and not self.ended and self.channel is not None:
            owed, self._owed = self._owed, 0
            self.channel.send_credit(self, owed)

    async def send_item(self, payload: bytes) -> None:
        """Send one element of the client's stream, as soon as the callee has room for it.

        Raises:
            Error: the call has ended.
        """
        await self._started.wait()
        await self._gate.wait()
        if self.channel is None:
            raise errors.ServiceUnavailable("the call goes to another node", id="gateway")
        self._gate.take(len(payload))
        self.streamed = True
        self.channel.send_item(self, payload)

    async def send_end(self) -> None:
        """The client's stream is complete."""
        await self._started.wait()
        if self.channel is not None and not self.ended:
            self.streamed = True
            self.channel.send_end(self)
