"""Nodes that take no calls any more and finish those they have."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Final

from microlite.core.runtime.states import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from microlite.core.network.table import Link
    from microlite.core.runtime.node_run import NodeRun

MAX_GENERATIONS: Final = 2
"""Generations that may drain at a time; the next change waits for the oldest of them."""

log = logging.getLogger(__name__)


class Drains:
    """The drains of one service, which run in tasks of their own until the process of each node is gone.

    Args:
        grace: seconds that a node has for its unary calls.
        on_cut: told, in a sentence, of a node that did not finish in that time.
    """

    def __init__(self, grace: float, on_cut: Callable[[str], object]) -> None:
        self._grace = grace
        self._on_cut = on_cut
        self._tasks: dict[NodeRun, asyncio.Task[bool]] = {}

    def __iter__(self) -> Iterator[NodeRun]:
        return iter(self._tasks)

    def begin(self, runs: Iterable[NodeRun], links: Iterable[Link], *, hurry: bool = False) -> None:
        """Drain these nodes.

        Args:
            runs: the nodes.
            links: the ways to them, as the router gave them back; one that is missing was broken already.
            hurry: their streams end at once.
        """
        ways = {(link.node, link.generation): link for link in links}
        loop = asyncio.get_running_loop()
        for run in runs:
            run.link = ways.get((run.id, run.generation))
            run.advance(Event.STOP)
            task = loop.create_task(run.drain(self._grace, hurry=hurry), name=f"microlite: drain of {run.id}")
            self._tasks[run] = task
            task.add_done_callback(functools.partial(self._ended, run))

    def _ended(self, run: NodeRun, task: asyncio.Task[bool]) -> None:
        del self._tasks[run]
        if task.cancelled():
            return
        if task.exception() is not None:
            log.error("the drain of %s failed", run.id, exc_info=task.exception())
            run.kill()
        elif not task.result():
            self._on_cut(f"{run.id} was cut off: not all of its calls had ended after {self._grace:g} s")

    def hurry(self) -> None:
        """Let all of them end their streams now."""
        for run in self._tasks:
            run.hurry()

    @property
    def full(self) -> bool:
        """Whether no further generation may begin to drain."""
        return len({run.generation for run in self._tasks}) >= MAX_GENERATIONS

    async def room(self) -> None:
        """Return when one more generation may drain. Calls have their time for that; streams have had it."""
        while self.full:
            oldest = min(run.generation for run in self._tasks)
            self.hurry()
            await asyncio.wait({task for run, task in self._tasks.items() if run.generation == oldest})

    async def over(self) -> None:
        """Return when all that drain now are gone."""
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()))
