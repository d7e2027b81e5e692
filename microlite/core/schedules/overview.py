"""Schedules and their runs as people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.schedules.api import Run, Schedule
from microlite.core.schedules.ledger import SINGLES
from microlite.core.schedules.planner import full_name
from microlite.core.schedules.times import Times

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.description.structs import Every
    from microlite.core.schedules.ledger import Ledger
    from microlite.core.schedules.planner import Planner
    from microlite.core.schedules.reach import Reach
    from microlite.core.schedules.records import Stored
    from microlite.core.schedules.runs import Runs


class Overview:
    """Reads what is on disk, and adds what happens now.

    Args:
        ledger: the disk.
        runs: those that have not ended.
        planner: finds schedules by their names.
        reach: says why a service is not there.
        clock: the time.
    """

    def __init__(self, ledger: Ledger, runs: Runs, planner: Planner, reach: Reach, clock: Clock) -> None:
        self._ledger = ledger
        self._runs = runs
        self._planner = planner
        self._reach = reach
        self._clock = clock

    async def page(self, namespace: str, prefix: str, after: str, limit: int) -> list[Schedule]:
        """Schedules in the order of their names."""
        page = await self._ledger.page(namespace, prefix, after, limit)
        return [self._show(namespace, stored, last) for stored, last in page]

    async def get(self, origin: Origin, name: str) -> Schedule:
        """One schedule.

        Raises:
            NotFound: there is none of this name.
        """
        stored, _ = await self._planner.find(origin, name)
        runs = await self._ledger.history(origin.namespace, stored.name, "", 20)
        last = next((run for run in runs if run.ended), None)
        return self._show(origin.namespace, stored, last)

    async def history(self, origin: Origin, name: str, before: str, limit: int) -> list[Run]:
        """Runs, the latest first: of a schedule, which may be gone; without a name, of all single calls that have ended."""
        if not name:
            return await self._ledger.history(origin.namespace, SINGLES, before, limit)
        for full in dict.fromkeys((full_name(origin, name), name)):
            found = await self._ledger.history(origin.namespace, full, before, limit)
            if found:
                return found
        await self._planner.find(origin, name)
        return []

    def _show(self, namespace: str, stored: Stored, last: Run | None) -> Schedule:
        running, waiting = self._runs.count(namespace, stored.name)
        due = due_of(stored)
        trouble = trouble_of(stored)
        if not trouble and due and due <= self._clock.now():
            trouble = self._reach.absence(namespace, stored.service)
        return Schedule(
            name=stored.name,
            target=stored.target,
            request=msgspec.json.decode(stored.payload),
            source=stored.source,
            every=stored.every,
            cron=stored.cron,
            zone=stored.zone,
            missed=stored.missed,
            overlap=stored.overlap,
            timeout=stored.timeout,
            retries=stored.retries,
            backoff=stored.backoff,
            paused=stored.paused,
            next=due,
            trouble=trouble,
            running=running,
            waiting=waiting,
            last=last,
            created=stored.created,
            owner=stored.owner,
        )


def due_of(stored: Stored) -> float:
    """When a schedule is due next; 0 when it is not."""
    return 0.0 if stored.paused else stored.due


def trouble_of(when: Stored | Every) -> str:
    """Why a schedule has no times, if so."""
    try:
        Times(every=when.every, cron=when.cron, zone=when.zone)
    except errors.BadRequest as error:
        return error.detail
    return ""
