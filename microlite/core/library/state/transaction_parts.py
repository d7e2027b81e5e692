"""What a transaction notes down beside records: events, configuration, schedules."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


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
        request: object = None,
        /,
        *,
        delay: float | timedelta | None = None,
        at: float | datetime | None = None,
        id: str = "",
        timeout: float = 300.0,
        retries: int = 0,
        backoff: float = 1.0,
        **fields: object,
    ) -> Noted:
        """Call an endpoint once, later, if the commit takes place; see `ctx.schedules.call`.

        Args:
            target: `service.endpoint`.
            request: all fields at once, in place of `fields`.
            delay: seconds from the commit until the call.
            at: when the call is.
            id: by which the call can be canceled.
            timeout: seconds that the call may take.
            retries: how often it is tried again when it has failed.
            backoff: seconds before the first such try; each next one waits twice as long.
            fields: of the request.
        """
        change = api.SchedulesAdd(
            target=target,
            request=_request(fields if request is None else request),
            id=id,
            delay=None if delay is None and at is not None else _seconds(delay or 0.0),
            at=_instant(at, "at") or 0.0,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
        )
        return self._notes.note(change)

    def add(self, target: str, request: object = None, /, **options: Any) -> Noted:
        """Call an endpoint again and again from the commit on; see `ctx.schedules.add`.

        Args:
            target: `service.endpoint`.
            request: the fields of the calls.
            options: `every` or `cron`, and what else `POST /schedules/add` takes.
        """
        try:
            change = api.SchedulesAdd(target=target, request=_request(request or {}), **options)
        except TypeError as error:
            raise errors.BadRequest(f"schedules.add: {error}") from None
        return self._notes.note(change)

    def cancel(self, id: str, *, required: bool = False) -> Noted:
        """Remove a schedule with the commit, or a single call that was not made yet."""
        return self._notes.note(api.SchedulesCancel(id=id, required=required))


def _request(request: object) -> Any:
    fields = msgspec.to_builtins(request)
    if not isinstance(fields, dict):
        raise errors.BadRequest(f"a request is an object with fields, not {type(request).__name__}")
    return fields


def _seconds(delay: float | timedelta) -> float:
    return delay.total_seconds() if isinstance(delay, timedelta) else delay


def _instant(at: float | datetime | None, name: str) -> float | None:
    if not isinstance(at, datetime):
        return at
    if at.tzinfo is None:
        raise errors.BadRequest(f"{name}: {at} says no time zone; give it one, as in datetime.now(UTC)")
    return at.timestamp()
