"""The endpoints of topics and of their groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.description import Role
from microlite.core.events.api import GroupSettings, GroupStatus, TopicSettings, TopicStatus
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits


def serve_topics(service: Service, events: Events, permits: Permits, audit: Audit) -> None:
    """Add the endpoints of topics."""

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
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        return await events.describe(ctx.origin, topic)

    @service.endpoint(role=Role.SERVICE, idempotent=True)
    async def set_topic(ctx: Context, topic: str, settings: TopicSettings) -> TopicStatus:
        """Make a topic, or change the settings of one.

        Args:
            topic: its name.
            settings: all of them; what is left out is as for a new topic.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        kept = settings.retention
        entry = audit.entry(
            ctx.origin,
            "events.set-topic",
            f"topic:{topic}",
            age=kept.age,
            count=kept.count,
            size=kept.size,
            schema="yes" if settings.schema else "",
            misfits=settings.misfits,
        )
        return await events.topics.set(ctx.origin, topic, settings, entry)

    @service.endpoint(role=Role.SERVICE)
    async def delete_topic(ctx: Context, topic: str) -> None:
        """Remove a topic with its events, groups and dead letters.

        Args:
            topic: its name.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        await events.check_exists(ctx.origin, topic)
        await audit.note(ctx.origin, "events.delete-topic", f"topic:{topic}")
        await events.delete_topic(ctx.origin, topic)


def serve_groups(service: Service, events: Events, permits: Permits, audit: Audit) -> None:
    """Add the endpoints of groups."""

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def groups(ctx: Context, topic: str = "") -> list[GroupStatus]:
        """List groups with their lag.

        Args:
            topic: only those of this topic; all without it.
        """
        return await events.groups.all(ctx.origin, topic)

    @service.endpoint(role=Role.SERVICE, idempotent=True)
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
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(
            ctx.origin,
            "events.set-group",
            f"group:{topic}/{group}",
            retries=settings.retries,
            ack_wait=settings.ack_wait,
            concurrency=settings.concurrency,
        )
        return await events.groups.set(ctx.origin, topic, group, settings, start, entry)

    @service.endpoint(role=Role.SERVICE)
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
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(
            ctx.origin, "events.reset-group", f"group:{topic}/{group}", to=to if position is None else position
        )
        return await events.groups.reset(ctx.origin, topic, group, to, position, entry)

    @service.endpoint(role=Role.SERVICE)
    async def delete_group(ctx: Context, topic: str, group: str) -> None:
        """Remove a group with its dead letters. One that is being consumed comes back, and begins where new ones do.

        Args:
            topic: of which events.
            group: its name.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(ctx.origin, "events.delete-group", f"group:{topic}/{group}")
        await events.groups.delete(ctx.origin, topic, group, entry)
