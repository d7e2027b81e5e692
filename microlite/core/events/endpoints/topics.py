"""The endpoints of topics and of their groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.description import Role
from microlite.core.events.api import GroupSettings, GroupStatus, TopicSettings, TopicStatus
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service


def serve_topics(service: Service, events: Events) -> None:
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


def serve_groups(service: Service, events: Events) -> None:
    """Add the endpoints of groups."""

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
