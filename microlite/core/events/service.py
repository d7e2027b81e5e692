"""The built-in service `events`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.description.event_id import LAST_EVENT_ID
from microlite.core.events.api import (
    DeadKind,
    DeadLetter,
    DeadLetters,
    Event,
    GroupSettings,
    GroupStatus,
    Publish,
    Published,
    PublishOutcome,
    TopicSettings,
    TopicStatus,
)
from microlite.core.library.context import Context
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.events.events import Events


def events_service(events: Events) -> Service:
    """Make the service over the topics of one platform."""
    service = Service(
        "events",
        doc="Durable topics: publish events, and have groups of consumers handle each at least once, in order of its key.",
        built_in=True,
    )
    _add_publishing(service, events)
    _add_consuming(service, events)
    _add_reading(service, events)
    _add_topics(service, events)
    _add_groups(service, events)
    _add_dead_letters(service, events)
    return service


def _add_publishing(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT)
    async def publish(
        ctx: Context,
        topic: str,
        payload: Any = None,
        key: str = "",
        metadata: dict[str, str] = {},  # noqa: B006 - the library copies it for each call
        timestamp: float | None = None,
        delay: float = 0.0,
        deduplication_id: str = "",
    ) -> Published:
        """Put an event at the end of a topic, and return when it is on disk. The first event makes the topic.

        Args:
            topic: letters, digits and `._-`, as in `orders.created`.
            payload: any value that fits the topic's schema, if it has one; at most about 1 MiB.
            key: events with the same key are handled one after the other within a group; empty for no order.
            metadata: short texts by name, for the consumers.
            timestamp: when it happened, in seconds since the Unix epoch; without it, now.
            delay: seconds after which it takes its place in the topic.
            deduplication_id: of two events of a topic with the same one, within a day, only the first is published; the
                second call answers what the first one did.
        """
        change = Publish(
            topic=topic,
            payload=payload,
            key=key,
            metadata=metadata,
            timestamp=timestamp,
            delay=delay,
            deduplication_id=deduplication_id,
        )
        return (await events.publish(ctx.origin, [change], ctx.asked))[0]

    @service.endpoint(role=Role.ACCOUNT)
    async def publish_many(ctx: Context, batch: list[Publish]) -> list[Published]:
        """Put several events at the end of their topics: all of them, or none. They stay in their order.

        Args:
            batch: at most 500, as `publish` takes them, each with `"type": "publish"`; 4 MiB together.
        """
        return await events.publish(ctx.origin, batch, ctx.asked)

    @service.endpoint(role=Role.ACCOUNT)
    async def publish_each(ctx: Context, batch: list[Publish]) -> list[PublishOutcome]:
        """Put several events at the end of their topics, each for itself: what is wrong with one does not stop the others.

        Those that have nothing to wait for stay in their order.

        Args:
            batch: at most 500, as `publish` takes them, each with `"type": "publish"`; 4 MiB together.
        """
        return await events.publish_each(ctx.origin, batch, ctx.asked)


def _add_consuming(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT)
    async def pull(
        ctx: Context,
        topic: str,
        group: str,
        max: int = 1,
        wait: float = 0.0,
        ack_wait: float | None = None,
        start: str | float = "beginning",
    ) -> list[Event]:  # type: ignore[type-arg]  # of any payload
        """Take events for handling, each of which has to be acknowledged by the id of its delivery.

        The first pull makes the group. What is not acknowledged in time is delivered again.

        Args:
            topic: which events.
            group: for which group of consumers: each event goes to one of them.
            max: at most so many, 1 to 500.
            wait: seconds to wait for the first one, if there is none; at most 300, and less than the call may take.
            ack_wait: seconds for the ack, in place of those of the group.
            start: where a new group begins: `beginning`, `new`, or a time in seconds since the Unix epoch.
        """
        limit = ctx.deadline
        if limit is not None:
            wait = min(wait, limit - 0.5)
        return await events.pull(ctx.origin, topic, group, count=max, wait=wait, ack_wait=ack_wait, start=start)

    @service.endpoint(role=Role.ACCOUNT)
    async def consume(
        ctx: Context,
        topic: str,
        group: str = "",
        max: int = 32,
        ack_wait: float | None = None,
        start: str | float | None = None,
    ) -> AsyncIterator[Event]:  # type: ignore[type-arg]  # of any payload
        """Stream events for handling, each of which has to be acknowledged by the id of its delivery.

        What is not acknowledged when the stream ends is delivered again, to somebody else.

        Args:
            topic: which events.
            group: for which group of consumers: each event goes to one of them. Empty for a group of its own, which ends
                with the stream.
            max: most events that wait for their ack at a time, 1 to 500.
            ack_wait: seconds for the ack, in place of those of the group.
            start: where a new group begins: `beginning`, `new`, or a time in seconds since the Unix epoch; without it, the
                beginning for a named group, and what is new for one of its own.
        """
        async for event in events.consume(ctx.origin, topic, group, most=max, ack_wait=ack_wait, start=start):
            yield event

    @service.endpoint(role=Role.ACCOUNT)
    async def ack(ctx: Context, deliveries: list[str]) -> None:
        """Settle deliveries for good, and return when that is on disk: their events are never delivered again.

        Args:
            deliveries: the ids of deliveries that are under way, as the events carry them; at most 500.
        """
        await events.ack(ctx.origin, deliveries)

    @service.endpoint(role=Role.ACCOUNT)
    async def nack(
        ctx: Context, delivery: str, error: str = "", delay: float | None = None, dead: bool = False
    ) -> None:
        """Say that a delivery has failed: the event is delivered again later, or becomes a dead letter after its retries.

        Args:
            delivery: its id.
            error: why; dead letters are grouped by it.
            delay: seconds until the next delivery, in place of the group's backoff.
            dead: whether to make it a dead letter at once.
        """
        await events.nack(ctx.origin, delivery, error=error, delay=delay, dead=dead)

    @service.endpoint(role=Role.ACCOUNT)
    async def extend(ctx: Context, delivery: str, wait: float) -> None:
        """Give a delivery more time for its ack.

        Args:
            delivery: its id.
            wait: seconds from now on.
        """
        await events.extend(ctx.origin, delivery, wait)


def _add_reading(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def read(
        ctx: Context,
        topic: str,
        after: int = 0,
        since: float | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> list[Event]:  # type: ignore[type-arg]  # of any payload
        """Read events without consuming them.

        Args:
            topic: which events.
            after: begin behind this position, or before it in `reverse`; 0 for the beginning, or the end in `reverse`.
            since: begin with what was published at this time, in seconds since the Unix epoch, or later; in `reverse`, end
                there.
            limit: at most so many, 1 to 500; fewer where they have more than 4 MiB together.
            reverse: the latest first.
        """
        return await events.read(ctx.origin, topic, after=after, since=since, limit=limit, reverse=reverse)

    @service.endpoint(role=Role.ACCOUNT, reads=True, event_id="position")
    async def follow(
        ctx: Context, topic: str, after: int | None = None, since: float | None = None
    ) -> AsyncIterator[Event]:  # type: ignore[type-arg]  # of any payload
        """Stream events without consuming them: those that are there, and each further one as it comes.

        Over HTTP it resumes by `Last-Event-ID`, without a gap.

        Args:
            topic: which events.
            after: begin behind this position, 0 for the beginning; without it, and without `since`, with what is new.
            since: begin with what was published at this time, in seconds since the Unix epoch, or later.
        """
        resumed = ctx.metadata.get(LAST_EVENT_ID)
        if resumed is not None:
            if not (resumed.isascii() and resumed.isdigit()):
                raise errors.BadRequest("Last-Event-ID: expected the id of an event of this stream, which is a number")
            after, since = int(resumed), None
        async for event in events.follow(ctx.origin, topic, after=after, since=since):
            yield event


def _add_topics(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def topics(ctx: Context, prefix: str = "") -> list[TopicStatus]:
        """List the topics of the namespace.

        Args:
            prefix: only those whose names begin with it.
        """
        return await events.topics.all(ctx.origin, prefix)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def topic(ctx: Context, topic: str) -> TopicStatus:
        """Describe a topic: its settings, where it stands, its groups with their lag.

        Args:
            topic: its name.
        """
        return await events.describe(ctx.origin, topic)

    @service.endpoint(role=Role.ACCOUNT, idempotent=True)
    async def set_topic(ctx: Context, topic: str, settings: TopicSettings) -> TopicStatus:
        """Make a topic, or change the settings of one.

        Args:
            topic: its name.
            settings: all of them; what is left out is as for a new topic.
        """
        return await events.topics.set(ctx.origin, topic, settings)

    @service.endpoint(role=Role.ACCOUNT)
    async def delete_topic(ctx: Context, topic: str) -> None:
        """Remove a topic with its events, groups and dead letters.

        Args:
            topic: its name.
        """
        await events.delete_topic(ctx.origin, topic)


def _add_groups(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def groups(ctx: Context, topic: str = "") -> list[GroupStatus]:
        """List groups with their lag.

        Args:
            topic: only those of this topic; all without it.
        """
        return await events.groups.all(ctx.origin, topic)

    @service.endpoint(role=Role.ACCOUNT, idempotent=True)
    async def set_group(
        ctx: Context, topic: str, group: str, settings: GroupSettings, start: str | float = "beginning"
    ) -> GroupStatus:
        """Make a group, or change the settings of one.

        An endpoint that consumes sets those that it declares whenever it comes up.

        Args:
            topic: of which events.
            group: its name.
            settings: all of them; what is left out is as for a new group.
            start: where a new group begins: `beginning`, `new`, or a time in seconds since the Unix epoch.
        """
        return await events.groups.set(ctx.origin, topic, group, settings, start)

    @service.endpoint(role=Role.ACCOUNT)
    async def reset_group(
        ctx: Context, topic: str, group: str, to: str | float = "beginning", position: int | None = None
    ) -> GroupStatus:
        """Let a group begin anew somewhere: it handles all events from there on, also those that it has handled before.

        What is under way is forgotten: its acks are refused from then on.

        Args:
            topic: of which events.
            group: its name.
            to: `beginning`, `new`, or a time in seconds since the Unix epoch.
            position: in place of `to`, the position of the first event that it is to handle.
        """
        return await events.groups.reset(ctx.origin, topic, group, to, position)

    @service.endpoint(role=Role.ACCOUNT)
    async def delete_group(ctx: Context, topic: str, group: str) -> None:
        """Remove a group with its dead letters. One that is being consumed comes back, and begins where new ones do.

        Args:
            topic: of which events.
            group: its name.
        """
        await events.groups.delete(ctx.origin, topic, group)


def _add_dead_letters(service: Service, events: Events) -> None:
    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_letters(
        ctx: Context, topic: str, group: str | None = None, kind: str = "", after: str = "", limit: int = 100
    ) -> DeadLetters:
        """List dead letters with all their attempts, the oldest of each group first.

        Args:
            topic: of this topic.
            group: of this group; empty for those in quarantine, and without it all.
            kind: only those that died of this, as `dead_kinds` gives it.
            after: the cursor of the page before.
            limit: at most so many, 1 to 500; fewer where they are large, or many are of another kind. Only the cursor says
                whether there is more.
        """
        return await events.dead.page(ctx.origin, topic, group, kind=kind, after=after, limit=limit)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_kinds(ctx: Context, topic: str = "", group: str | None = None) -> list[DeadKind]:
        """Count dead letters by error, the most frequent first. More than a thousand are counted once a minute at least.

        Args:
            topic: of this topic; of all without it.
            group: of this group; empty for those in quarantine, and without it all.
        """
        return await events.dead.kinds(ctx.origin, topic, group)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_letter(ctx: Context, topic: str, group: str, id: str) -> DeadLetter:
        """Show one dead letter: its event, and each attempt that was made.

        Args:
            topic: of its event.
            group: which has given it up; empty for quarantine.
            id: its id.
        """
        return await events.dead.read(ctx.origin, topic, group, id)

    @service.endpoint(role=Role.ACCOUNT)
    async def edit_dead_letter(ctx: Context, topic: str, group: str, id: str, payload: Any) -> DeadLetter:
        """Change the payload of a dead letter, so that it can be delivered again with another one.

        Args:
            topic: of its event.
            group: which has given it up; empty for quarantine.
            id: its id.
            payload: the new payload; it has to fit the topic's schema.
        """
        return await events.dead.edit(ctx.origin, topic, group, id, payload, ctx.asked)

    @service.endpoint(role=Role.ACCOUNT)
    async def redrive(ctx: Context, topic: str, group: str, ids: list[str] | None = None, kind: str = "") -> int:
        """Have dead letters delivered again: each goes to the end of the topic, for its group only. Returns how many.

        One from quarantine goes to all groups; it has to fit the topic's schema by now.

        Args:
            topic: of their events.
            group: which has given them up; empty for quarantine.
            ids: which; without it all, or all of `kind`.
            kind: only those that died of this.
        """
        return await events.dead.redrive(ctx.origin, topic, group, ids, kind)

    @service.endpoint(role=Role.ACCOUNT)
    async def delete_dead_letters(
        ctx: Context, topic: str, group: str, ids: list[str] | None = None, kind: str = ""
    ) -> int:
        """Remove dead letters for good. Returns how many.

        Args:
            topic: of their events.
            group: which has given them up; empty for quarantine.
            ids: which; without it all, or all of `kind`.
            kind: only those that died of this.
        """
        return await events.dead.delete(ctx.origin, topic, group, ids, kind)
