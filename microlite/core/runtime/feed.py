"""What a session is told, in order, and never more of it than memory should hold."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from microlite.core.runtime.api import Happening, Topic

MAX_WAITING: Final = 5_000
"""Happenings that wait for a session that does not read; then its log lines are dropped, and nothing else is."""


class Feed:
    """Takes happenings from anywhere on the loop, and gives them to one reader (`async for`)."""

    def __init__(self) -> None:
        self._waiting: deque[Happening] = deque()
        self._arrived = asyncio.Event()
        self._dropped: dict[str, int] = {}
        self._closed = False

    def put(self, happening: Happening) -> None:
        """Something happened."""
        if happening.topic is Topic.LOG:
            if len(self._waiting) >= MAX_WAITING:
                self._dropped[happening.service] = self._dropped.get(happening.service, 0) + 1
                return
            dropped = self._dropped.pop(happening.service, 0)
            if dropped:
                text = f"… {dropped} lines dropped here: they came faster than they were read"
                self._waiting.append(
                    Happening(at=happening.at, topic=Topic.PROGRESS, service=happening.service, text=text)
                )
        self._waiting.append(happening)
        self._arrived.set()

    def close(self) -> None:
        """Nothing more will happen."""
        self._closed = True
        self._arrived.set()

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Happening:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()
