"""Finding what a session is to run, as something that tells how it goes on: fetching can take its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from microlite.core.clock import Clock
    from microlite.core.runtime.api import Desired


class Preparation:
    """Enter it to begin, iterate over what it gives for how it goes on, and leave it when that ends; then it has `found`.

    Args:
        find: does it, and calls `progress` with the name of what it is about and a line.
        clock: stamps what it tells.

    Attributes:
        found: the services.
    """

    def __init__(self, find: Callable[..., Awaitable[list[Desired]]], clock: Clock) -> None:
        self._find = find
        self._clock = clock
        self._feed = Feed()
        self.found: list[Desired] = []

    async def __aenter__(self) -> Feed:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="microlite: find what to run")
        return self._feed

    async def _run(self) -> None:
        try:
            self.found = await self._find(progress=self._tell)
        finally:
            self._feed.close()

    def _tell(self, name: str, text: str) -> None:
        self._feed.put(Happening(at=self._clock.now(), topic=Topic.PROGRESS, service=name, text=text))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave.

        Raises:
            Error: there is nothing to run, or something about it is wrong.
        """
        if kind is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        else:
            await self._task
