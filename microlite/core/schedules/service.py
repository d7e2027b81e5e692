"""The built-in service `schedules`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.engine.api import Batch
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.schedules.api import Add, Cancel, Run, Schedule
from microlite.core.schedules.authority import asking
from microlite.core.schedules.planner import full_name

if TYPE_CHECKING:
    from microlite.core.engine.api import Engine
    from microlite.core.schedules.scheduler import Scheduler

TRIES: Final = 10
"""How often a change of a schedule is planned that somebody else changes at the same time."""

MOST: Final = 1_000
"""Most schedules or runs in one answer."""


def schedules_service(scheduler: Scheduler, engine: Engine) -> Service:
    """Make the service over what one platform schedules."""
    service = Service("schedules", doc="Calls endpoints at their times: by interval, by cron, and once.", built_in=True)

    async def change(ctx: Context, wanted: Add | Cancel) -> bool:
        """Plan a change, and again where the schedule has just run, say; returns whether there was anything to change."""
        for _ in range(TRIES):
            operations = await scheduler.planner.plan(ctx.origin, wanted, account=ctx.account)
            if not operations:
                return False
            with contextlib.suppress(errors.Conflict):
                await engine.commit(Batch(ctx.namespace, operations))
                return True
        raise errors.Conflict(f"{wanted.id!r} is changed by others all the time; try again")

    @service.endpoint(role=Role.ACCOUNT)
    async def add(ctx: Context, schedule: Add) -> str:
        """Add a schedule, or a single call to come; returns its name in full.

        Args:
            schedule: what is called, and when.
        """
        if not schedule.id:
            schedule = msgspec.structs.replace(schedule, id=ctx.new_id())
        await change(ctx, schedule)
        return full_name(ctx.origin, schedule.id)

    @service.endpoint(role=Role.ACCOUNT)
    async def cancel(ctx: Context, id: str) -> bool:
        """Remove a single call of one's own before it is made, or a schedule; says whether there was one.

        Args:
            id: its name, as it was added or in full.
        """
        return await change(ctx, Cancel(id=id))

    @service.endpoint(role=Role.ACCOUNT)
    async def remove(ctx: Context, name: str) -> None:
        """Remove a schedule of one's own; admins remove any. What the code of a running service declares is removed there.

        Args:
            name: its name.
        """
        await change(ctx, Cancel(id=name, required=True))

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="list")
    async def list_(ctx: Context, prefix: str = "", after: str = "", limit: int = 100) -> list[Schedule]:
        """List schedules by name, each with its next and its last run.

        Args:
            prefix: only those whose names begin so.
            after: only those behind this name: the last of the page before.
            limit: so many at most, up to 1000.
        """
        return await scheduler.overview.page(ctx.namespace, prefix, after, _limit(limit))

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def get(ctx: Context, name: str) -> Schedule:
        """Show one schedule.

        Args:
            name: its name.
        """
        return await scheduler.overview.get(ctx.origin, name)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def history(ctx: Context, name: str = "", before: str = "", limit: int = 20) -> list[Run]:
        """List the runs of a schedule, the latest first: the last hundred, for thirty days.

        Args:
            name: of the schedule. Without it, single calls that have ended are listed, whatever their names.
            before: only runs before the one with this id: the last of the page before.
            limit: so many at most, up to 1000.
        """
        return await scheduler.overview.history(ctx.origin, name, before, _limit(limit))

    @service.endpoint(role=Role.ACCOUNT)
    async def pause(ctx: Context, name: str) -> None:
        """Let the times of a schedule pass until it is resumed. A run that has begun goes on.

        Args:
            name: of the schedule.
        """
        await scheduler.pause(ctx.origin, asking(ctx.origin, ctx.account), name)

    @service.endpoint(role=Role.ACCOUNT)
    async def resume(ctx: Context, name: str) -> None:
        """Run a schedule at its times again, from the next one on.

        Args:
            name: of the schedule.
        """
        await scheduler.resume(ctx.origin, asking(ctx.origin, ctx.account), name)

    @service.endpoint(role=Role.ACCOUNT)
    async def run(ctx: Context, name: str, wait: bool = False) -> Run:
        """Run a schedule now, whatever time it is, paused or not; its next time stays.

        A single call is made now in place of later.

        Args:
            name: of the schedule.
            wait: return when the run has ended, with its outcome, in place of at once.
        """
        return await scheduler.run(ctx.origin, asking(ctx.origin, ctx.account), name, wait=wait)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def watch(ctx: Context, prefix: str = "", limit: int = 100) -> AsyncIterator[list[Schedule]]:
        """Stream the list, now and after each change; changes that come together make one.

        Args:
            prefix: only those whose names begin so.
            limit: so many at most, up to 1000.
        """
        most = _limit(limit)
        changed = asyncio.Event()

        def on_change(namespace: str, name: str) -> None:
            if namespace == ctx.namespace and name.startswith(prefix):
                changed.set()

        stop = scheduler.observe(on_change)
        try:
            while True:
                changed.clear()
                yield await scheduler.overview.page(ctx.namespace, prefix, "", most)
                await changed.wait()
        finally:
            stop()

    return service


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST:
        raise errors.BadRequest(f"limit: {limit} is not between 1 and {MOST}")
    return limit
