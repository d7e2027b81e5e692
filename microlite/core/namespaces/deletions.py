"""Removes everything that is in a namespace, and then the namespace; begun again where the platform ended in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from microlite.core import errors
from microlite.core.namespaces.api import Deletion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine
    from microlite.core.namespaces.namespaces import Namespaces

AGAIN: Final = 5.0
"""Seconds after which a step is tried again that failed."""

_TOLD: Final = 0.25
"""Seconds between two words about how far it is."""

log = logging.getLogger("microlite.namespaces")


class Step(NamedTuple):
    """One part of what is in a namespace."""

    what: str
    """What it removes, in words."""
    remove: Callable[[str], Awaitable[object]]
    """Removes it; a second time does no harm."""


class Deletions:
    """Those that are under way.

    Args:
        namespaces: knows which are to go.
        engine: knows how much is left in them.
        clock: for what is tried again.
        steps: all that goes, in order: what could still write comes first.
    """

    def __init__(self, namespaces: Namespaces, engine: Engine, clock: Clock, steps: Sequence[Step]) -> None:
        self._namespaces = namespaces
        self._engine = engine
        self._clock = clock
        self._steps = tuple(steps)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._doing: dict[str, str] = {}

    def resume(self) -> None:
        """Go on with those that had begun when the platform ended."""
        for namespace in self._namespaces.all():
            if namespace.deleting:
                self._begin(namespace.name)

    async def delete(self, origin: Origin, name: str, confirm: str) -> AsyncIterator[Deletion]:
        """Delete a namespace, and tell how far it is; it goes on when nobody listens any more.

        Raises:
            BadRequest: it is not confirmed.
            Forbidden: it is the default one.
            NotFound: there is none of this name.
        """
        self._namespaces.get(name)
        if confirm != name:
            raise errors.BadRequest(f'confirm: repeat the name, "{name}": everything in the namespace will be gone')
        await self._namespaces.condemn(origin, name)
        task = self._begin(name)
        while not task.done():
            yield self._progress(name)
            await asyncio.wait({task}, timeout=_TOLD)
        if task.cancelled():
            raise errors.ServiceUnavailable("the platform is stopping; the deletion goes on when it starts again")
        yield Deletion(name=name, done=True)

    async def close(self) -> None:
        """End; what is left goes at the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _progress(self, name: str) -> Deletion:
        usage = self._engine.usage(name)
        return Deletion(name=name, doing=self._doing.get(name, ""), records=usage.records, bytes=usage.bytes)

    def _begin(self, name: str) -> asyncio.Task[None]:
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._run(name), name=f"microlite: delete namespace {name}")
            task.add_done_callback(lambda _: self._tasks.pop(name, None))
        return task

    async def _run(self, name: str) -> None:
        try:
            for step in (*self._steps, Step("the namespace itself", self._namespaces.forget)):
                self._doing[name] = step.what
                while not await self._did(name, step):
                    await self._clock.sleep(AGAIN)
        finally:
            self._doing.pop(name, None)

    async def _did(self, name: str, step: Step) -> bool:
        try:
            await step.remove(name)
        except Exception as error:
            detail = error.detail if isinstance(error, errors.Error) else repr(error)
            self._doing[name] = f"{step.what}: {detail}; it is tried again"
            log.warning(
                "deleting the namespace %s failed at its %s, and is tried again: %s",
                name,
                step.what,
                detail,
                exc_info=not isinstance(error, errors.Error),
            )
            return False
        return True
