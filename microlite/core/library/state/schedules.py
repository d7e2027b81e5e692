"""Calls at their time, as handlers and scripts ask for them: `ctx.schedules`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from microlite.core import errors
from microlite.core.description.timing import seconds, timing
from microlite.core.schedules.api import Add, Run, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.library.caller import Caller

Listed: TypeAlias = list[Schedule]


class Schedules:
    """Schedules and single calls to come, of the caller's namespace. All of it is on disk when a method returns.

    Args:
        caller: makes the calls.
    """

    BRIDGED = True

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def call(
        self,
        target: str,
        request: Mapping[str, Any] | object = None,
        /,
        *,
        delay: str | float | None = None,
        at: datetime | float | None = None,
        id: str = "",
        replace: bool = False,
        timeout: str | float = "5m",
        retries: int = 0,
        backoff: str | float = "1s",
    ) -> str:
        """Have an endpoint called once, later. Returns the name by which `cancel` knows it.

        Args:
            target: `service.endpoint`.
            request: its fields, as a dict or any object with fields.
            delay: the time until then, in seconds or as `"10m"`.
            at: in its place, the time itself: a datetime with a time zone, or seconds since the Unix epoch.
            id: a name of the caller's own choice, by which it can be cancelled or replaced.
            replace: whether a call of this name that was not made yet gives way.
            timeout: how long it may take.
            retries: how often it is tried again when it fails.
            backoff: the time before the first such try; each next one waits twice as long.

        Raises:
            Conflict: there is one of this name.
            BadRequest: it cannot be, and why.
        """
        if (delay is None) == (at is None):
            raise errors.BadRequest("say when it is due: by delay or by at")
        change = Add(
            target=target,
            request=_fields(request),
            id=id,
            delay=None if delay is None else seconds(delay, "delay", least=0.0),
            at=0.0 if at is None else moment(at),
            replace=replace,
            timeout=seconds(timeout, "timeout", least=0.001),
            retries=retries,
            backoff=seconds(backoff, "backoff", least=0.0),
        )
        return str(await self._caller.call("schedules.add", schedule=change))

    async def add(
        self,
        id: str,
        target: str,
        request: Mapping[str, Any] | object = None,
        /,
        *,
        every: str | float | None = None,
        cron: str = "",
        zone: str = "UTC",
        missed: Literal["skip", "once", "all"] = "once",
        overlap: Literal["skip", "queue", "allow"] = "skip",
        timeout: str | float = "5m",
        retries: int = 0,
        backoff: str | float = "1s",
        replace: bool = False,
    ) -> str:
        """Have an endpoint called again and again. Returns the full name of the schedule.

        Args:
            id: a name of the caller's own choice.
            target: `service.endpoint`.
            request: its fields, as a dict or any object with fields.
            every: the time between two runs, in seconds or as `"10m"`.
            cron: in its place, five fields, `"0 6 * * *"`; and all further options as in `Service.every`.
            replace: whether a schedule of this name gives way.

        Raises:
            Conflict: there is one of this name.
            BadRequest: it cannot be, and why.
        """
        when = timing(
            every,
            cron=cron,
            zone=zone,
            missed=missed,
            overlap=overlap,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
        )
        fields = {field: getattr(when, field) for field in when.__struct_fields__}
        change = Add(target=target, request=_fields(request), id=id, replace=replace, **fields)
        return str(await self._caller.call("schedules.add", schedule=change))

    async def cancel(self, id: str) -> bool:
        """Remove a schedule, or a call that was not made yet. Says whether there was one: a call may just have been made."""
        return bool(await self._caller.call("schedules.cancel", id=id))

    async def pause(self, name: str) -> None:
        """Let the times of a schedule pass until `resume`."""
        await self._caller.call("schedules.pause", name=name)

    async def resume(self, name: str) -> None:
        """Run a schedule at its times again."""
        await self._caller.call("schedules.resume", name=name)

    async def run(self, name: str, *, wait: bool = False) -> Run:
        """Run a schedule now. With `wait` the run has ended when this returns."""
        return msgspec.convert(await self._caller.call("schedules.run", name=name, wait=wait), Run)

    async def get(self, name: str) -> Schedule:
        """A schedule as it stands."""
        return msgspec.convert(await self._caller.call("schedules.get", name=name), Schedule)

    async def history(self, name: str = "", *, before: str = "", limit: int = 20) -> list[Run]:
        """The runs of a schedule, the latest first; without a name those of all single calls that have ended."""
        found = await self._caller.call("schedules.history", name=name, before=before, limit=limit)
        return msgspec.convert(found, list[Run])

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Listed:
        """Schedules by name, from behind `after` on."""
        found = await self._caller.call("schedules.list", prefix=prefix, after=after, limit=limit)
        return msgspec.convert(found, Listed)


def moment(at: datetime | float) -> float:
    """A time in seconds since the Unix epoch.

    Raises:
        BadRequest: it is a datetime without a time zone.
    """
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise errors.BadRequest("at: a datetime without a time zone could mean any; write datetime.now(UTC) + …")
        return at.timestamp()
    return float(at)


def _fields(request: object) -> dict[str, Any]:
    fields = msgspec.to_builtins({} if request is None else request)
    if not isinstance(fields, dict):
        raise errors.BadRequest("request: pass the fields of the call, as a dict or an object with fields")
    return fields
