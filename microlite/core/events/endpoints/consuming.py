"""The endpoints that hand out events: for handling, and for reading only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.description.event_id import LAST_EVENT_ID
from microlite.core.events.api import Event
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits


def serve_consuming(service: Service, events: Events, permits: Permits) -> None:
    """Add the endpoints that hand out events to be acknowledged."""

    def permit(ctx: Context, delivery: str) -> None:
        permits.check(ctx, ResourceType.TOPIC, delivery.partition("/")[0], "subscribe")

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
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
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
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        consuming = events.consume(ctx.origin, topic, group, most=max, ack_wait=ack_wait, start=start)
        async with aclosing(consuming) as handed:
            async for event in handed:
                permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")  # a rule may have come since
                yield event

    @service.endpoint(role=Role.ACCOUNT)
    async def ack(ctx: Context, deliveries: list[str]) -> None:
        """Settle deliveries for good, and return when that is on disk: their events are never delivered again.

        Args:
            deliveries: the ids of deliveries that are under way, as the events carry them; at most 500.
        """
        for delivery in deliveries:
            permit(ctx, delivery)
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
        permit(ctx, delivery)
        await events.nack(ctx.origin, delivery, error=error, delay=delay, dead=dead)

    @service.endpoint(role=Role.ACCOUNT)
    async def extend(ctx: Context, delivery: str, wait: float) -> None:
        """Give a delivery more time for its ack.

        Args:
            delivery: its id.
            wait: seconds from now on.
        """
        permit(ctx, delivery)
        await events.extend(ctx.origin, delivery, wait)


def serve_reading(service: Service, events: Events, permits: Permits) -> None:
    """Add the endpoints that show events without consuming them."""

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
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
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
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        resumed = ctx.metadata.get(LAST_EVENT_ID)
        if resumed is not None:
            if not (resumed.isascii() and resumed.isdigit()):
                raise errors.BadRequest("Last-Event-ID: expected the id of an event of this stream, which is a number")
            after, since = int(resumed), None
        async with aclosing(events.follow(ctx.origin, topic, after=after, since=since)) as following:
            async for event in following:
                permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")  # a rule may have come since
                yield event
