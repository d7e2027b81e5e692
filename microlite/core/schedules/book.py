"""The schedules of all namespaces in memory, as little of each as must be known to notice that it is due."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.engine.api import ChangeKind, Resync
from microlite.core.schedules.api import MAX_SCHEDULES, Source
from microlite.core.schedules.planner import times_of
from microlite.core.schedules.records import SCHEDULES, Stored, decode_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine
    from microlite.core.schedules.ledger import Ledger

log = logging.getLogger("microlite.schedules")


class Sheet:
    """The schedules of one namespace.

    Attributes:
        due: by name, when each is due; 0 for what is not.
        declared: by service, the names of those that its code declares.
        loaded: set when all are known that there were at the beginning.
    """

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.declared: dict[str, set[str]] = {}
        self.loaded = asyncio.Event()

    def clear(self) -> None:
        """Forget all."""
        self.due.clear()
        self.declared.clear()


class Book:
    """Follows the records, so that whoever commits one need tell nobody.

    Args:
        engine: where they are.
        ledger: reads and writes them.
        clock: the time.
        on_due: is told namespace and name of each schedule that was read, with its due time; 0 for one that is not due, or
            gone.
    """

    def __init__(
        self, engine: Engine, ledger: Ledger, clock: Clock, on_due: Callable[[str, str, float], object]
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._clock = clock
        self._on_due = on_due
        self._sheets: dict[str, Sheet] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._entering: dict[str, asyncio.Task[None]] = {}

    async def begin(self, namespaces: list[str]) -> None:
        """Follow the namespaces that have schedules."""
        for namespace in namespaces:
            self._follow(namespace)

    async def prepare(self, namespace: str) -> None:
        """Follow a namespace, from before its first schedule is there, also after a restart.

        Raises:
            TooManyRequests: it has as many schedules as it can have.
        """
        sheet = self._sheets.get(namespace)
        if sheet is None:
            entering = self._entering.get(namespace)
            if entering is None:
                entering = asyncio.create_task(self._ledger.enter(namespace), name="microlite: enter a namespace")
                self._entering[namespace] = entering
                entering.add_done_callback(lambda _: self._entering.pop(namespace, None))
            await asyncio.shield(entering)
            self._follow(namespace)
        elif len(sheet.due) >= MAX_SCHEDULES:
            raise errors.TooManyRequests(
                f"the namespace {namespace} has {MAX_SCHEDULES} schedules, which is the most; remove some first"
            )

    async def declared(self, namespace: str, service: str) -> list[str]:
        """The names of the schedules that the code of a service declared; waits until they are known."""
        sheet = self._sheets.get(namespace)
        if sheet is None:
            return []
        await sheet.loaded.wait()
        return sorted(sheet.declared.get(service, ()))

    def reread(self) -> None:
        """Read all anew, since the clock was set back: some are due sooner than was thought."""
        for namespace, task in list(self._tasks.items()):
            task.cancel()
            del self._tasks[namespace]
            self._follow(namespace)

    async def forget(self, namespace: str) -> None:
        """Follow a namespace no more, which is being deleted."""
        task = self._tasks.pop(namespace, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        sheet = self._sheets.pop(namespace, None)
        for name in sheet.due if sheet is not None else ():
            self._on_due(namespace, name, 0.0)
        await self._ledger.leave(namespace)

    async def close(self) -> None:
        """Follow nothing more."""
        tasks, self._tasks = [*self._tasks.values(), *self._entering.values()], {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self, namespace: str) -> None:
        sheet = self._sheets.setdefault(namespace, Sheet())
        if namespace not in self._tasks:
            task = asyncio.create_task(
                self._keep_following(namespace, sheet), name=f"microlite: schedules of {namespace}"
            )
            task.add_done_callback(_report)
            self._tasks[namespace] = task

    async def _keep_following(self, namespace: str, sheet: Sheet) -> None:
        async with self._engine.watch(namespace, SCHEDULES, from_revision=0) as watch:
            try:
                async for change in watch:
                    if isinstance(change, Resync):
                        if change.first:
                            for name in list(sheet.due):
                                self._on_due(namespace, name, 0.0)
                            sheet.clear()
                        for record in change.records:
                            await self._enter(namespace, sheet, record.key, record.value, record.revision)
                        if change.last:
                            sheet.loaded.set()
                    elif change.kind is ChangeKind.PUT:
                        await self._enter(namespace, sheet, change.key, change.value, change.revision)
                    else:
                        self._leave(namespace, sheet, change.key)
            except errors.ServiceUnavailable:
                return  # the engine has closed

    async def _enter(self, namespace: str, sheet: Sheet, name: str, value: bytes, revision: int) -> None:
        try:
            stored = decode_stored(value)
        except msgspec.DecodeError as error:
            log.error("the record of the schedule %s cannot be read, and is left out: %s", name, error)
            return
        if stored.source is Source.CODE:
            sheet.declared.setdefault(stored.service, set()).add(name)
        due = 0.0 if stored.paused else await self._settled(namespace, stored, revision)
        sheet.due[name] = due
        self._on_due(namespace, name, due)

    def _leave(self, namespace: str, sheet: Sheet, name: str) -> None:
        sheet.due.pop(name, None)
        for names in sheet.declared.values():
            names.discard(name)
        self._on_due(namespace, name, 0.0)

    async def _settled(self, namespace: str, stored: Stored, revision: int) -> float:
        """When it is due, by a clock that may have been set back since that was written."""
        try:
            settled = times_of(stored).settle(stored.due, self._clock.now())
        except errors.BadRequest:
            return 0.0  # who lists it reads why
        if settled != stored.due:
            try:
                await self._ledger.put(namespace, msgspec.structs.replace(stored, due=settled), revision)
            except errors.Error as error:
                log.warning("the schedule %s keeps its next time: %s", stored.name, error.detail)
                return stored.due
        return settled


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: they are not followed any more, by a fault", task.get_name(), exc_info=error)
