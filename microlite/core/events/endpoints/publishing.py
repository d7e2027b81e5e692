"""The endpoints that publish events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from microlite.core.description import Role
from microlite.core.events.api import Publish, Published, PublishOutcome
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits


def serve_publishing(service: Service, events: Events, permits: Permits) -> None:
    """Add the endpoints that publish."""

    def permit(ctx: Context, change: Publish) -> None:
        permits.check(ctx, ResourceType.TOPIC, change.topic, "publish")

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
        permits.check(ctx, ResourceType.TOPIC, topic, "publish")
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
        for change in batch:
            permit(ctx, change)
        return await events.publish(ctx.origin, batch, ctx.asked)

    @service.endpoint(role=Role.ACCOUNT)
    async def publish_each(ctx: Context, batch: list[Publish]) -> list[PublishOutcome]:
        """Put several events at the end of their topics, each for itself: what is wrong with one does not stop the others.

        Those that have nothing to wait for stay in their order.

        Args:
            batch: at most 500, as `publish` takes them, each with `"type": "publish"`; 4 MiB together.
        """
        return await events.publish_each(ctx.origin, batch, ctx.asked, permit=partial(permit, ctx))
