"""The endpoints of blobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.description.file_head import FileHead
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType
from microlite.core.store.api import Expectation, Presence
from microlite.core.store.blob_api import Blob, BlobNews, BlobPage, DeleteBlob, PublishBlob, StagedBlob
from microlite.core.store.endpoints.conditions import last_event
from microlite.core.store.places import blob_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits
    from microlite.core.store.blobs import Blobs


def serve_blobs(service: Service, blobs: Blobs, permits: Permits) -> None:
    """Give the service `store` its endpoints `blobs.…`."""

    def check(ctx: Context, database: str, name: str, action: str) -> None:
        permits.check(ctx, ResourceType.TABLE, blob_name(ctx.origin, database, name), action)

    def readable(ctx: Context, database: str, prefix: str) -> Callable[[str], bool] | None:
        """Says which blobs may be shown; None where all may.

        Raises:
            Forbidden: a rule denies all that begin so.
        """
        check(ctx, database, prefix, "read")
        sieve = permits.sieve(ctx, ResourceType.TABLE, "read")
        return None if sieve is None else lambda name: sieve(blob_name(ctx.origin, database, name))

    @service.endpoint(role=Role.ACCOUNT, name="blobs.write", consumes="*/*")
    async def write(
        ctx: Context,
        name: str,
        content: AsyncIterator[bytes],
        content_type: str = "",
        ttl: float | None = None,
        expires_at: float | None = None,
        metadata: dict[str, str] | None = None,
        digest: str = "",
        expect: Expectation = None,
        database: str = "",
    ) -> Blob:
        """Write a blob of any size, in place of one that has its name. It is there when all of it is on disk, or not at all.

        Args:
            name: of the blob, up to 512 bytes.
            content_type: its media type; without it what the upload says, or the end of the name.
            ttl: seconds after which it goes by itself; without it, it stays.
            expires_at: the same as a time, in seconds since the Unix epoch.
            metadata: what to say about it, texts by name.
            digest: SHA-256 that the content must have, in hexadecimal digits; else nothing is kept.
            expect: write only if this holds of the blob that has the name: its revision, `absent` or `present`.
            database: whose blob it is; the calling service's own without it.
        """
        check(ctx, database, name, "write")
        headers = _headers(ctx)
        expect = await _expected(ctx, name, database, expect)
        try:
            return await blobs.write(
                ctx.origin,
                name,
                content,
                content_type=content_type or headers.get("file-type", ""),
                ttl=ttl,
                expires_at=expires_at,
                metadata=metadata,
                digest=digest,
                expect=expect,
                database=database,
            )
        except errors.Conflict as error:
            if "if-match" in headers or "if-none-match" in headers:
                raise errors.PreconditionFailed(error.detail) from None
            raise

    @service.endpoint(role=Role.ACCOUNT, name="blobs.stage", consumes="*/*")
    async def stage(
        ctx: Context,
        content: AsyncIterator[bytes],
        content_type: str = "",
        metadata: dict[str, str] | None = None,
        digest: str = "",
    ) -> StagedBlob:
        """Upload a content without giving it a name yet: a transaction, or `blobs.publish`, does that within an hour.

        Args:
            content_type: its media type; without it what the upload says.
            metadata: what to say about it, texts by name.
            digest: SHA-256 that the content must have, in hexadecimal digits; else nothing is kept.
        """
        kind = content_type or _headers(ctx).get("file-type", "")
        return await blobs.stage(ctx.origin, content, content_type=kind, metadata=metadata, digest=digest)

    @service.endpoint(role=Role.ACCOUNT, name="blobs.publish")
    async def publish(
        ctx: Context,
        upload: str,
        name: str,
        ttl: float | None = None,
        expires_at: float | None = None,
        metadata: dict[str, str] | None = None,
        expect: Expectation = None,
        database: str = "",
    ) -> Blob:
        """Give a staged upload its name, in place of a blob that has it.

        Args:
            upload: the id that staging it gave.
            name: of the blob, up to 512 bytes.
            ttl: seconds after which it goes by itself; without it, it stays.
            expires_at: the same as a time, in seconds since the Unix epoch.
            metadata: what to say about it, in place of what was said when it was staged.
            expect: publish only if this holds of the blob that has the name: its revision, `absent` or `present`.
            database: whose blob it is; the calling service's own without it.
        """
        check(ctx, database, name, "write")
        change = PublishBlob(
            upload=upload,
            name=name,
            ttl=ttl,
            expires_at=expires_at,
            metadata=metadata or {},
            expect=expect,
            database=database,
        )
        return await blobs.publish(ctx.origin, change)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="blobs.read", produces="*/*")
    async def read(
        ctx: Context, name: str, first: int = 0, end: int | None = None, download: bool = False, database: str = ""
    ) -> AsyncIterator[FileHead | bytes]:
        """Read a blob, or a part of it: first what it is, then its bytes. All of them are of one revision.

        Args:
            name: of the blob.
            first: where to begin, in bytes from 0.
            end: before where to end; at its end without it. Over HTTP a header `Range` says both.
            download: over HTTP, let a browser save it and not show it.
            database: whose blob it is; the calling service's own without it.
        """
        check(ctx, database, name, "read")
        head: FileHead | None = None

        def choose(blob: Blob) -> tuple[int, int]:
            nonlocal head
            until = blob.size if end is None else min(end, blob.size)
            if not 0 <= first <= until:
                raise errors.BadRequest(
                    f'first: the blob "{name}" has {blob.size:,} bytes, and {first} is not among them'
                )
            whole = first == 0 and end is None
            head = _head_of(blob, first, until, download=download)
            head = head.for_request(_headers(ctx)) if whole else head
            return head.first, head.stop

        async for piece in blobs.read(ctx.origin, name, choose, database=database):
            if isinstance(piece, bytes):
                yield piece
            elif head is not None:
                yield head

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="blobs.head")
    async def head(ctx: Context, name: str, database: str = "") -> Blob:
        """Say what a blob is: size, digest, media type, revision, times, metadata.

        Args:
            name: of the blob.
            database: whose blob it is; the calling service's own without it.
        """
        check(ctx, database, name, "read")
        return await blobs.head(ctx.origin, name, database=database)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="blobs.list")
    async def list_(ctx: Context, prefix: str = "", limit: int = 100, cursor: str = "", database: str = "") -> BlobPage:
        """List blobs in the order of their names.

        Args:
            prefix: what the names begin with.
            limit: most on one page, 1 to 1,000.
            cursor: that of the page before, for the next one.
            database: whose blobs; the calling service's own without it.
        """
        shown = readable(ctx, database, prefix)
        page = await blobs.page(ctx.origin, prefix=prefix, limit=limit, cursor=cursor, database=database)
        return (
            page
            if shown is None
            else BlobPage(blobs=[one for one in page.blobs if shown(one.name)], cursor=page.cursor)
        )

    @service.endpoint(role=Role.ACCOUNT, reads=True, idempotent=True, name="blobs.watch")
    async def watch(
        ctx: Context, prefix: str = "", since: int | None = None, database: str = ""
    ) -> AsyncIterator[BlobNews]:
        """Stream the changes of blobs as they happen, begun and ended as those of records: see `watch`.

        Over HTTP, `Last-Event-ID` says the same as `since`.

        Args:
            prefix: what the names begin with.
            since: begin behind this revision, as the `resume` of a change says it; 0 begins with the blobs themselves.
            database: whose blobs; the calling service's own without it.
        """
        readable(ctx, database, prefix)
        since = last_event(ctx) if since is None else since
        async with aclosing(blobs.watch(ctx.origin, prefix=prefix, since=since, database=database)) as changes:
            async for change in changes:
                shown = readable(ctx, database, prefix)  # a rule may have come since
                if shown is None or not change.name or shown(change.name):
                    yield change

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="blobs.databases")
    async def databases(ctx: Context) -> list[str]:
        """List the databases of the namespace that hold a blob."""
        return await blobs.databases(ctx.namespace)

    @service.endpoint(role=Role.ACCOUNT, name="blobs.delete")
    async def delete(ctx: Context, name: str, expect: Expectation = None, database: str = "") -> None:
        """Delete a blob. One that is not there is no error.

        Args:
            name: of the blob.
            expect: delete only if this holds: its revision, or `present`.
            database: whose blob it is; the calling service's own without it.
        """
        check(ctx, database, name, "delete")
        await blobs.delete(ctx.origin, DeleteBlob(name=name, expect=expect, database=database))

    async def _expected(ctx: Context, name: str, database: str, expect: Expectation) -> Expectation:
        """What must hold, by the request or by `If-Match` and `If-None-Match` of HTTP.

        Raises:
            BadRequest: both say something, or what they say cannot be.
            PreconditionFailed: it does not hold.
        """
        headers = _headers(ctx)
        known, unknown = headers.get("if-match"), headers.get("if-none-match")
        if known is None and unknown is None:
            return expect
        if expect is not None:
            raise errors.BadRequest("expect: leave it out where If-Match or If-None-Match says what is expected")
        if unknown is not None:
            if unknown.strip() != "*" or known is not None:
                raise errors.BadRequest("If-None-Match: for a write only * is possible, alone: no blob may be there")
            return Presence.ABSENT
        if known is None or known.strip() == "*":
            return Presence.PRESENT
        try:
            there = await blobs.head(ctx.origin, name, database=database)
        except errors.NotFound as error:
            raise errors.PreconditionFailed(error.detail) from None
        if f'"{there.digest}"' not in known:
            raise errors.PreconditionFailed(f'the blob "{name}" has the ETag "{there.digest}", not {known}')
        return there.revision


def _headers(ctx: Context) -> Mapping[str, str]:
    """The headers of the HTTP request, where no service is in between.

    A service that serves a request passes its headers on with the calls that it makes, where they mean something else.
    """
    return {} if ctx.calling_service else ctx.metadata


def _head_of(blob: Blob, first: int, end: int, *, download: bool) -> FileHead:
    return FileHead(
        content_type=blob.content_type,
        size=blob.size,
        etag=blob.digest,
        first=first,
        end=end,
        modified_at=blob.created_at,
        name=blob.name.rpartition("/")[2] if download else "",
        metadata=blob.metadata,
    )
