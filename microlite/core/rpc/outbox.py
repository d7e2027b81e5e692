"""The writing half of a connection: what is sent in one turn of the loop leaves together, and nothing piles up."""

from __future__ import annotations

import asyncio
import os
from typing import Final, cast

from microlite.core.rpc.frames import LENGTHS, length_of

MAX_UNSENT: Final = 64 * 1024 * 1024
"""Bytes that may wait for a peer that does not read. Beyond, no call is started on the connection; and if it stays so
for `STALL` seconds, or four times as much waits, the peer is cut off."""

MOST_STREAMED: Final = 1024 * 1024
"""Bytes that wait for a peer from which on a stream waits for it, though it has credit left."""

STALL: Final = 5.0
"""Seconds that a peer has to bring its unread bytes below `MAX_UNSENT`."""

EARLY: Final = 12
"""Frames after which the first part of a turn's frames is sent before its end, so that the other side works at the same
time; each further part of that turn is twice as large. Few enough that 32 calls at a time keep both sides busy: with 12,
such calls between services ran 2.4 times as fast as with 32, when one side waited for the other."""

LARGE: Final = 65_536
"""Bytes from which a frame does not wait for others."""


class Outbox(asyncio.Protocol):
    """Collects frames and hands them to a stream transport, in order."""

    __slots__ = (
        "_early",
        "_flush_soon",
        "_out",
        "_paused",
        "_scheduled",
        "_socket",
        "_stalled",
        "_transport",
        "_writable",
        "closed",
        "loop",
    )

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        """Done when the connection is gone."""
        self._transport: asyncio.Transport | None = None
        self._socket = -1  # its descriptor, where bytes may be written past the transport
        self._out: list[bytes] = []
        self._early = EARLY
        self._scheduled = False
        self._flush_soon = self._flush_turn
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def _connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Bytes that were handed to the transport and wait for the other side to read."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, data: bytes) -> None:
        """Send encoded frames, together with others of this turn of the loop."""
        self._out.append(data)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush_soon)

    def send(self, body: bytes) -> None:
        """Send a frame, given its body, together with others of this turn of the loop.

        Raises:
            ProtocolError: the frame is too large; nothing was sent.
        """
        size = len(body)
        out = self._out
        out.append((LENGTHS[size] if size < 1024 else length_of(body)) + body)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._flush_soon)
            if size >= LARGE:
                self._flush()
        elif len(out) >= self._early or size >= LARGE:
            self._early *= 2
            self._flush()

    @property
    def held_up(self) -> bool:
        """Whether more waits for the other side to read than a stream may add to, whatever credit it was given."""
        return self._paused and self.unsent > MOST_STREAMED

    async def writable(self) -> None:
        """Return when the other side reads, so that more may be sent without a growing buffer."""
        while self._paused and not self.closed.done():
            if self._writable is None:
                self._writable = self.loop.create_future()
            await asyncio.wait({self._writable, self.closed}, return_when=asyncio.FIRST_COMPLETED)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object") is None:
            found = transport.get_extra_info("socket")
            if found is not None:
                self._socket = found.fileno()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._socket = -1
        self._out.clear()
        if self._stalled is not None:
            self._stalled.cancel()

    def _flush_turn(self) -> None:
        self._scheduled = False
        self._early = EARLY
        if self._out:
            self._flush()

    def _flush(self) -> bool:
        """Hand over what waits. False if the connection no longer takes it: then it was not sent."""
        out = self._out
        transport = self._transport
        if transport is None:
            return True  # it waits for the connection to be made
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if transport.is_closing():
            return False
        if self._socket >= 0 and not transport.get_write_buffer_size():
            # Right away: the transport of uvloop would write at the end of the turn, when the other side could be at it.
            try:
                sent = os.write(self._socket, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The other side reads no more. What it has said before may still wait here, and the transport, if it
                # tried to write, would drop that: it is left to read up to the end.
                return False
            if sent == len(data):
                return True
            if sent:
                transport.write(memoryview(data)[sent:])
            else:
                transport.write(data)
        else:
            transport.write(data)
        if self._paused:
            self._bound()
        return True

    def _bound(self) -> None:
        assert self._transport is not None
        unsent = self._transport.get_write_buffer_size()
        if unsent > 4 * MAX_UNSENT:
            self._transport.abort()
        elif unsent > MAX_UNSENT and self._stalled is None:
            self._stalled = self.loop.call_later(STALL, self._cut_off)

    def _cut_off(self) -> None:
        self._stalled = None
        if self._transport is not None and self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._transport.abort()
