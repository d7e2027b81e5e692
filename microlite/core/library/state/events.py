"""`ctx.events`: durable topics."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.declaration import Place
from microlite.core.description.schema import type_schema
from microlite.core.events import api
from microlite.core.events.api import Event, Misfits, Published, Retention
from microlite.core.library.state import values
from microlite.core.library.state.joining import MOST_BYTES, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from microlite.core.library.caller import Caller

T = TypeVar("T")

Moment: TypeAlias = float | datetime
"""Seconds since the Unix epoch, or a `datetime` with its time zone."""

Span: TypeAlias = float | timedelta
"""Seconds, or a `timedelta`."""

WEEK: Final = timedelta(days=7)

AGAIN: Final = 0.1
"""Seconds after which a stream that broke is opened again; each further time it is twice as long."""

LONGEST: Final = 5.0
"""The longest such wait."""

_read_event: Final = msgspec.msgpack.Decoder(Event[msgspec.Raw]).decode
_read_events: Final = msgspec.msgpack.Decoder(list[Event[msgspec.Raw]]).decode
_read_published: Final = msgspec.msgpack.Decoder(Published).decode
_read_outcomes: Final = msgspec.msgpack.Decoder(list[api.PublishOutcome]).decode
_read_published_list: Final = msgspec.msgpack.Decoder(list[Published]).decode


class Delivery(Generic[T]):
    """An event that was taken for handling, and has to be acknowledged.

    Attributes:
        event: with its payload.
    """

    BRIDGED = True

    __slots__ = ("_events", "event")

    def __init__(self, event: Event[T], events: Events) -> None:
        self.event = event
        self._events = events

    @property
    def payload(self) -> T:
        """The payload of the event."""
        return self.event.payload

    @property
    def id(self) -> str:
        """The id of the delivery: what a transaction's ack asks for."""
        return self.event.delivery

    async def ack(self) -> None:
        """Settle it for good; returns when that is on disk.

        Raises:
            Conflict: its time was up, or it was settled before.
        """
        await self._events.ack(self.id)

    async def nack(self, error: str = "", *, delay: Span | None = None, dead: bool = False) -> None:
        """Have the event delivered again later, or make it a dead letter.

        Args:
            error: why it failed.
            delay: until then, in place of the group's backoff.
            dead: whether it becomes a dead letter at once.
        """
        await self._events.nack(self.id, error, delay=delay, dead=dead)

    async def extend(self, wait: Span) -> None:
        """Take more time for it: `wait` from now on."""
        await self._events.extend(self.id, wait)

    def __repr__(self) -> str:
        return f"<Delivery {self.id} attempt {self.event.attempt}>"


class Events:
    """Publishes and consumes durable events.

    Payloads are whatever an endpoint can return. Consuming and reading name the type to get them back as one; without it,
    plain Python values come back.

    Args:
        caller: makes the calls.
    """

    BRIDGED = True

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    # -- publishing ----------------------------------------------------------------------------------------------------

    async def publish(
        self,
        topic: str,
        payload: object = None,
        *,
        key: str = "",
        metadata: Mapping[str, str] | None = None,
        timestamp: Moment | None = None,
        delay: Span = 0.0,
        deduplication_id: str = "",
    ) -> Published:
        """Put an event at the end of a topic; returns when it is on disk.

        Args:
            topic: letters, digits and `._-`; the first event makes it.
            payload: any value that fits the topic's schema, if it has one.
            key: events with the same key are handled one after the other within a group.
            metadata: short texts by name, for the consumers.
            timestamp: when it happened; without it, now.
            delay: after which it takes its place in the topic.
            deduplication_id: of two events of the topic with the same one, within a day, only the first is published.

        Raises:
            Unprocessable: the payload does not fit the topic's schema.
            PayloadTooLarge: it has more than about 1 MiB.
        """
        encoded = encode_msgpack(payload)
        event = self.event(
            topic,
            msgspec.Raw(encoded),
            key=key,
            metadata=metadata,
            timestamp=timestamp,
            delay=delay,
            deduplication_id=deduplication_id,
        )
        if len(encoded) > MOST_BYTES:
            return await self._publish_alone(event)
        return await join(
            self._caller, "events.publish", event, len(encoded), self._publish_alone, self._publish_together
        )

    async def _publish_alone(self, event: api.Publish) -> Published:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        return _read_published(await self._call("publish", fields))

    async def _publish_together(self, events: list[api.Publish]) -> list[Published | errors.Error]:
        outcomes = _read_outcomes(await self._call("publish-each", {"batch": events}))
        return [outcome.published or outcome.failure() for outcome in outcomes]

    @staticmethod
    def event(
        topic: str,
        payload: object = None,
        *,
        key: str = "",
        metadata: Mapping[str, str] | None = None,
        timestamp: Moment | None = None,
        delay: Span = 0.0,
        deduplication_id: str = "",
    ) -> api.Publish:
        """An event for `publish_many`; the arguments are those of `publish`."""
        return api.Publish(
            topic=topic,
            payload=payload,
            key=key,
            metadata=dict(metadata or {}),
            timestamp=None if timestamp is None else instant(timestamp),
            delay=seconds(delay),
            deduplication_id=deduplication_id,
        )

    async def publish_many(self, events: Iterable[api.Publish]) -> list[Published]:
        """Publish several events, all or none; they stay in their order.

        Args:
            events: at most 500, each made by `event`, with the arguments of `publish`.
        """
        return _read_published_list(await self._call("publish-many", {"batch": list(events)}))

    # -- consuming -----------------------------------------------------------------------------------------------------

    async def pull(
        self,
        topic: str,
        group: str,
        of: Any = Any,
        *,
        max: int = 1,
        wait: Span = 0.0,
        ack_wait: Span | None = None,
        start: str | Moment = "beginning",
    ) -> list[Delivery[Any]]:
        """Take events for handling.

        Args:
            topic: which events.
            group: each event goes to one of those who pull for a group; the first pull makes it.
            of: the type of the payload.
            max: at most so many, 1 to 500.
            wait: how long to wait for the first one.
            ack_wait: the time for the ack, in place of that of the group.
            start: where a new group begins: `"beginning"`, `"new"`, or a moment.
        """
        wait = seconds(wait)
        caller = self._caller if wait < 25 else self._caller.options(timeout=wait + 10)
        fields = {
            "topic": topic,
            "group": group,
            "max": max,
            "wait": wait,
            "ack_wait": None if ack_wait is None else seconds(ack_wait),
            "start": _start(start),
        }
        found = _read_events(await caller.call_raw("events", "pull", encode_msgpack(fields)))
        return [Delivery(_typed(event, of), self) for event in found]

    async def consume(
        self,
        topic: str,
        group: str = "",
        of: Any = Any,
        *,
        max: int = 32,
        ack_wait: Span | None = None,
        start: str | Moment | None = None,
        auto_ack: bool = False,
    ) -> AsyncIterator[Delivery[Any]]:
        """Stream events for handling, for ever: each is to be acknowledged, in any order.

        When the iteration is left, what is not acknowledged goes to somebody else. A platform that is restarted meanwhile
        is waited for.

        Args:
            topic: which events.
            group: each event goes to one of those who consume for a group. Without it, to a group of its own, of which
                nothing stays when the iteration is left; it begins with what is new.
            of: the type of the payload.
            max: most deliveries that wait for their ack at a time.
            ack_wait: the time for the ack, in place of that of the group.
            start: where a new group begins: `"beginning"`, `"new"`, or a moment.
            auto_ack: acknowledge each event when the next one is asked for. One whose time was up by then comes again.
        """
        fields: dict[str, object] = {"topic": topic, "group": group, "max": max}
        if ack_wait is not None:
            fields["ack_wait"] = seconds(ack_wait)
        if start is not None:
            fields["start"] = _start(start)
        delay = AGAIN
        while True:
            stream = self._caller.stream_raw("events", "consume", encode_msgpack(fields), decode=_read_event)
            try:
                async with aclosing(stream):
                    async for event in stream:
                        delay = AGAIN
                        delivery = Delivery(_typed(event, of), self)
                        yield delivery
                        if auto_ack:
                            with suppress(errors.Conflict):  # its time was up: it is delivered again
                                await delivery.ack()
            except errors.ServiceUnavailable:
                if not group:
                    raise  # what a private group has seen is forgotten with it
            await asyncio.sleep(delay)
            self._caller.renew()
            delay = min(2 * delay, LONGEST)

    async def ack(self, *deliveries: str | Delivery[Any]) -> None:
        """Settle deliveries for good; returns when that is on disk.

        Raises:
            Conflict: the time of one of them was up, or it was settled before; the others are settled.
        """
        ids = [one.id if isinstance(one, Delivery) else one for one in deliveries]
        await self._call("ack", {"deliveries": ids})

    async def nack(
        self, delivery: str | Delivery[Any], error: str = "", *, delay: Span | None = None, dead: bool = False
    ) -> None:
        """Have an event delivered again later, or make it a dead letter; see `Delivery.nack`."""
        fields = {
            "delivery": delivery.id if isinstance(delivery, Delivery) else delivery,
            "error": error,
            "delay": None if delay is None else seconds(delay),
            "dead": dead,
        }
        await self._call("nack", fields)

    async def extend(self, delivery: str | Delivery[Any], wait: Span) -> None:
        """Take more time for a delivery: `wait` from now on. A handler finds its own in `ctx.metadata["event-delivery"]`."""
        name = delivery.id if isinstance(delivery, Delivery) else delivery
        await self._call("extend", {"delivery": name, "wait": seconds(wait)})

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(
        self,
        topic: str,
        of: Any = Any,
        *,
        after: int = 0,
        since: Moment | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> list[Event[Any]]:
        """Read events without consuming them.

        Args:
            topic: which events.
            of: the type of the payload.
            after: begin behind this position, or before it in `reverse`; 0 for the beginning, or the end in `reverse`.
            since: begin with what was published then or later; in `reverse`, end there.
            limit: at most so many, 1 to 500.
            reverse: the latest first.
        """
        fields = {
            "topic": topic,
            "after": after,
            "since": None if since is None else instant(since),
            "limit": limit,
            "reverse": reverse,
        }
        return [_typed(event, of) for event in _read_events(await self._call("read", fields))]

    async def follow(
        self, topic: str, of: Any = Any, *, after: int | None = None, since: Moment | None = None
    ) -> AsyncIterator[Event[Any]]:
        """Stream events without consuming them, for ever: those that are there, and each further one as it comes.

        A stream that breaks is opened again behind the last event, without a gap.

        Args:
            topic: which events.
            of: the type of the payload.
            after: begin behind this position, 0 for the beginning; without it, and without `since`, with what is new.
            since: begin with what was published then or later.
        """
        fields: dict[str, object] = {"topic": topic}
        if after is None and since is None:
            status = await self._settled("topics", {"prefix": topic}, list[api.TopicStatus])
            after = next((one.last for one in status if one.name == topic), 0)
        if after is not None:
            fields["after"] = after
        if since is not None:
            fields["since"] = instant(since)
        delay = AGAIN
        while True:
            stream = self._caller.stream_raw("events", "follow", encode_msgpack(fields), decode=_read_event)
            try:
                async with aclosing(stream):
                    async for event in stream:
                        delay = AGAIN
                        fields = {"topic": topic, "after": event.position}
                        yield _typed(event, of)
            except errors.ServiceUnavailable:
                pass
            await asyncio.sleep(delay)
            self._caller.renew()
            delay = min(2 * delay, LONGEST)

    # -- topics --------------------------------------------------------------------------------------------------------

    async def topics(self, prefix: str = "") -> list[api.TopicStatus]:
        """The topics of the namespace."""
        return await self._settled("topics", {"prefix": prefix}, list[api.TopicStatus])

    async def topic(self, topic: str) -> api.TopicStatus:
        """A topic: its settings, where it stands, its groups with their lag."""
        return await self._settled("topic", {"topic": topic}, api.TopicStatus)

    async def set_topic(
        self,
        topic: str,
        *,
        age: Span = WEEK,
        count: int = 0,
        size: int = 0,
        schema: Any = None,
        misfits: Misfits | str = Misfits.REFUSE,
    ) -> api.TopicStatus:
        """Make a topic, or change one: what is not given is as for a new topic.

        Args:
            topic: its name.
            age: how long events stay, handled or not; 0 for no limit.
            count: how many stay at most; 0 for no limit.
            size: how many bytes they have together at most; 0 for no limit.
            schema: the type of the payload, or its JSON Schema; without it any payload is taken.
            misfits: what happens to other payloads: `"refuse"` or `"quarantine"`.
        """
        retention = Retention(age=seconds(age), count=count, size=size)
        settings = api.TopicSettings(retention=retention, schema=schema_of(schema), misfits=Misfits(misfits))
        return await self._settled("set-topic", {"topic": topic, "settings": settings}, api.TopicStatus)

    async def declare(self, topic: str, of: Any, *, misfits: Misfits | str = Misfits.REFUSE) -> api.TopicStatus:
        """Say what a topic takes, and leave its other settings as they are.

        Args:
            topic: its name.
            of: the type of the payload, or its JSON Schema.
            misfits: what happens to other payloads: `"refuse"` or `"quarantine"`.
        """
        known = {one.name: one.settings for one in await self.topics(topic)}
        settings = msgspec.structs.replace(
            known.get(topic, api.TopicSettings()), schema=schema_of(of), misfits=Misfits(misfits)
        )
        return await self._settled("set-topic", {"topic": topic, "settings": settings}, api.TopicStatus)

    async def delete_topic(self, topic: str) -> None:
        """Remove a topic with its events, groups and dead letters."""
        await self._call("delete-topic", {"topic": topic})

    # -- groups --------------------------------------------------------------------------------------------------------

    async def groups(self, topic: str = "") -> list[api.GroupStatus]:
        """The groups of a topic, or of all, with their lag."""
        return await self._settled("groups", {"topic": topic}, list[api.GroupStatus])

    async def set_group(
        self,
        topic: str,
        group: str,
        *,
        retries: int = 5,
        ack_wait: Span = 30.0,
        backoff: Span = 1.0,
        max_backoff: Span = 300.0,
        concurrency: int = 32,
        start: str | Moment = "beginning",
    ) -> api.GroupStatus:
        """Make a group, or change the settings of one; see `Service.consume` for their meanings."""
        settings = api.GroupSettings(
            retries=retries,
            ack_wait=seconds(ack_wait),
            backoff=seconds(backoff),
            max_backoff=seconds(max_backoff),
            concurrency=concurrency,
        )
        fields = {"topic": topic, "group": group, "settings": settings, "start": _start(start)}
        return await self._settled("set-group", fields, api.GroupStatus)

    async def reset_group(
        self, topic: str, group: str, to: str | Moment = "beginning", *, position: int | None = None
    ) -> api.GroupStatus:
        """Let a group begin anew somewhere: it handles all events from there on, also those that it has handled before.

        Args:
            topic: of which events.
            group: its name.
            to: `"beginning"`, `"new"`, or a moment.
            position: in place of `to`, the position of the first event that it is to handle.
        """
        fields = {"topic": topic, "group": group, "to": _start(to), "position": position}
        return await self._settled("reset-group", fields, api.GroupStatus)

    async def delete_group(self, topic: str, group: str) -> None:
        """Remove a group with its dead letters."""
        await self._call("delete-group", {"topic": topic, "group": group})

    # -- dead letters --------------------------------------------------------------------------------------------------

    async def dead_letters(
        self, topic: str, group: str | None = None, *, kind: str = "", after: str = "", limit: int = 100
    ) -> api.DeadLetters:
        """One page of dead letters, with all their attempts.

        Args:
            topic: of this topic.
            group: of this group; empty for those in quarantine, and without it all.
            kind: only those that died of this, as `dead_kinds` gives it.
            after: the cursor of the page before.
            limit: at most so many.
        """
        fields = {"topic": topic, "group": group, "kind": kind, "after": after, "limit": limit}
        return await self._settled("dead-letters", fields, api.DeadLetters)

    async def dead_kinds(self, topic: str = "", group: str | None = None) -> list[api.DeadKind]:
        """Dead letters counted by error, the most frequent first."""
        return await self._settled("dead-kinds", {"topic": topic, "group": group}, list[api.DeadKind])

    async def edit_dead_letter(self, letter: api.DeadLetter, payload: object) -> api.DeadLetter:
        """Change the payload of a dead letter, before it is redriven."""
        fields = {"topic": letter.topic, "group": letter.group, "id": letter.id, "payload": payload}
        return await self._settled("edit-dead-letter", fields, api.DeadLetter)

    async def redrive(self, topic: str, group: str, ids: Sequence[str] | None = None, *, kind: str = "") -> int:
        """Have dead letters delivered again, each at the end of the topic and for its group only; returns how many.

        Args:
            topic: of their events.
            group: which has given them up; empty for quarantine, from where they go to all groups.
            ids: which; without it all, or all of `kind`.
            kind: only those that died of this.
        """
        fields = {"topic": topic, "group": group, "ids": None if ids is None else list(ids), "kind": kind}
        return await self._settled("redrive", fields, int)

    async def delete_dead_letters(
        self, topic: str, group: str, ids: Sequence[str] | None = None, *, kind: str = ""
    ) -> int:
        """Remove dead letters for good; returns how many. The arguments are those of `redrive`."""
        fields = {"topic": topic, "group": group, "ids": None if ids is None else list(ids), "kind": kind}
        return await self._settled("delete-dead-letters", fields, int)

    # ------------------------------------------------------------------------------------------------------------------

    async def _call(self, endpoint: str, fields: dict[str, Any]) -> bytes:
        return await self._caller.call_raw("events", endpoint, encode_msgpack(fields))

    async def _settled(self, endpoint: str, fields: dict[str, Any], of: type[T]) -> T:
        return msgspec.msgpack.decode(await self._call(endpoint, fields), type=of)


def schema_of(declared: Any) -> dict[str, Any]:
    """The JSON Schema of a type, or the one that is given.

    Raises:
        DeclarationError: the type has none.
    """
    if declared is None:
        return {}
    if isinstance(declared, dict):
        return declared
    return type_schema(declared, Place.of(schema_of), "the schema of a topic")


def seconds(span: Span) -> float:
    """A length of time in seconds."""
    return span.total_seconds() if isinstance(span, timedelta) else float(span)


def instant(moment: Moment) -> float:
    """A moment in seconds since the Unix epoch.

    Raises:
        BadRequest: it has no time zone.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise errors.BadRequest("a datetime needs a time zone here: write datetime.now(UTC), for example")
        return moment.timestamp()
    return float(moment)


def _start(start: str | Moment) -> str | float:
    return start if isinstance(start, str) else instant(start)


def _typed(event: Event[msgspec.Raw], of: Any) -> Event[Any]:
    payload = values.decode(event.payload, of, f"the payload of event {event.position} of {event.topic}")
    return msgspec.structs.replace(cast("Event[Any]", event), payload=payload)
