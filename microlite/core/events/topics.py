"""The topics of all namespaces: their settings, and where they stand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description.checking import Checker
from microlite.core.engine.api import Batch, Put
from microlite.core.events import records
from microlite.core.events.api import TopicSettings, TopicStatus, check_topic
from microlite.core.events.records import DEAD, GROUPS, NAMESPACES, TOPICS, stream_of, topic_of
from microlite.core.events.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.context import Origin
    from microlite.core.engine.api import Append, Engine

MOST_KNOWN: Final = 10_000
"""Topics whose settings are kept at hand."""

MAX_SCHEMA_BYTES: Final = 256 << 10
"""Largest schema of a topic, as JSON."""

TURN: Final = 100
"""Topics that are looked at in one turn of the loop."""

_decode: Final = msgspec.msgpack.Decoder(TopicSettings).decode
_DEFAULT: Final = TopicSettings()


class Known(msgspec.Struct, frozen=True):
    """The settings of a topic, ready for use."""

    settings: TopicSettings
    checker: Checker | None


class Topics:
    """Settings are kept at hand once they were read: nobody else writes them."""

    def __init__(self, engine: Engine, counts: Tallies) -> None:
        self._engine = engine
        self.counts = counts
        self._known: dict[tuple[str, str], Known] = {}
        self._namespaces: set[str] = set()
        self._noting = asyncio.Lock()
        self.begun: Callable[[str], None] = lambda _: None
        """Called with each namespace, once, when it is used for the first time in this process."""

    async def known(self, namespace: str, topic: str) -> Known:
        """The settings of a topic; the usual ones for one that has none, or is not there yet."""
        known = self._known.get((namespace, topic))
        if known is None:
            record = await self._engine.get(namespace, TOPICS, check_topic(topic))
            settings = _decode(record.value) if record is not None else _DEFAULT
            known = self._remember(namespace, topic, settings)
        return known

    async def use(self, namespace: str) -> None:
        """Note on disk that a namespace has events, before it has any."""
        if namespace in self._namespaces:
            return
        async with self._noting:
            if namespace not in self._namespaces:
                await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Put(NAMESPACES, namespace, b""),)))
                self._namespaces.add(namespace)
                self.begun(namespace)

    async def namespaces(self) -> list[str]:
        """The namespaces that ever had events."""
        found = records.scan_all(self._engine, PLATFORM_NAMESPACE, NAMESPACES)
        return [record.key async for record in found]

    async def names(self, namespace: str, prefix: str = "") -> list[str]:
        """The names of all topics: those that were published to, that have settings, and that are consumed."""
        names = {topic for stream in await self._engine.streams(namespace) if (topic := topic_of(stream)) is not None}
        async for record in records.scan_all(self._engine, namespace, TOPICS, prefix):
            names.add(record.key)
        async for record in records.scan_all(self._engine, namespace, GROUPS, prefix, keys_only=True):
            names.add(record.key.partition("/")[0])
        return sorted(name for name in names if name.startswith(prefix))

    async def all(self, origin: Origin, prefix: str = "") -> list[TopicStatus]:
        """The topics of a namespace, without their groups. Others have their turn while there are many."""
        found = []
        for number, name in enumerate(await self.names(origin.namespace, prefix), 1):
            found.append(await self.status(origin.namespace, name))
            if number % TURN == 0:
                await asyncio.sleep(0)
        return found

    async def exists(self, namespace: str, topic: str) -> bool:
        """Whether there is such a topic."""
        if await self._engine.get(namespace, TOPICS, check_topic(topic)) is not None:
            return True
        if (await self._engine.stream_state(namespace, stream_of(topic))).count:
            return True
        return topic in await self.names(namespace, topic)

    async def status(self, namespace: str, topic: str) -> TopicStatus:
        """One topic, without its groups."""
        known = await self.known(namespace, topic)
        state = await self._engine.stream_state(namespace, stream_of(topic))
        return TopicStatus(
            name=topic,
            settings=known.settings,
            first=state.first,
            last=state.last,
            count=state.count,
            size=state.size,
            quarantined=await self.dead(namespace, f"{topic}//"),
        )

    async def dead(self, namespace: str, place: str) -> int:
        """How many dead letters there are at `topic/group/`; where there are many, as of a minute ago at most."""

        async def count() -> tuple[int, int]:
            number = await self._engine.count(namespace, DEAD, prefix=place)
            return number, number

        return await self.counts.get(("dead", namespace, place), count)

    async def set(
        self, origin: Origin, topic: str, settings: TopicSettings, entry: Append | None = None
    ) -> TopicStatus:
        """Make a topic, or change one.

        Args:
            entry: of the audit log, for the same commit.

        Raises:
            errors.BadRequest: the name or a setting cannot be.
        """
        check_topic(topic)
        retention = settings.retention
        if min(retention.age, retention.count, retention.size) < 0:
            raise errors.BadRequest("retention: expected numbers of 0 or more; 0 sets no limit")
        if len(msgspec.json.encode(settings.schema)) > MAX_SCHEMA_BYTES:
            raise errors.BadRequest(f"schema: more than {MAX_SCHEMA_BYTES} bytes")
        checker = Checker(settings.schema) if settings.schema else None
        await self.use(origin.namespace)
        value = msgspec.msgpack.encode(settings)
        await self._engine.commit(
            Batch(origin.namespace, (Put(TOPICS, topic, value), *([entry] if entry is not None else ())))
        )
        self._known[origin.namespace, topic] = Known(settings, checker)
        return await self.status(origin.namespace, topic)

    def forget(self, namespace: str, topic: str) -> None:
        """Its settings are gone."""
        self._known.pop((namespace, topic), None)

    def _remember(self, namespace: str, topic: str, settings: TopicSettings) -> Known:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        known = Known(settings, Checker(settings.schema) if settings.schema else None)
        self._known[namespace, topic] = known
        return known
