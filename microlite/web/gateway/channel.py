"""A connection after HTTP: the bytes of another protocol in both directions, each at the pace of who reads them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.protocols.http.flow_control import FlowControl

WATER: Final = 64 * 1024
"""Bytes that wait to be read before the client is read no further."""

PIECE: Final = 64 * 1024
"""Bytes that are moved at a time."""


class Channel:
    """What follows a request to upgrade, from its last byte on.

    It is there before the upgrade is granted: what an eager client sends meanwhile waits in it.

    Attributes:
        heard: loop time at which something came last. It moves on while nothing is read, as nothing can be heard then.
        on_round: called now and then with the time of the loop.
    """

    def __init__(self, transport: asyncio.Transport, flow: FlowControl, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._flow = flow
        self._loop = loop
        self._buffer = bytearray()
        self._ended = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None
        self.heard = loop.time()
        self.on_round: Callable[[float], None] | None = None

    # -- what the connection tells -------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Something arrived."""
        self.heard = self._loop.time()
        self._buffer += data
        if len(self._buffer) > WATER:
            self._flow.pause_reading()
        self._wake()

    def feed_eof(self) -> None:
        """Nothing more will arrive."""
        self._ended.set()
        self._wake()

    def sweep(self, now: float) -> None:
        """See `on_round`."""
        if self._flow.read_paused:
            self.heard = now
        if self.on_round is not None:
            self.on_round(now)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what its user does --------------------------------------------------------------------------------------------

    async def until_end(self) -> None:
        """Return when the client is gone, or counts as such. What it sent before can still be read."""
        await self._ended.wait()

    @property
    def write_paused(self) -> bool:
        """Whether the client has yet to read what was written."""
        return self._flow.write_paused

    async def read(self, limit: int = PIECE) -> bytes:
        """What arrived, up to `limit` bytes, as soon as there is something; nothing at the end. One reader at a time."""
        while not self._buffer and not self._ended.is_set():
            if not self._transport.is_closing():
                self._flow.resume_reading()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return piece

    def write(self, data: bytes) -> None:
        """Send bytes. Whoever sends much awaits `drain` before."""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the client has room for more, or is gone."""
        if self._flow.write_paused:
            await self._flow.drain()
