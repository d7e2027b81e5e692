"""The groups of all topics, as those see them who look after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.events import records
from microlite.core.events.api import GroupSettings, GroupStatus, check_group, check_topic
from microlite.core.events.records import CURSORS, FAILED, GROUPS, group_key, no_group, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.context import Origin
    from microlite.core.engine.api import Append, Engine
    from microlite.core.events.leaders import Leaders
    from microlite.core.events.topics import Topics


class Groups:
    """Lists, makes, resets and removes groups.

    Attributes:
        consumers: says to which endpoints the platform delivers for a namespace, topic and group.
        reopened: called when a group was taken away from under its consumers.
    """

    def __init__(self, engine: Engine, leaders: Leaders, topics: Topics) -> None:
        self._engine = engine
        self._topics = topics
        self._leaders = leaders
        self.consumers: Callable[[str, str, str], tuple[str, ...]] = lambda *_: ()
        self.reopened: Callable[[str, str, str], None] = lambda *_: None

    async def all(self, origin: Origin, topic: str = "") -> list[GroupStatus]:
        """The groups of a topic, or of all."""
        prefix = f"{check_topic(topic)}/" if topic else ""
        found = [record async for record in records.scan_all(self._engine, origin.namespace, GROUPS, prefix)]
        return [await self._status(origin.namespace, record.key, record.value) for record in found]

    async def status(self, namespace: str, topic: str, group: str) -> GroupStatus:
        """One group.

        Raises:
            errors.NotFound: there is none.
        """
        key = group_key(check_topic(topic), check_group(group))
        record = await self._engine.get(namespace, GROUPS, key)
        if record is None:
            raise no_group(topic, group)
        return await self._status(namespace, key, record.value)

    async def set(
        self,
        origin: Origin,
        topic: str,
        group: str,
        settings: GroupSettings,
        start: str | float,
        entry: Append | None = None,
    ) -> GroupStatus:
        """Make a group or change one. `entry`, of the audit log, is part of that, as it is below."""
        await self._leaders.get(origin.namespace, topic, group, start=start, settings=settings, entry=entry)
        return await self.status(origin.namespace, topic, group)

    async def reset(
        self, origin: Origin, topic: str, group: str, to: str | float, position: int | None, entry: Append | None = None
    ) -> GroupStatus:
        """Let a group begin anew."""
        check_topic(topic)
        check_group(group)
        if position is not None and position < 1:
            raise errors.BadRequest(f"position: expected 1 or more, got {position}")
        namespace = origin.namespace
        head = position - 1 if position is not None else await self._leaders.find_start(namespace, topic, to)
        last = (await self._engine.stream_state(namespace, stream_of(topic))).last
        if head > last:
            raise errors.BadRequest(f"position: {topic!r} has only come to {last}")
        await self._leaders.reset(namespace, topic, group, head, entry)
        self.reopened(namespace, topic, group)
        return await self.status(namespace, topic, group)

    async def delete(self, origin: Origin, topic: str, group: str, entry: Append | None = None) -> None:
        """Remove a group."""
        await self._leaders.delete(origin.namespace, check_topic(topic), check_group(group), entry)
        self._topics.counts.forget()
        self.reopened(origin.namespace, topic, group)

    async def _status(self, namespace: str, key: str, value: bytes) -> GroupStatus:
        topic, _, name = key.partition("/")
        record = records.decode_group(value)
        leader = self._leaders.find(namespace, topic, name)
        stream, prefix = stream_of(topic), key + "/"
        if leader is not None and not leader.closed:
            group = leader.group
            lag = group.unsettled + await self._engine.backlog(namespace, stream, group.read_to)
            position, under_way, retrying = group.first_unsettled - 1, group.flying, group.retrying
        else:
            kept = await records.read_as(self._engine, namespace, CURSORS, key, records.decode_cursor)
            cursor = kept[0] if kept is not None else records.CursorRecord(0)
            lag = len(cursor.open) + await self._engine.backlog(namespace, stream, cursor.head)
            position, under_way = (cursor.open[0] - 1 if cursor.open else cursor.head), 0
            retrying = await self._engine.count(namespace, FAILED, prefix=prefix)
        consumers = self.consumers(namespace, topic, name)
        return GroupStatus(
            topic=topic,
            name=name,
            settings=record.settings,
            lag=lag,
            position=position,
            under_way=under_way,
            retrying=retrying,
            dead=await self._topics.dead(namespace, prefix),
            consumers=consumers,
            active=bool(consumers) or (leader is not None and not leader.idle),
        )
