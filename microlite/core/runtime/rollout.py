"""Nodes of one generation on their way up: all of them come up, or none is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from microlite.core.runtime.node_run import NodeRun
from microlite.core.runtime.renewal import Overtaken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.node_failure import NodeFailed

PATIENCE_WHEN_OVERTAKEN: Final = 1.0
"""Seconds that a starting node has to become healthy although newer code has come meanwhile."""


class Rollout:
    """One attempt.

    Args:
        desired: the service.
        names: the ids of the nodes.
        machinery: starts them.
        on_exit: see `NodeRun`.
        on_change: see `NodeRun`.
    """

    def __init__(
        self,
        desired: Desired,
        names: Sequence[str],
        machinery: Machinery,
        on_exit: Callable[[NodeRun, NodeFailed], None],
        on_change: Callable[[], None],
    ) -> None:
        generation = machinery.next_generation()
        self.runs = [NodeRun(desired, name, generation, machinery, on_exit, on_change) for name in names]

    async def rise(self, python: str, variables: dict[str, str], newer: asyncio.Event | None = None) -> None:
        """Start the nodes and return when all are healthy. Else, and when it is cancelled, none of them is left.

        Args:
            python: the interpreter.
            variables: what they shall see.
            newer: set when newer code has come, which makes these superfluous.

        Raises:
            NodeFailed, LaunchError: one of them did not come up.
            Overtaken: newer code has come, and these had their time.
        """
        try:
            for run in self.runs:
                await run.start(python, variables)
            await self._until_healthy(newer)
            for run in self.runs:
                if not run.serves:  # it fell while it waited for the others
                    await run.fallen()
        except BaseException:
            await asyncio.gather(*(run.end(0) for run in self.runs))
            raise

    async def _until_healthy(self, newer: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        pending = {loop.create_task(run.healthy(), name=f"microlite: first health of {run.id}") for run in self.runs}
        tasks = set(pending)
        overtaken = None
        if newer is not None:
            overtaken = loop.create_task(_out_of_patience(newer, loop.time()), name="microlite: newer code")
            tasks.add(overtaken)
        try:
            while pending:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks -= done
                for task in done & pending:
                    task.result()
                pending -= done
                if pending and overtaken is not None and overtaken.done():
                    raise Overtaken
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _out_of_patience(newer: asyncio.Event, began: float) -> None:
    """Return when there is newer code, and a second has passed since `began`."""
    await newer.wait()
    await asyncio.sleep(began + PATIENCE_WHEN_OVERTAKEN - asyncio.get_running_loop().time())
