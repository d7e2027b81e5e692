"""A call that waits for a node, or for the connection to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from microlite.core.rpc.call import Call


class Waiting:
    """The channel of such a call: keeps what its caller streams meanwhile, within the credit that it starts with."""

    __slots__ = ("_ended", "_items", "_queue", "call", "canceled")

    def __init__(self, call: Call, queue: deque[Waiting] | None = None) -> None:
        self.call = call
        self._queue = queue
        self.canceled = False
        self._items: list[bytes] = []
        self._ended = False
        call.channel = self

    def release(self, start: Callable[[Call], None]) -> None:
        """Start the call, and send after it what was kept."""
        if self.canceled:
            return
        call = self.call
        call.channel = None
        call.streamed = False
        start(call)
        self._replay(call)

    def _replay(self, call: Call) -> None:
        channel = call.channel
        if channel is not None:
            for payload in self._items:
                call.streamed = True
                channel.send_item(call, payload)
            if self._ended:
                call.streamed = True
                channel.send_end(call)

    def send_item(self, call: Call, payload: bytes) -> None:
        """See `Channel`."""
        self._items.append(payload)

    def send_end(self, call: Call) -> None:
        """See `Channel`."""
        self._ended = True

    def send_credit(self, call: Call, size: int) -> None:
        """See `Channel`."""
        call.credit += size

    def cancel(self, call: Call) -> None:
        """See `Channel`."""
        self.canceled = True
        call.channel = None
        if self._queue is not None and self in self._queue:
            self._queue.remove(self)
