"""Acts that go on to their end although whoever asked for them goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def to_the_end(act: Coroutine[Any, Any, T], name: str) -> T:
    """Run an act of which a half is worse than none: what is on disk has to hold, in memory and at every node.

    Args:
        act: what is done.
        name: of its task.
    """
    task = asyncio.create_task(act, name=f"microlite: {name}")
    task.add_done_callback(_seen)
    return await asyncio.shield(task)


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waits hears of it
