"""What the platform does with events, over its engine: the logic behind the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Final, Self

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.engine.api import Batch, Delete
from microlite.core.events import records
from microlite.core.events.api import (
    MAX_EVENTS,
    MAX_WAIT,
    Ack,
    Event,
    GroupSettings,
    Publish,
    Published,
    PublishOutcome,
    TopicStatus,
    check_topic,
)
from microlite.core.events.dead_letters import DeadLetterBox
from microlite.core.events.delayed import Mover
from microlite.core.events.envelope import as_event, decode_payload
from microlite.core.events.groups import Groups
from microlite.core.events.leaders import Leaders
from microlite.core.events.publisher import Publisher
from microlite.core.events.records import DEAD, DELAYED, ONCE, TOPICS, stream_of
from microlite.core.events.retention import EVERY, Retention
from microlite.core.events.tallies import Tallies
from microlite.core.events.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Entry, Operation
    from microlite.core.events.api import Change
    from microlite.core.events.leader import Handed, Leader

FOLLOW_PAGE: Final = 100
"""Events that a follower reads at once."""

log = logging.getLogger("microlite.events")


class Events:
    """All topics and groups of a platform. `async with` begins and ends what it does by itself.

    Attributes:
        topics: their settings, and where they stand.
        groups: likewise.
        dead: dead letters.
        leaders: the groups that are open.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        counts = Tallies()
        self.topics = Topics(engine, counts)
        self.leaders = Leaders(engine, clock)
        self.groups = Groups(engine, self.leaders, self.topics)
        self.dead = DeadLetterBox(engine, self.topics, counts)
        self._publisher = Publisher(engine, clock, self.topics)
        self._retention = Retention(engine, clock, self.topics)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.topics.begun = self._mind_delayed

    async def __aenter__(self) -> Self:
        for namespace in await self.topics.namespaces():
            await self.topics.use(namespace)
        self._spawn(self._keep(self._look_after), "retention")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.leaders.close()

    def run_beside(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Run something for as long as this is entered."""
        self._spawn(work, what)

    # -- publishing ----------------------------------------------------------------------------------------------------

    async def plan(self, origin: Origin, change: Change) -> tuple[Operation, ...]:
        """The operations by which a change becomes a part of somebody's batch; none for a duplicate.

        Raises:
            errors.Error: the change cannot be; `errors.Conflict` for an ack whose delivery is not under way any more.
        """
        if isinstance(change, Ack):
            leader, number = self.leaders.of_delivery(origin.namespace, change.delivery)
            return await leader.plan_ack(number)
        return (await self.plan_publish(origin, change))[0]

    async def plan_publish(
        self, origin: Origin, change: Publish, asked: Encoding = Encoding.MSGPACK
    ) -> tuple[tuple[Operation, ...], Published]:
        """The operations that publish an event, none for a duplicate; and what to say of it once they are on disk.

        Args:
            asked: how its publisher wrote it.
        """
        await self.topics.use(origin.namespace)
        return await self._publisher.plan(origin, change, asked)

    async def publish(
        self, origin: Origin, changes: list[Publish], asked: Encoding = Encoding.MSGPACK
    ) -> list[Published]:
        """Publish events, all or none; see the endpoint."""
        await self.topics.use(origin.namespace)
        return await self._publisher.publish(origin, changes, asked)

    async def publish_each(
        self,
        origin: Origin,
        changes: list[Publish],
        asked: Encoding = Encoding.MSGPACK,
        *,
        permit: Callable[[Publish], object] = lambda _: None,
    ) -> list[PublishOutcome]:
        """Publish events, each for itself; see the endpoint.

        Args:
            permit: raises for one that may not be.
        """
        await self.topics.use(origin.namespace)
        return await self._publisher.publish_each(origin, changes, asked, permit)

    # -- consuming -----------------------------------------------------------------------------------------------------

    async def pull(
        self,
        origin: Origin,
        topic: str,
        group: str,
        *,
        count: int,
        wait: float,
        ack_wait: float | None,
        start: str | float,
    ) -> list[Event[Any]]:
        """Take events for handling; see the endpoint."""
        _check_count("max", count)
        _check_ack_wait(ack_wait)
        if wait > MAX_WAIT:
            raise errors.BadRequest(f"wait: at most {MAX_WAIT:g} seconds")
        leader = await self.leaders.get(origin.namespace, topic, group, start=start)
        handed = await leader.wait(max(0.0, wait), ack_wait)
        found = []
        while handed is not None:
            found.append(_delivered(leader, handed))
            handed = leader.take(ack_wait) if len(found) < count else None
        return found

    async def consume(
        self,
        origin: Origin,
        topic: str,
        group: str,
        *,
        most: int,
        ack_wait: float | None,
        start: str | float | None,
    ) -> AsyncGenerator[Event[Any]]:
        """Stream events for handling; see the endpoint."""
        _check_count("max", most)
        _check_ack_wait(ack_wait)
        if group:
            leader = await self.leaders.get(origin.namespace, topic, group, start=start or "beginning")
        else:
            leader = await self.leaders.private(origin.namespace, topic, start or "new", GroupSettings())
        mine: set[int] = set()
        room = asyncio.Event()
        try:
            while True:
                while len(mine) >= most:
                    room.clear()
                    await room.wait()
                    leader.check_open()
                handed = await leader.wait(None, ack_wait)
                if handed is None:
                    continue
                number = handed.delivery.number

                def landed(_: bool, number: int = number) -> None:
                    mine.discard(number)
                    room.set()

                mine.add(number)
                leader.own(number, landed)
                yield _delivered(leader, handed)
        finally:
            if not group:
                await self.leaders.drop(origin.namespace, topic, leader.name)
            elif not leader.closed:
                for number in list(mine):
                    leader.release(number)

    async def ack(self, origin: Origin, deliveries: list[str]) -> None:
        """Settle deliveries; see the endpoint.

        Raises:
            errors.Conflict: one of them is not under way any more; the others are settled.
        """
        if len(deliveries) > MAX_EVENTS:
            raise errors.BadRequest(f"deliveries: at most {MAX_EVENTS} at a time")
        saved = []
        failed: errors.Error | None = None
        for delivery in deliveries:
            try:
                leader, number = self.leaders.of_delivery(origin.namespace, delivery)
            except errors.Conflict as error:
                failed = error
                continue
            future = leader.ack(number)
            if future is None:
                failed = _stale(delivery)
            else:
                saved.append(future)
        for future in saved:
            await asyncio.shield(future)
        if failed is not None:
            raise failed

    async def nack(self, origin: Origin, delivery: str, *, error: str, delay: float | None, dead: bool) -> None:
        """Let a delivery fail; see the endpoint."""
        if delay is not None and delay < 0:
            raise errors.BadRequest(f"delay: expected 0 or more seconds, got {delay:g}")
        leader, number = self.leaders.of_delivery(origin.namespace, delivery)
        who = origin.service or origin.account
        future = leader.fail(number, error or "it was not acknowledged", who, delay=delay, dead=dead)
        if future is None:
            raise _stale(delivery)
        await asyncio.shield(future)

    async def extend(self, origin: Origin, delivery: str, wait: float) -> None:
        """Give a delivery more time; see the endpoint."""
        _check_ack_wait(wait)
        leader, number = self.leaders.of_delivery(origin.namespace, delivery)
        if not leader.extend(number, wait):
            raise _stale(delivery)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(
        self, origin: Origin, topic: str, *, after: int, since: float | None, limit: int, reverse: bool
    ) -> list[Event[Any]]:
        """Read events; see the endpoint."""
        _check_count("limit", limit)
        namespace, stream = origin.namespace, stream_of(check_topic(topic))
        end = 0
        if since is not None:
            place = await self._engine.find_position(namespace, stream, since)
            after, end = (after, place) if reverse else (max(after, place), 0)
        found: list[Entry] = []
        more = True
        while more and len(found) < limit:
            page = await self._engine.read(namespace, stream, after=after, limit=limit - len(found), reverse=reverse)
            found += page.entries
            more = page.more and bool(page.entries)
            if page.entries:
                after = page.entries[-1].position
            if sum(len(entry.value) for entry in found) > 4 << 20:
                break  # so much is enough for one answer
        return [as_event(topic, entry) for entry in found if entry.position > end]

    async def follow(
        self, origin: Origin, topic: str, *, after: int | None, since: float | None
    ) -> AsyncGenerator[Event[Any]]:
        """Stream events; see the endpoint.

        Raises:
            errors.BadRequest: `after` is no position, or one that the topic has not come to, as when it was restored from a
                backup: what comes up to there would be missed.
        """
        namespace, stream = origin.namespace, stream_of(check_topic(topic))
        last = (await self._engine.stream_state(namespace, stream)).last
        if after is not None and after > last:
            raise errors.BadRequest(f"after: {topic!r} has only come to {last}; begin there, or without `after`")
        if since is not None:
            after = max(after or 0, await self._engine.find_position(namespace, stream, since))
        elif after is None:
            after = last
        async with self._engine.tail(namespace, stream) as tail:
            while True:
                page = await self._engine.read(namespace, stream, after=after, limit=FOLLOW_PAGE)
                for entry in page.entries:
                    yield as_event(topic, entry)
                    after = entry.position
                if page.entries:
                    continue
                state = await self._engine.stream_state(namespace, stream)
                if state.last > after and not state.count:
                    after = state.last  # all of it was trimmed
                await tail.moved(after)

    # -- looking after -------------------------------------------------------------------------------------------------

    async def describe(self, origin: Origin, topic: str) -> TopicStatus:
        """A topic with its groups.

        Raises:
            errors.NotFound: there is none of this name.
        """
        import msgspec

        await self.check_exists(origin, topic)
        status = await self.topics.status(origin.namespace, topic)
        return msgspec.structs.replace(status, groups=tuple(await self.groups.all(origin, topic)))

    async def delete_topic(self, origin: Origin, topic: str) -> None:
        """Remove a topic with all that belongs to it."""
        await self.check_exists(origin, topic)
        namespace = origin.namespace
        for group in await self.groups.all(origin, topic):
            with contextlib.suppress(errors.NotFound):
                await self.leaders.delete(namespace, topic, group.name)
        await self._engine.drop_stream(namespace, stream_of(topic))
        for bucket in (DEAD, ONCE):
            await self.leaders.clear(namespace, bucket, f"{topic}/")
        async for record in records.scan_all(self._engine, namespace, DELAYED):
            if records.decode_delayed(record.value).topic == topic:
                await self._engine.commit(Batch(namespace, (Delete(DELAYED, record.key),)))
        await self._engine.commit(Batch(namespace, (Delete(TOPICS, topic),)))
        self.topics.forget(namespace, topic)
        self.topics.counts.forget()
        for group in await self.groups.all(origin, topic):
            self.groups.reopened(namespace, topic, group.name)

    async def look(self) -> None:
        """Trim topics to their settings, and close groups that nobody uses: what happens twice a minute."""
        await self._retention.look()
        await self.leaders.sweep()

    async def check_exists(self, origin: Origin, topic: str) -> None:
        """Raise `errors.NotFound` for a topic that is not there."""
        if not await self.topics.exists(origin.namespace, topic):
            raise errors.NotFound(f"there is no topic {topic!r}; the first event makes one, or set_topic")

    def _mind_delayed(self, namespace: str) -> None:
        self._spawn(
            self._keep(lambda: Mover(self._engine, self._clock, namespace).run()), f"delayed events of {namespace}"
        )

    async def _look_after(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            try:
                await self.look()
            except errors.ServiceUnavailable:
                return  # the engine closes
            except errors.Error as error:
                log.warning("retention: %s; it is tried again", error.detail)

    async def _keep(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something again after it failed by a fault of its own, which is logged."""
        while True:
            try:
                await work()
                return
            except Exception:
                task = asyncio.current_task()
                log.exception("%s failed; it is tried again", task.get_name() if task is not None else "a task")
                await self._clock.sleep(1.0)

    def _spawn(self, work: Any, what: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"microlite: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by a fault of its own", task.get_name(), exc_info=error)


def _delivered(leader: Leader, handed: Handed) -> Event[Any]:
    delivery, envelope = handed.delivery, handed.envelope
    return Event(
        id=envelope.id,
        topic=leader.topic,
        position=delivery.position,
        payload=decode_payload(envelope),
        key=envelope.key,
        metadata=envelope.metadata,
        timestamp=envelope.timestamp,
        published=handed.published,
        group=leader.name if leader.durable else "",
        attempt=delivery.attempt,
        delivery=leader.delivery_id(delivery.number),
    )


def _stale(delivery: str) -> errors.Conflict:
    from microlite.core.events.leader import stale

    return stale(delivery)


def _check_count(what: str, count: int) -> None:
    if not 1 <= count <= MAX_EVENTS:
        raise errors.BadRequest(f"{what}: expected 1 to {MAX_EVENTS}, got {count}")


def _check_ack_wait(wait: float | None) -> None:
    if wait is not None and not 0 < wait <= 86_400:
        raise errors.BadRequest(f"expected more than 0 and at most 86400 seconds for an ack, got {wait:g}")
