"""The memory that requests may take, all connections together."""

from __future__ import annotations

from typing import Final

from microlite.core import errors

FREE: Final = 64 * 1024
"""Bytes that each request may hold in any case: however much others hold, small ones are answered."""


class Room:
    """Counts the bytes of bodies and messages that have arrived, and are held until the whole is there and answered.

    Each is bounded by itself; very many at a time, which somebody begins and never ends, are bounded here.

    Args:
        limit: bytes for all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """Bytes that are held."""

    def change(self, before: int, now: int) -> None:
        """One request holds `now` bytes in place of `before`.

        Raises:
            ServiceUnavailable: there is no room for them. Then it still counts as before.
        """
        if now > before and now > FREE and self.held + now - before > self._limit:
            raise errors.ServiceUnavailable("too many large requests are arriving; try again", id="gateway")
        self.held += now - before
