"""The endpoints of records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType
from microlite.core.store import api, places
from microlite.core.store.counters import Counters
from microlite.core.store.endpoints.conditions import Condition, last_event
from microlite.core.store.records import Selection
from microlite.core.store.watching import watch as watch_records

if TYPE_CHECKING:
    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits
    from microlite.core.store.records import Records


_ACTIONS: Final[dict[type[api.RecordChange], str]] = {
    api.Write: "write",
    api.Delete: "delete",
    api.Expect: "read",
}
"""What a change is called by rules."""


def _readable(permits: Permits, ctx: Context, database: str, table: str) -> str:
    """The bucket of a table, if no rule denies reading it."""
    bucket = places.bucket_of(ctx.origin, database, table)
    permits.check(ctx, ResourceType.TABLE, places.name_of(bucket), "read")
    return bucket


def serve_changes(service: Service, records: Records, permits: Permits) -> None:
    """Add the endpoints that change records."""
    counters = Counters(records)

    def permit(ctx: Context, change: api.RecordChange) -> None:
        """Let a change be planned, unless a rule denies it."""
        name = places.table_name(ctx.origin, change.database, change.table)
        permits.check(ctx, ResourceType.TABLE, name, _ACTIONS[type(change)])

    @service.endpoint(role=Role.ACCOUNT, etag="revision")
    async def write(
        ctx: Context,
        key: str,
        value: msgspec.Raw,
        table: str = "",
        database: str = "",
        ttl: float | None = None,
        expires_at: float | None = None,
        expect: api.Expectation = None,
        encoding: api.ValueEncoding = api.ValueEncoding.PLAIN,
    ) -> api.Written:
        """Store a value under a key; returns when it is on disk.

        Over HTTP, `If-Match: "REVISION"` writes only over that revision, and `If-None-Match: *` only where nothing is.

        Args:
            key: at most 512 bytes.
            value: any value, at most 1 MiB.
            table: of the record; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
            ttl: seconds after which the record goes by itself.
            expires_at: the same as a time, in seconds since the Unix epoch.
            expect: write only if this holds: the revision of the record that is there, `absent` or `present`.
            encoding: `base64` for a value that is bytes, in base64; `msgpack` for MessagePack, in base64.
        """
        permits.check(ctx, ResourceType.TABLE, places.table_name(ctx.origin, database, table), "write")
        condition = Condition(ctx, expect)
        change = api.Write(
            key=key,
            value=value,
            table=table,
            database=database,
            ttl=ttl,
            expires_at=expires_at,
            expect=condition.expect,
            encoding=encoding,
        )
        operations = await records.operations(ctx.origin, (change,), ctx.asked)
        return await condition.hold(records.commit(ctx.namespace, operations))

    @service.endpoint(role=Role.ACCOUNT)
    async def delete(
        ctx: Context, key: str, table: str = "", database: str = "", expect: api.Expectation = None
    ) -> api.Written:
        """Remove a record. One that is not there is no error, unless something is expected.

        Over HTTP, `If-Match: "REVISION"` removes only that revision.

        Args:
            key: of the record.
            table: of the record; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
            expect: remove only if this holds: the revision of the record, or `present`.
        """
        permits.check(ctx, ResourceType.TABLE, places.table_name(ctx.origin, database, table), "delete")
        condition = Condition(ctx, expect)
        change = api.Delete(key=key, table=table, database=database, expect=condition.expect)
        operation = records.operation(ctx.origin, change)
        return await condition.hold(records.commit(ctx.namespace, (operation,)))

    @service.endpoint(role=Role.ACCOUNT)
    async def batch(ctx: Context, changes: list[api.RecordChange]) -> api.Written:
        """Carry out several changes together: all of them or none.

        Args:
            changes: at most 1,000, each record at most once.
        """
        for change in changes:
            permit(ctx, change)
        return await records.commit(ctx.namespace, await records.operations(ctx.origin, changes, ctx.asked))

    @service.endpoint(role=Role.ACCOUNT)
    async def write_each(ctx: Context, changes: list[api.Write]) -> list[api.WriteOutcome]:
        """Store several values, each for itself: what is wrong with one does not stop the others.

        Args:
            changes: at most 1,000, each with `"type": "write"`.
        """
        return await records.write_each(ctx.origin, changes, ctx.asked, permit=partial(permit, ctx))

    @service.endpoint(role=Role.ACCOUNT, etag="revision")
    async def increment(
        ctx: Context,
        key: str,
        by: int | float = 1,
        table: str = "",
        database: str = "",
        ttl: float | None = None,
        expires_at: float | None = None,
    ) -> api.Count:
        """Add to the number under a key, and return the sum. A record that is not there counts as 0.

        Args:
            key: of the record.
            by: what to add; less than 0 to subtract.
            table: of the record; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
            ttl: seconds after which the record goes by itself, if it begins with this; one that is there keeps its time.
            expires_at: the same as a time, in seconds since the Unix epoch.
        """
        bucket = _readable(permits, ctx, database, table)  # the answer is the sum
        permits.check(ctx, ResourceType.TABLE, places.name_of(bucket), "write")
        return await counters.increment(ctx.namespace, bucket, key, by, records.expiry(ttl, expires_at))


def serve_reads(service: Service, records: Records, permits: Permits) -> None:
    """Add the endpoints that read records, and say which there are."""
    bucket_of = partial(_readable, permits)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True, etag="revision")
    async def read(ctx: Context, key: str, table: str = "", database: str = "") -> api.Record:
        """Read the record under a key.

        Over HTTP the answer's `ETag` is the revision, for `If-Match` of a write and `If-None-Match` of a further read.

        Args:
            key: of the record.
            table: of the record; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        bucket = bucket_of(ctx, database, table)
        return await records.read(ctx.namespace, bucket, key, ctx.answered)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def read_many(ctx: Context, keys: list[str], table: str = "", database: str = "") -> list[api.Record | None]:
        """Read the records under several keys, as of one moment; `null` stands for one that is not there.

        Args:
            keys: at most 1,000.
            table: of the records; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        bucket = bucket_of(ctx, database, table)
        return await records.read_many(ctx.namespace, bucket, keys, ctx.answered)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def scan(
        ctx: Context,
        prefix: str = "",
        suffix: str = "",
        limit: int = 0,
        offset: int = 0,
        order: api.KeyOrder = api.KeyOrder.ASC,
        cursor: str = "",
        table: str = "",
        database: str = "",
    ) -> api.Page:
        """Read the records of a table in the order of their keys, page by page.

        A prefix is found by an index; a suffix alone reads every key of the table.

        Args:
            prefix: only keys that begin so.
            suffix: only keys that end so.
            limit: most records on the page, up to 1,000; 0 for as many as it holds.
            offset: how many to leave out first; a cursor is the quicker way on.
            order: of the keys, `asc` or `desc`.
            cursor: of the page before.
            table: of the records; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        bucket = bucket_of(ctx, database, table)
        selection = Selection(prefix, suffix, limit, offset, order, cursor)
        return await records.scan(ctx.namespace, bucket, selection, ctx.answered)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True, name="list")
    async def list_(
        ctx: Context,
        prefix: str = "",
        suffix: str = "",
        limit: int = 0,
        offset: int = 0,
        order: api.KeyOrder = api.KeyOrder.ASC,
        cursor: str = "",
        table: str = "",
        database: str = "",
    ) -> api.Keys:
        """List the keys of a table in their order, page by page.

        Args:
            prefix: only keys that begin so.
            suffix: only keys that end so.
            limit: most keys on the page, up to 1,000; 0 for as many as it holds.
            offset: how many to leave out first; a cursor is the quicker way on.
            order: of the keys, `asc` or `desc`.
            cursor: of the page before.
            table: of the records; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        bucket = bucket_of(ctx, database, table)
        return await records.keys(ctx.namespace, bucket, Selection(prefix, suffix, limit, offset, order, cursor))

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def count(ctx: Context, prefix: str = "", suffix: str = "", table: str = "", database: str = "") -> int:
        """Count the records of a table, which takes the longer the more there are; with a suffix, the longer the table.

        Args:
            prefix: only keys that begin so.
            suffix: only keys that end so.
            table: of the records; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        bucket = bucket_of(ctx, database, table)
        return await records.engine.count(ctx.namespace, bucket, prefix=prefix, suffix=suffix)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def databases(ctx: Context) -> list[str]:
        """List the databases of the namespace that hold a record."""
        return places.databases(await records.engine.buckets(ctx.namespace))

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True)
    async def tables(ctx: Context, database: str = "") -> list[str]:
        """List the tables of a database that hold a record.

        Args:
            database: without it that of the calling service, `default` for anybody else.
        """
        name = places.check_database(database or ctx.calling_service or api.DEFAULT_DATABASE)
        return places.tables(await records.engine.buckets(ctx.namespace), name)


def serve_watches(service: Service, records: Records, permits: Permits) -> None:
    """Add the endpoint that streams changes."""
    bucket_of = partial(_readable, permits)

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True, event_id="resume")
    async def watch(
        ctx: Context, key: str = "", prefix: str = "", since: int | None = None, table: str = "", database: str = ""
    ) -> AsyncIterator[api.Change]:
        """Stream the changes of a table as they happen.

        Without `since` it begins with `synced`: what is written from there on is in it. Where the changes since a revision
        are no longer known (deletions are remembered for an hour), `reset`, the records as writes, and `synced` stand in
        their place. Over HTTP, `Last-Event-ID` says the same as `since`.

        Args:
            key: only this one.
            prefix: in its place, only keys that begin so.
            since: begin behind this revision, as the `resume` of a change says it, with at least the latest change of each
                record; 0 begins with the records themselves.
            table: of the records; `default` without it.
            database: of the table; without it that of the calling service, `default` for anybody else.
        """
        if key and prefix:
            raise errors.BadRequest("give key or prefix, not both: each says what to watch")
        bucket = bucket_of(ctx, database, table)
        since = last_event(ctx) if since is None else since
        changes = watch_records(
            records.engine, ctx.namespace, bucket, key=key, prefix=prefix, since=since, answered=ctx.answered
        )
        async with aclosing(changes):
            async for change in changes:
                bucket_of(ctx, database, table)  # a rule may have come since
                yield change
