"""What a transaction notes down beside records: events, configuration, schedules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self, TypeAlias

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.structs import Missed, Overlap
from microlite.core.description.timing import seconds
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

Length: TypeAlias = str | float | timedelta
"""A length of time: seconds, a text as in `"10m"`, or a `timedelta`."""


class Noted:
    """A change is noted down for the commit. There is nothing to wait for; who awaits it goes on at once."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


NOTED: Final = Noted()


class Notes(Protocol):
    """Where changes are noted down."""

    def note(self, change: msgspec.Struct) -> Noted:
        """Note a change down."""
        ...


class TransactionEvents:
    """`tx.events`."""

    BRIDGED = True

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def publish(
        self,
        topic: str,
        payload: object = None,
        *,
        key: str = "",
        metadata: Mapping[str, str] | None = None,
        timestamp: float | datetime | None = None,
        delay: float | timedelta = 0.0,
        deduplication_id: str = "",
    ) -> Noted:
        """Publish an event with the commit; see `ctx.events.publish`."""
        change = api.EventsPublish(
            topic=topic,
            payload=msgspec.Raw(encode_msgpack(payload)),
            key=key,
            metadata=dict(metadata or {}),
            timestamp=_instant(timestamp, "timestamp"),
            delay=_seconds(delay),
            deduplication_id=deduplication_id,
        )
        return self._notes.note(change)


class TransactionConfig:
    """`tx.config`."""

    BRIDGED = True

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def set(self, path: str, value: object, *, secret: bool = False) -> Noted:
        """Set a value with the commit; see `ctx.config.set`."""
        return self._notes.note(api.ConfigSet(path=path, value=msgspec.Raw(encode_msgpack(value)), secret=secret))

    def unset(self, path: str) -> Noted:
        """Take back, with the commit, what was set at a path."""
        return self._notes.note(api.ConfigUnset(path=path))


class TransactionSchedules:
    """`tx.schedules`."""

    BRIDGED = True

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def call(
        self,
        target: str,
        request: Mapping[str, Any] | object = None,
        /,
        *,
        delay: Length | None = None,
        at: float | datetime | None = None,
        id: str = "",
        replace: bool = False,
        timeout: Length = "5m",
        retries: int = 0,
        backoff: Length = "1s",
    ) -> Noted:
        """Have an endpoint called once, later, if the commit takes place; see `Schedules.call`.

        Args:
            target: `service.endpoint`.
            request: its fields, as a dict or any object with fields.
            delay: the time from the commit until then, in seconds, as `"10m"` or a `timedelta`.
            at: in its place, the time itself.
            id: a name of the caller's own choice, by which it can be canceled or replaced.
            replace: whether a call of this name that was not made yet gives way.
            timeout: how long it may take.
            retries: how often it is tried again when it fails.
            backoff: the time before the first such try; each next one waits twice as long.

        Raises:
            BadRequest: it does not say when, or a time cannot be.
        """
        if (delay is None) == (at is None):
            raise errors.BadRequest("say when it is due: by delay or by at")
        change = api.SchedulesAdd(
            target=target,
            request=_request(request),
            id=id,
            delay=None if delay is None else _length(delay, "delay"),
            at=_instant(at, "at") or 0.0,
            replace=replace,
            timeout=_length(timeout, "timeout"),
            retries=retries,
            backoff=_length(backoff, "backoff"),
        )
        return self._notes.note(change)

    def add(
        self,
        id: str,
        target: str,
        request: Mapping[str, Any] | object = None,
        /,
        *,
        every: Length | None = None,
        cron: str = "",
        zone: str = "UTC",
        missed: Literal["skip", "once", "all"] = "once",
        overlap: Literal["skip", "queue", "allow"] = "skip",
        timeout: Length = "5m",
        retries: int = 0,
        backoff: Length = "1s",
        replace: bool = False,
    ) -> Noted:
        """Have an endpoint called again and again from the commit on; see `Schedules.add`.

        Args:
            id: a name of the caller's own choice.
            target: `service.endpoint`.
            request: its fields, as a dict or any object with fields.
            every: the time between two runs, in seconds, as `"10m"` or a `timedelta`.
            cron: in its place, five fields, `"0 6 * * *"`.
            zone: the time zone of `cron`.
            missed: what becomes of times that pass while nothing can run.
            overlap: what happens when the run before has not ended.
            timeout: how long a run may take.
            retries: how often a run that failed is tried again.
            backoff: the time before the first such try; each next one waits twice as long.
            replace: whether a schedule of this name gives way.

        Raises:
            BadRequest: a time cannot be.
        """
        change = api.SchedulesAdd(
            target=target,
            request=_request(request),
            id=id,
            every=0.0 if every is None else _length(every, "every"),
            cron=cron,
            zone=zone,
            missed=Missed(missed),
            overlap=Overlap(overlap),
            timeout=_length(timeout, "timeout"),
            retries=retries,
            backoff=_length(backoff, "backoff"),
            replace=replace,
        )
        return self._notes.note(change)

    def cancel(self, id: str, *, required: bool = False) -> Noted:
        """Remove a schedule with the commit, or a single call that was not made yet."""
        return self._notes.note(api.SchedulesCancel(id=id, required=required))


def _request(request: object) -> dict[str, Any]:
    fields = msgspec.to_builtins({} if request is None else request)
    if not isinstance(fields, dict):
        raise errors.BadRequest("request: pass the fields of the call, as a dict or an object with fields")
    return fields


def _length(length: Length, name: str) -> float:
    return seconds(length.total_seconds() if isinstance(length, timedelta) else length, name, least=0.0)


def _seconds(delay: float | timedelta) -> float:
    return delay.total_seconds() if isinstance(delay, timedelta) else delay


def _instant(at: float | datetime | None, name: str) -> float | None:
    if not isinstance(at, datetime):
        return at
    if at.tzinfo is None:
        raise errors.BadRequest(f"{name}: {at} says no time zone; give it one, as in datetime.now(UTC)")
    return at.timestamp()
