"""Removes from topics what is older, or more, than they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.events.records import stream_of

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine
    from microlite.core.events.topics import Topics

EVERY: Final = 30.0
"""Seconds between two looks at all topics."""


class Retention:
    """Trims topics to their settings."""

    def __init__(self, engine: Engine, clock: Clock, topics: Topics) -> None:
        self._engine = engine
        self._clock = clock
        self._topics = topics

    async def look(self) -> None:
        """Trim all topics of all namespaces."""
        for namespace in await self._topics.namespaces():
            for topic in await self._topics.names(namespace):
                await self.trim(namespace, topic)

    async def trim(self, namespace: str, topic: str) -> None:
        """Trim one topic."""
        stream = stream_of(topic)
        retention = (await self._topics.known(namespace, topic)).settings.retention
        state = await self._engine.stream_state(namespace, stream)
        if not state.count:
            return
        through = 0
        if retention.age:
            through = await self._engine.find_position(namespace, stream, self._clock.now() - retention.age)
        if retention.count and state.count > retention.count:
            through = max(through, await self._beyond_count(namespace, stream, state.last, retention.count))
        if retention.size and state.size > retention.size:
            through = max(through, await self._engine.find_size_position(namespace, stream, retention.size))
        if through >= state.first:
            await self._engine.trim(namespace, stream, through)

    async def _beyond_count(self, namespace: str, stream: str, last: int, most: int) -> int:
        """The highest position behind which there are still `most` entries."""
        low, high = 0, max(0, last - most)  # positions may have gaps: then the right one is lower
        if await self._engine.backlog(namespace, stream, high) >= most:
            return high
        while low < high:
            middle = (low + high + 1) // 2
            if await self._engine.backlog(namespace, stream, middle) >= most:
                low = middle
            else:
                high = middle - 1
        return low
