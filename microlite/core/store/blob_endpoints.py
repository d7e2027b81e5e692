"""The endpoints of blobs, as a part of the service `store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.description.file_head import FileHead
from microlite.core.library.context import Context
from microlite.core.store.blob_api import Blob, BlobPage, DeleteBlob, PublishBlob, StagedBlob

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.library.service import Service
    from microlite.core.store.blobs import Blobs


def add_blob_endpoints(service: Service, blobs: Blobs, clock: Clock) -> None:
    """Give the service `store` its endpoints `blobs.…`."""

    @service.endpoint(role=Role.ACCOUNT, name="blobs.write", consumes="*/*")
    async def write(
        ctx: Context,
        name: str,
        content: AsyncIterator[bytes],
        content_type: str = "",
        expires_in: float | None = None,
        metadata: dict[str, str] | None = None,
        digest: str = "",
        revision: int | None = None,
        absent: bool = False,
        database: str = "",
    ) -> Blob:
        """Write a blob of any size, in place of one that has its name. It is there when all of it is on disk, or not at all.

        Args:
            name: of the blob, up to 512 bytes.
            content_type: its media type; without it what the upload says, or the end of the name.
            expires_in: seconds after which it goes by itself; without it, it stays.
            metadata: what to say about it, texts by name.
            digest: SHA-256 that the content must have, in hexadecimal digits; else nothing is kept.
            revision: that of the blob which it replaces; else nothing is kept.
            absent: refuse if there is a blob of this name.
            database: whose blob it is; the calling service's own without it.
        """
        headers = _headers(ctx)
        revision, absent = await _conditions(ctx, name, database, revision, absent=absent)
        try:
            return await blobs.write(
                ctx.origin,
                name,
                content,
                content_type=content_type or headers.get("file-type", ""),
                expires_at=_expiry(expires_in),
                metadata=metadata,
                digest=digest,
                revision=revision,
                absent=absent,
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
        expires_in: float | None = None,
        metadata: dict[str, str] | None = None,
        revision: int | None = None,
        absent: bool = False,
        database: str = "",
    ) -> Blob:
        """Give a staged upload its name, in place of a blob that has it.

        Args:
            upload: the id that staging it gave.
            name: of the blob, up to 512 bytes.
            expires_in: seconds after which it goes by itself; without it, it stays.
            metadata: what to say about it, in place of what was said when it was staged.
            revision: that of the blob which it replaces.
            absent: refuse if there is a blob of this name.
            database: whose blob it is; the calling service's own without it.
        """
        change = PublishBlob(
            upload=upload,
            name=name,
            expires_at=_expiry(expires_in),
            metadata=metadata or {},
            revision=revision,
            absent=absent,
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
        return await blobs.page(ctx.origin, prefix=prefix, limit=limit, cursor=cursor, database=database)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="blobs.databases")
    async def databases(ctx: Context) -> list[str]:
        """List the databases of the namespace that hold a blob."""
        return await blobs.databases(ctx.namespace)

    @service.endpoint(role=Role.ACCOUNT, name="blobs.delete")
    async def delete(ctx: Context, name: str, revision: int | None = None, database: str = "") -> None:
        """Delete a blob. One that is not there is no error.

        Args:
            name: of the blob.
            revision: that it must have; else it stays.
            database: whose blob it is; the calling service's own without it.
        """
        await blobs.delete(ctx.origin, DeleteBlob(name=name, revision=revision, database=database))

    def _expiry(seconds: float | None) -> float | None:
        return None if seconds is None else clock.now() + seconds

    async def _conditions(
        ctx: Context, name: str, database: str, revision: int | None, *, absent: bool
    ) -> tuple[int | None, bool]:
        """What `If-Match` and `If-None-Match` of HTTP ask for, as a revision and absence.

        Raises:
            PreconditionFailed: it does not hold.
        """
        headers = _headers(ctx)
        absent = absent or headers.get("if-none-match", "").strip() == "*"
        known = headers.get("if-match", "").strip()
        if not known:
            return revision, absent
        try:
            there = await blobs.head(ctx.origin, name, database=database)
        except errors.NotFound as error:
            raise errors.PreconditionFailed(error.detail) from None
        if known != "*" and f'"{there.digest}"' not in known:
            raise errors.PreconditionFailed(
                f'the blob "{name}" has the digest {there.digest}, which If-Match does not name'
            )
        return there.revision, absent


def _headers(ctx: Context) -> Mapping[str, str]:
    """The headers of the HTTP request, if the call came straight from one.

    A service that serves a request passes its headers on with the calls that it makes, where they mean something else.
    """
    return ctx.metadata if ctx.peer is None else {}


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
