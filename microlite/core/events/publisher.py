"""What becomes of an event that is published: the operations of one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from microlite.core import errors
from microlite.core.context import Failure
from microlite.core.description.structs import Encoding
from microlite.core.engine.api import Append, Batch, Presence, Put
from microlite.core.events import records
from microlite.core.events.api import DEDUPLICATION, MAX_EVENTS, Misfits, Publish, Published, PublishOutcome
from microlite.core.events.envelope import encode_envelope, make_envelope
from microlite.core.events.records import DEAD, DELAYED, ONCE, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Operation
    from microlite.core.events.topics import Topics


class Publisher:
    """Publishes events, by itself or as a part of somebody's batch."""

    def __init__(self, engine: Engine, clock: Clock, topics: Topics) -> None:
        self._engine = engine
        self._clock = clock
        self._topics = topics

    async def plan(
        self, origin: Origin, change: Publish, asked: Encoding = Encoding.MSGPACK
    ) -> tuple[tuple[Operation, ...], Published]:
        """The operations that publish an event, none for a duplicate; and what to say once they are on disk.

        Args:
            asked: how its publisher wrote it.

        Raises:
            errors.BadRequest: the event is malformed.
            errors.PayloadTooLarge: it is too large.
            errors.Unprocessable: it does not fit the topic's schema, which refuses such.
        """
        namespace, topic, now = origin.namespace, change.topic, self._clock.now()
        envelope = make_envelope(change, self._clock.new_id(), now, asked)
        operations: list[Operation] = []
        if change.deduplication_id:
            key = f"{topic}/{change.deduplication_id}"
            first = await records.read_as(self._engine, namespace, ONCE, key, records.decode_once)
            if first is not None:
                return (), Published(id=first[0].id, topic=topic, duplicate=True)
            value = records.encode(records.OnceRecord(envelope.id))
            operations.append(Put(ONCE, key, value, expires_at=now + DEDUPLICATION, expect=Presence.ABSENT))
        known = await self._topics.known(namespace, topic)
        misfit = known.checker.misfit(change.payload) if known.checker is not None else None
        entry = encode_envelope(envelope)
        if misfit is not None:
            error = f"the payload does not fit the schema of {topic!r}: {misfit}"
            if known.settings.misfits is Misfits.REFUSE:
                raise errors.Unprocessable(error)
            dead = records.DeadRecord(
                envelope=entry, position=0, error=error, kind=records.kind_of(error), died=now, deliveries=0
            )
            operations.append(Put(DEAD, f"{topic}//{envelope.id}", records.encode(dead)))
        elif change.delay > 0:
            due = f"{round((now + change.delay) * 1000):015d}/{envelope.id}"
            operations.append(Put(DELAYED, due, records.encode(records.DelayedRecord(topic, entry))))
        else:
            operations.append(Append(stream_of(topic), entry))
        return tuple(operations), Published(id=envelope.id, topic=topic, quarantined=misfit is not None)

    async def publish(
        self, origin: Origin, changes: Sequence[Publish], asked: Encoding = Encoding.MSGPACK
    ) -> list[Published]:
        """Publish events, all or none, and return when they are on disk.

        Raises:
            errors.Error: as `plan` and the engine say.
        """
        if len(changes) > MAX_EVENTS:
            raise errors.BadRequest(f"batch: at most {MAX_EVENTS} events at a time, not {len(changes)}")
        while True:
            operations: list[Operation] = []
            published: list[Published] = []
            first: dict[tuple[str, str], Published] = {}
            for change in changes:
                once = (change.topic, change.deduplication_id)
                if change.deduplication_id and once in first:
                    published.append(Published(id=first[once].id, topic=change.topic, duplicate=True))
                    continue
                planned, result = await self.plan(origin, change, asked)
                operations += planned
                published.append(result)
                first[once] = result
            if not operations:
                return published
            try:
                committed = await self._engine.commit(Batch(origin.namespace, tuple(operations)))
            except errors.Conflict:
                continue  # somebody else published under one of the de-duplication ids: now it is there to be found
            return _with_positions(published, operations, committed.positions)

    async def publish_each(
        self, origin: Origin, changes: Sequence[Publish], asked: Encoding, permit: Callable[[Publish], object]
    ) -> list[PublishOutcome]:
        """Publish events, each for itself, and return when all that can be are on disk."""
        if len(changes) > MAX_EVENTS:
            raise errors.BadRequest(f"batch: at most {MAX_EVENTS} events at a time, not {len(changes)}")
        outcomes: list[PublishOutcome | None] = [None] * len(changes)
        plain: list[tuple[int, Published]] = []
        appends: list[Operation] = []
        others: list[int] = []
        for number, change in enumerate(changes):
            try:
                permit(change)
                if change.deduplication_id:
                    others.append(number)  # it may meet another of the same id
                    continue
                planned, result = await self.plan(origin, change, asked)
            except errors.Error as error:
                outcomes[number] = PublishOutcome(error=Failure.of(error))
                continue
            if type(planned[0]) is Append:
                plain.append((number, result))
                appends += planned
            else:
                others.append(number)
        # Appends expect nothing of anybody, so that they can only be refused together: by a disk that is full, say.
        if appends:
            try:
                positions = (await self._engine.commit(Batch(origin.namespace, tuple(appends)))).positions
            except errors.Error as error:
                for number, _ in plain:
                    outcomes[number] = PublishOutcome(error=Failure.of(error))
            else:
                for (number, result), position in zip(plain, positions, strict=True):
                    outcomes[number] = PublishOutcome(
                        published=Published(id=result.id, topic=result.topic, position=position)
                    )
        for number in others:
            try:
                outcomes[number] = PublishOutcome(published=(await self.publish(origin, [changes[number]], asked))[0])
            except errors.Error as error:
                outcomes[number] = PublishOutcome(error=Failure.of(error))
        return [outcome for outcome in outcomes if outcome is not None]


def _with_positions(
    published: list[Published], operations: Sequence[Operation], positions: tuple[int, ...]
) -> list[Published]:
    """Say of each event that took its place at once which one that is."""
    if len(published) == 1 and len(positions) == 1:
        one = published[0]
        return [Published(id=one.id, topic=one.topic, position=positions[0])]
    places = iter(positions)
    kinds = iter(_kinds(operations))
    return [
        one if one.duplicate else msgspec.structs.replace(one, position=next(places) if next(kinds) is Append else 0)
        for one in published
    ]


def _kinds(operations: Sequence[Operation]) -> list[type]:
    """For each event of a batch, what carries it."""
    return [
        type(operation)
        for operation in operations
        if isinstance(operation, Append) or (isinstance(operation, Put) and operation.bucket != ONCE)
    ]
