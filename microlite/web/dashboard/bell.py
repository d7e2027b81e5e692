"""Waking everybody who waits for the same."""

from __future__ import annotations

import asyncio


class Bell:
    """Can be rung again and again: each time whoever waits at that moment goes on."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Let all who wait go on."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Return when it rings the next time."""
        await self._next.wait()
