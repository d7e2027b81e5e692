"""Starts that are under way together, in slots that have no node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core.runtime.rollout import PATIENCE_WHEN_OVERTAKEN

if TYPE_CHECKING:
    from microlite.core.runtime.slot import Slot


class Batch:
    """One environment is made for all of them; from then on each comes up, or does not, by itself.

    Args:
        slots: which are taken by it from now on.

    Attributes:
        task: does it.
    """

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.task: asyncio.Task[None]
        self._built = asyncio.Event()
        self._launched = 0.0
        for slot in slots:
            slot.taken = True

    def built(self) -> None:
        """The environment is there."""
        self._launched = asyncio.get_running_loop().time()
        self._built.set()

    def over(self) -> None:
        """All have come up or failed."""
        self._built.set()
        for slot in self.slots:
            slot.taken = False

    async def call_off(self, *, at_once: bool) -> None:
        """End it, since its code is old; what comes up in the time that it has then, has.

        An installation goes on to its end first, unless it is to be called off `at_once`.
        """
        if not at_once:
            await self._built.wait()
        left = self._launched + PATIENCE_WHEN_OVERTAKEN - asyncio.get_running_loop().time() if self._launched else 0.0
        await asyncio.wait({self.task}, timeout=max(0.0, left))
        self.task.cancel()
        await asyncio.wait({self.task})
