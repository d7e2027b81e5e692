"""Moves delayed events into their topics when they are due, each exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.engine.api import Append, Batch, Change, ChangeKind, Delete, Resync
from microlite.core.events import records
from microlite.core.events.records import DELAYED, stream_of

if TYPE_CHECKING:
    from microlite.core.clock import Clock, Timer
    from microlite.core.engine.api import Engine, Operation

AT_ONCE: Final = 100
"""Events that are moved by one commit, at most."""

AGAIN: Final = 1.0
"""Seconds after which a move that failed is tried again."""

log = logging.getLogger("microlite.events")


class Mover:
    """Minds the delayed events of one namespace."""

    def __init__(self, engine: Engine, clock: Clock, namespace: str) -> None:
        self._engine = engine
        self._clock = clock
        self._namespace = namespace
        self._look = asyncio.Event()
        self._timer: Timer | None = None
        self._due = float("inf")

    async def run(self) -> None:
        """Move what is due, until canceled, or the engine closes."""
        async with self._engine.watch(self._namespace, DELAYED) as watch, asyncio.TaskGroup() as group:
            moving = group.create_task(self._move(), name="microlite: move delayed events")
            with contextlib.suppress(errors.ServiceUnavailable):
                async for change in watch:
                    self._on_change(change)
            moving.cancel()

    def _on_change(self, change: Change | Resync) -> None:
        if isinstance(change, Resync):
            self._look.set()
        elif change.kind is ChangeKind.PUT:
            self._wake_at(_due_of(change.key))

    def _wake_at(self, due: float) -> None:
        if due >= self._due and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_later(max(0.0, due - self._clock.now()), self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._due = float("inf")
        self._look.set()

    async def _move(self) -> None:
        while True:
            try:
                due = await self._move_due()
            except errors.ServiceUnavailable as error:
                if error.status == errors.ServiceUnavailable.status:
                    return  # the engine closes
                await self._clock.sleep(AGAIN)
                continue
            except errors.Error as error:
                log.warning("delayed events of %s: %s; it is tried again", self._namespace, error.detail)
                await self._clock.sleep(AGAIN)
                continue
            self._look.clear()
            if due is not None:
                self._wake_at(due)
            await self._look.wait()

    async def _move_due(self) -> float | None:
        """Move all that is due; return when the next one is."""
        while True:
            page = await self._engine.scan(self._namespace, DELAYED, limit=AT_ONCE)
            if not page.records:
                return None
            now = self._clock.now()
            operations: list[Operation] = []
            later = None
            for record in page.records:
                due = _due_of(record.key)
                if due > now:
                    later = due
                    break
                delayed = records.decode_delayed(record.value)
                operations += [
                    Delete(DELAYED, record.key, expect=record.revision),
                    Append(stream_of(delayed.topic), delayed.envelope),
                ]
            if operations:
                with contextlib.suppress(errors.Conflict):  # one was deleted with its topic
                    await self._engine.commit(Batch(self._namespace, tuple(operations)))
            if later is not None:
                return later


def _due_of(key: str) -> float:
    return int(key.partition("/")[0]) / 1000
