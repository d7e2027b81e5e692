"""Dead letters, and events in quarantine: shown, corrected, delivered again, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.engine.api import Append, Batch, Delete, Put, Record
from microlite.core.events import records
from microlite.core.events.api import MAX_EVENTS, DeadKind, DeadLetter, DeadLetters, check_group, check_topic
from microlite.core.events.envelope import decode_envelope, decode_payload, encode_envelope, encode_payload
from microlite.core.events.records import DEAD, decode_dead, stream_of
from microlite.core.events.tallies import Tallies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Operation
    from microlite.core.events.topics import Topics

PAGE: Final = 100
"""Dead letters that are redriven or removed by one commit at most."""

MOST_LOOKED_AT: Final = 2_000
"""Dead letters that are read for one page, where most are of another kind."""

PAGE_BYTES: Final = 4 << 20
"""Bytes of dead letters on one page, beyond one."""

BATCH_BYTES: Final = 6 << 20
"""Bytes of events in one such commit."""


class DeadLetterBox:
    """All dead letters."""

    def __init__(self, engine: Engine, topics: Topics, counts: Tallies) -> None:
        self._engine = engine
        self._topics = topics
        self._counts = counts

    async def page(
        self, origin: Origin, topic: str, group: str | None, *, kind: str = "", after: str = "", limit: int = 100
    ) -> DeadLetters:
        """One page of them; see the endpoint."""
        prefix = _prefix(topic, group)
        if not 1 <= limit <= MAX_EVENTS:
            raise errors.BadRequest(f"limit: expected 1 to {MAX_EVENTS}, got {limit}")
        if after and not after.startswith(prefix):
            raise errors.BadRequest("after: expected the cursor of the page before")
        letters: list[DeadLetter] = []
        size = looked_at = 0
        async for record in records.scan_all(self._engine, origin.namespace, DEAD, prefix, after=after):
            if len(letters) == limit or size > PAGE_BYTES or looked_at == MOST_LOOKED_AT:
                return DeadLetters(letters=tuple(letters), cursor=after)
            after = record.key
            looked_at += 1
            if not kind or decode_dead(record.value).kind == kind:
                size += len(record.value)
                letters.append(records.dead_letter(record.key, record))
        return DeadLetters(letters=tuple(letters))

    async def kinds(self, origin: Origin, topic: str, group: str | None) -> list[DeadKind]:
        """How many there are of each kind; where there are many, as of a minute ago at most."""
        prefix = _prefix(topic, group) if topic else ""
        place = ("kinds", origin.namespace, prefix, group)
        return await self._counts.get(place, lambda: self._count_kinds(origin.namespace, prefix, group))

    async def _count_kinds(self, namespace: str, prefix: str, group: str | None) -> tuple[list[DeadKind], int]:
        size = 0
        found: dict[tuple[str, str, str], DeadKind] = {}
        async for record in records.scan_all(self._engine, namespace, DEAD, prefix):
            size += 1
            dead = decode_dead(record.value)
            of_topic, of_group, _ = record.key.split("/")
            if group is not None and of_group != group:
                continue
            key = (of_topic, of_group, dead.kind)
            known = found.get(key)
            if known is None:
                found[key] = DeadKind(
                    topic=of_topic,
                    group=of_group,
                    kind=dead.kind,
                    count=1,
                    example=dead.error,
                    first=dead.died,
                    last=dead.died,
                )
                continue
            latest = dead.died >= known.last
            found[key] = msgspec.structs.replace(
                known,
                count=known.count + 1,
                example=dead.error if latest else known.example,
                first=min(known.first, dead.died),
                last=max(known.last, dead.died),
            )
        return sorted(found.values(), key=lambda one: (-one.count, one.topic, one.group, one.kind)), size

    async def read(self, origin: Origin, topic: str, group: str, id: str) -> DeadLetter:
        """One of them."""
        record = await self._get(origin, topic, group, id)
        return records.dead_letter(record.key, record)

    async def edit(
        self,
        origin: Origin,
        topic: str,
        group: str,
        id: str,
        payload: Any,
        asked: Encoding = Encoding.MSGPACK,
        entry: Append | None = None,
    ) -> DeadLetter:
        """Give one another payload. `entry`, of the audit log, is on disk with that, as it is below."""
        record = await self._get(origin, topic, group, id)
        await self._check(origin, topic, payload)
        dead = decode_dead(record.value)
        envelope = msgspec.structs.replace(
            decode_envelope(dead.envelope), payload=encode_payload(payload, asked), json=asked is Encoding.JSON
        )
        fresh = msgspec.structs.replace(dead, envelope=encode_envelope(envelope), edited=True)
        put = Put(DEAD, record.key, records.encode(fresh), expect=record.revision)
        await self._engine.commit(Batch(origin.namespace, (put, *([entry] if entry is not None else ()))))
        return await self.read(origin, topic, group, id)

    async def redrive(
        self, origin: Origin, topic: str, group: str, ids: list[str] | None, kind: str, entry: Append | None = None
    ) -> int:
        """Have them delivered again, each exactly once; in the order in which they are listed."""
        count = 0
        batch: list[Operation] = []
        size = 0
        async for record in self._chosen(origin, topic, group, ids, kind):
            dead = decode_dead(record.value)
            envelope = decode_envelope(dead.envelope)
            if not group:
                await self._check(origin, topic, decode_payload(envelope))
            value = encode_envelope(msgspec.structs.replace(envelope, only=group))
            if len(batch) >= 2 * PAGE or (batch and size + len(value) > BATCH_BYTES):
                await self._engine.commit(Batch(origin.namespace, tuple(batch)))
                batch, size = [], 0
            if not count and entry is not None:
                batch.append(entry)
            batch += [Delete(DEAD, record.key, expect=record.revision), Append(stream_of(topic), value)]
            size += len(value)
            count += 1
        if batch:
            await self._engine.commit(Batch(origin.namespace, tuple(batch)))
        self._counts.forget()
        return count

    async def delete(
        self, origin: Origin, topic: str, group: str, ids: list[str] | None, kind: str, entry: Append | None = None
    ) -> int:
        """Remove them."""
        count = 0
        batch: list[Operation] = []
        async for record in self._chosen(origin, topic, group, ids, kind):
            if len(batch) >= PAGE:
                await self._engine.commit(Batch(origin.namespace, tuple(batch)))
                batch = []
            if not count and entry is not None:
                batch.append(entry)
            batch.append(Delete(DEAD, record.key))
            count += 1
        if batch:
            await self._engine.commit(Batch(origin.namespace, tuple(batch)))
        self._counts.forget()
        return count

    async def _chosen(
        self, origin: Origin, topic: str, group: str, ids: list[str] | None, kind: str
    ) -> AsyncIterator[Record]:
        if ids is not None:
            if len(ids) > MAX_EVENTS:
                raise errors.BadRequest(f"ids: at most {MAX_EVENTS} at a time")
            for one in dict.fromkeys(ids):
                record = await self._get(origin, topic, group, one)
                if not kind or decode_dead(record.value).kind == kind:
                    yield record
            return
        prefix = _prefix(topic, group)
        async for record in records.scan_all(self._engine, origin.namespace, DEAD, prefix):
            if not kind or decode_dead(record.value).kind == kind:
                yield record

    async def _get(self, origin: Origin, topic: str, group: str, id: str) -> Record:
        prefix = _prefix(topic, group)
        if not id or len(id) > 64 or "/" in id or not id.isascii():
            raise errors.BadRequest(f"id: {id[:64]!r} is no id of a dead letter")
        record = await self._engine.get(origin.namespace, DEAD, prefix + id)
        if record is None:
            where = f"the group {group!r} of {topic!r}" if group else f"the quarantine of {topic!r}"
            raise errors.NotFound(f"{where} has no dead letter {id!r}")
        return record

    async def _check(self, origin: Origin, topic: str, payload: Any) -> None:
        known = await self._topics.known(origin.namespace, topic)
        misfit = known.checker.misfit(payload) if known.checker is not None else None
        if misfit is not None:
            raise errors.Unprocessable(f"the payload does not fit the schema of {topic!r}: {misfit}")


def _prefix(topic: str, group: str | None) -> str:
    check_topic(topic)
    if group is None:
        return f"{topic}/"
    return f"{topic}/{check_group(group)}/" if group else f"{topic}//"
