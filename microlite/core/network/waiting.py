"""A call that waits for a node, or for the connection to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable

    from microlite.core.rpc.call import Call


class Waiting:
    """The channel of such a call: keeps what its caller streams meanwhile, within the credit that it starts with.

    Args:
        call: what waits.
        queue: where it stands in line; it leaves the line when it is canceled.

    Attributes:
        timer: ends the call at its deadline; called off when the wait is over.
        over: whether the call went on, or was given up.
    """

    __slots__ = ("_ended", "_held", "_items", "_queue", "call", "over", "timer")

    def __init__(self, call: Call, queue: deque[Waiting] | None = None) -> None:
        self.call = call
        self.timer: asyncio.TimerHandle | None = None
        self.over = False
        self._queue = queue
        self._items: list[bytes] = []
        self._held = 0
        self._ended = False
        call.channel = self

    def release(self, start: Callable[[Call], None]) -> None:
        """Start the call, and send after it what was kept."""
        if self.over:
            return
        self.leave()
        call = self.call
        call.streamed = False  # nothing has left yet
        start(call)
        for payload in self._items:
            if call.channel is not None:
                call.streamed = True
                call.channel.send_item(call, payload)
        if self._ended and call.channel is not None:
            call.streamed = True
            call.channel.send_end(call)

    def fail(self, error: errors.Error) -> None:
        """End the call with an error."""
        if not self.over:
            self.leave()
            self.call.on_error(error)

    def leave(self) -> None:
        """Wait no longer; what becomes of the call is for whoever says so."""
        self.over = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._queue is not None and self in self._queue:
            self._queue.remove(self)
        if self.call.channel is self:
            self.call.channel = None

    def send_item(self, call: Call, payload: bytes) -> None:
        """See `Channel`."""
        if self._held >= INITIAL_CREDIT:
            self.fail(errors.BadRequest("the stream broke off: its sender sent more than it had credit for"))
        elif not self.over:
            self._held += len(payload)
            self._items.append(payload)

    def send_end(self, call: Call) -> None:
        """See `Channel`."""
        self._ended = True

    def send_credit(self, call: Call, size: int) -> None:
        """See `Channel`."""
        call.credit += size

    def cancel(self, call: Call) -> None:
        """See `Channel`."""
        self.leave()
