"""Whether the other end of a connection is still there, over a carrier where it can vanish unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from microlite.core.rpc.connection import Connection

EVERY: Final = 5.0
"""Seconds between two frames that ask for an answer."""

DEAD: Final = 15.0
"""Seconds without a single byte after which the other end is taken to be gone."""


class Liveness:
    """Asks the other end of one connection again and again, and breaks the connection when nothing comes back.

    Args:
        connection: which is open; this ends with it.
        every: seconds, see `EVERY`.
        dead: seconds, see `DEAD`.
    """

    def __init__(self, connection: Connection, every: float = EVERY, dead: float = DEAD) -> None:
        self._connection = connection
        self._every = every
        self._dead = dead
        self._began = connection.loop.time()
        self._timer: asyncio.TimerHandle = connection.loop.call_later(every, self._look)
        connection.add_lost_callback(lambda _: self._timer.cancel())

    def _look(self) -> None:
        connection = self._connection
        now = connection.loop.time()
        if now - max(connection.last_received, self._began) >= self._dead:
            connection.abort()
            return
        connection.probe()
        self._timer = connection.loop.call_later(self._every, self._look)
