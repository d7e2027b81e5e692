"""What the service `store` does with records, over the engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import Failure
from microlite.core.description.structs import Encoding
from microlite.core.engine import api as engine_api
from microlite.core.store import api, places, values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Operation

INLINE: Final = 256 * 1024
"""Bytes of values that are turned into JSON on the event loop; more are in a thread, so that they hold nobody up."""

LATEST: Final = 253_402_300_799.0
"""The last time that an expiry can be: the end of the year 9999, as seconds since the Unix epoch."""

_PRESENCE: Final = {
    api.Presence.ABSENT: engine_api.Presence.ABSENT,
    api.Presence.PRESENT: engine_api.Presence.PRESENT,
}


class Records:
    """Reads and changes records. Every change is planned first, so that a transaction can do the same.

    Args:
        engine: keeps them.
        clock: says when a record expires.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self.clock = clock

    # -- changes --------------------------------------------------------------------------------------------------------

    async def plan(
        self, origin: Origin, change: api.RecordChange, asked: Encoding = Encoding.MSGPACK
    ) -> tuple[Operation, ...]:
        """The operations on the engine that carry out a change.

        Args:
            origin: who asks for it.
            change: what is asked for.
            asked: how its value is written.

        Raises:
            BadRequest: a name, time or value cannot be.
        """
        return (self.operation(origin, change, asked),)

    async def operations(
        self, origin: Origin, changes: Sequence[api.RecordChange], asked: Encoding
    ) -> tuple[Operation, ...]:
        """The plans of several changes; in a thread where there is much JSON to read."""
        if asked is Encoding.JSON and sum(map(_size, changes)) > INLINE:
            return tuple(await asyncio.to_thread(lambda: [self.operation(origin, one, asked) for one in changes]))
        return tuple([self.operation(origin, change, asked) for change in changes])

    def operation(self, origin: Origin, change: api.RecordChange, asked: Encoding = Encoding.MSGPACK) -> Operation:
        """See `plan`: a change of a record is one operation."""
        bucket = places.bucket_of(origin, change.database, change.table)
        if type(change) is api.Write:
            return engine_api.Put(
                bucket,
                change.key,
                values.pack(change.value, asked, change.encoding),
                self.expiry(change.ttl, change.expires_at),
                expectation(change.expect),
            )
        if type(change) is api.Delete:
            return engine_api.Delete(bucket, change.key, expectation(change.expect))
        expect = expectation(change.expect)
        if expect is None:
            raise errors.BadRequest("expect: a revision, absent or present")
        return engine_api.Check(bucket, change.key, expect)

    async def commit(self, namespace: str, operations: tuple[Operation, ...]) -> api.Written:
        """Carry out what was planned, wholly or not at all; returns when it is on disk.

        Raises:
            Conflict: a record is not as expected.
        """
        try:
            committed = await self.engine.commit(engine_api.Batch(namespace, operations))
        except errors.Conflict as error:
            raise _told(error, operations) from None
        return api.Written(revision=committed.revision)

    async def write_each(
        self,
        origin: Origin,
        changes: Sequence[api.Write],
        asked: Encoding,
        *,
        permit: Callable[[api.Write], object] = lambda _: None,
    ) -> list[api.WriteOutcome]:
        """Carry out writes, each for itself; returns when all that can be are on disk.

        Args:
            origin: who asks for them.
            changes: what is asked for.
            asked: how their values are written.
            permit: raises for one that may not be.
        """
        if len(changes) > api.MAX_LIMIT:
            raise errors.BadRequest(f"changes: at most {api.MAX_LIMIT} at a time, not {len(changes)}")
        outcomes: dict[int, api.WriteOutcome] = {}
        together: dict[tuple[str, str], tuple[int, Operation]] = {}
        alone: list[tuple[int, Operation]] = []
        for number, change in enumerate(changes):
            try:
                permit(change)
                put = self.operation(origin, change, asked)
            except errors.Error as error:
                outcomes[number] = api.WriteOutcome(error=Failure.of(error))
                continue
            place = (places.bucket_of(origin, change.database, change.table), change.key)
            if change.expect is None and place not in together:
                together[place] = (number, put)
            else:
                alone.append((number, put))
        try:
            if together:
                written = await self.commit(origin.namespace, tuple([put for _, put in together.values()]))
                outcomes.update((number, api.WriteOutcome(written=written)) for number, _ in together.values())
        except (errors.BadRequest, errors.PayloadTooLarge):
            alone = sorted([*together.values(), *alone], key=lambda one: one[0])  # the fault of one is not that of all
        except errors.Error as error:
            outcomes.update((number, api.WriteOutcome(error=Failure.of(error))) for number, _ in together.values())
        for number, put in alone:
            try:
                outcomes[number] = api.WriteOutcome(written=await self.commit(origin.namespace, (put,)))
            except errors.Error as error:
                outcomes[number] = api.WriteOutcome(error=Failure.of(error))
        return [outcomes[number] for number in range(len(changes))]

    def expiry(self, ttl: float | None, expires_at: float | None) -> float | None:
        """The time at which a record expires, in seconds since the Unix epoch.

        Raises:
            BadRequest: both are given, or one that is no time.
        """
        if ttl is None:
            if expires_at is not None and not 0 < expires_at <= LATEST:
                raise errors.BadRequest(
                    f"expires_at: {expires_at} is no time; give seconds since the Unix epoch, up to the year 9999"
                )
            return expires_at
        if expires_at is not None:
            raise errors.BadRequest("give ttl or expires_at, not both: each says when the record expires")
        now = self.clock.now()
        if not 0 < ttl <= LATEST - now:
            raise errors.BadRequest(
                f"ttl: {ttl} is no time to live; give a number of seconds above 0, up to the year 9999"
            )
        return now + ttl

    # -- reads ----------------------------------------------------------------------------------------------------------

    async def read(self, namespace: str, bucket: str, key: str, answered: Encoding) -> api.Record:
        """The record under a key.

        Raises:
            NotFound: there is none.
        """
        record = await self.engine.get(namespace, bucket, key)
        if record is None:
            raise errors.NotFound(f"there is no record {key!r} in {shown(bucket)}")
        if len(record.value) > INLINE and answered is Encoding.JSON:
            return await asyncio.to_thread(present, record, answered)
        return present(record, answered)

    async def read_many(
        self, namespace: str, bucket: str, keys: Sequence[str], answered: Encoding
    ) -> list[api.Record | None]:
        """The records under keys, in their order, as of one moment; None where there is none."""
        found = await self.engine.get_many(namespace, bucket, keys)
        there = iter(await _present_all([record for record in found if record is not None], answered))
        return [None if record is None else next(there) for record in found]

    async def scan(self, namespace: str, bucket: str, selection: Selection, answered: Encoding) -> api.Page:
        """A page of the records that are selected, with their values."""
        page = await self._page(namespace, bucket, selection, keys_only=False)
        records = await _present_all(page.records, answered)
        return api.Page(records=records, cursor=page.cursor, revision=page.revision)

    async def keys(self, namespace: str, bucket: str, selection: Selection) -> api.Keys:
        """A page of the keys that are selected."""
        page = await self._page(namespace, bucket, selection, keys_only=True)
        return api.Keys(keys=[record.key for record in page.records], cursor=page.cursor, revision=page.revision)

    async def _page(self, namespace: str, bucket: str, selection: Selection, *, keys_only: bool) -> engine_api.Page:
        after = selection.cursor
        skip = selection.offset
        while skip:
            passed = await self._scan(namespace, bucket, selection, after, min(skip, api.MAX_LIMIT), keys_only=True)
            skip -= len(passed.records)
            if passed.cursor is None:
                return engine_api.Page((), None, passed.revision)
            after = passed.cursor
        return await self._scan(
            namespace, bucket, selection, after, selection.limit or api.MAX_LIMIT, keys_only=keys_only
        )

    async def _scan(
        self, namespace: str, bucket: str, selection: Selection, after: str, limit: int, *, keys_only: bool
    ) -> engine_api.Page:
        return await self.engine.scan(
            namespace,
            bucket,
            prefix=selection.prefix,
            suffix=selection.suffix,
            after=after,
            limit=limit,
            reverse=selection.order is api.KeyOrder.DESC,
            keys_only=keys_only,
        )


class Selection:
    """Which records are asked for.

    Args:
        prefix: how their keys begin.
        suffix: how their keys end; both may be the same characters.
        limit: most of them on the page; 0 for as many as it holds.
        offset: how many to leave out first; each is walked over, so a cursor is the quicker way on.
        order: of the keys.
        cursor: of the page before.

    Raises:
        BadRequest: limit or offset cannot be.
    """

    __slots__ = ("cursor", "limit", "offset", "order", "prefix", "suffix")

    def __init__(self, prefix: str, suffix: str, limit: int, offset: int, order: api.KeyOrder, cursor: str) -> None:
        if not 0 <= limit <= api.MAX_LIMIT:
            raise errors.BadRequest(
                f"limit: a page holds at most {api.MAX_LIMIT:,}, not {limit:,}; its `cursor` leads to the next"
            )
        if offset < 0:
            raise errors.BadRequest(f"offset: {offset} is below 0")
        self.prefix = prefix
        self.suffix = suffix
        self.limit = limit
        self.offset = offset
        self.order = order
        self.cursor = cursor


def expectation(expect: api.Expectation) -> engine_api.Expectation:
    """The same for the engine.

    Raises:
        BadRequest: a revision below 1.
    """
    if expect is None:
        return None
    if isinstance(expect, api.Presence):
        return _PRESENCE[expect]
    if expect < 1:
        raise errors.BadRequest(f"expect: {expect} is no revision; they are numbers from 1, and `absent` is a word")
    return expect


def present(record: engine_api.Record, answered: Encoding) -> api.Record:
    """A record as it is answered."""
    value, encoding = values.unpack(record.value, answered)
    return api.Record(
        key=record.key, value=value, revision=record.revision, expires_at=record.expires_at, encoding=encoding
    )


def _size(change: api.RecordChange) -> int:
    return len(memoryview(change.value)) if type(change) is api.Write else 0


async def _present_all(records: Sequence[engine_api.Record], answered: Encoding) -> list[api.Record]:
    if answered is Encoding.JSON and sum(len(record.value) for record in records) > INLINE:
        return await asyncio.to_thread(lambda: [present(record, answered) for record in records])
    return [present(record, answered) for record in records]


def shown(bucket: str) -> str:
    """A table, as an error names it."""
    _, database, table = bucket.split("/")
    return f"table {table!r} of database {database!r}"


def _told(error: errors.Conflict, operations: Sequence[Operation]) -> errors.Conflict:
    """What the engine says of one of its keys, as said of the record, and what to do."""
    for operation in operations:
        if isinstance(operation, engine_api.Append):
            continue
        place = f"{operation.bucket}/{operation.key}: "
        if error.detail.startswith(place):
            reason = error.detail.removeprefix(place)
            return errors.Conflict(f"the record {operation.key!r} {reason}: read it again, and decide anew")
    return error
