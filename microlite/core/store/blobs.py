"""Blobs: large values that are streamed in and out, over records of the engine."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.description.media_type import is_media_type
from microlite.core.engine.api import Batch, Delete, Operation, Presence, Put, Record
from microlite.core.store import api
from microlite.core.store.blob_api import (
    MAX_METADATA_BYTES,
    MAX_UPLOADS,
    STAGED_SECONDS,
    Blob,
    BlobChange,
    DeleteBlob,
    PublishBlob,
    StagedBlob,
)
from microlite.core.store.blob_layout import (
    DUE,
    NAMES,
    NEVER,
    STAGED,
    Content,
    Due,
    decode_content,
    due_key,
    encode,
    read_blob,
    retire,
)
from microlite.core.store.blob_reading import BlobReads, bucket_of_name
from microlite.core.store.blob_sweeper import Sweeper
from microlite.core.store.blob_upload import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine
    from microlite.core.store.api import Expectation

OCTETS: Final = "application/octet-stream"

_Done = TypeVar("_Done")

_RETRIES: Final = 16
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_decode_staged: Final = msgspec.msgpack.Decoder(tuple[Content, float]).decode


class Blobs(BlobReads):
    """The logic of blobs. Enter it to start what removes those that are gone.

    Args:
        engine: where everything is.
        clock: for expiry, and for the ids of contents.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine, Sweeper(engine, clock))
        self._clock = clock
        self._turn = asyncio.Lock()
        self._uploads = 0

    async def __aenter__(self) -> Self:
        await self.sweeper.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.sweeper.__aexit__()

    # -- writing -------------------------------------------------------------------------------------------------------

    async def write(
        self,
        origin: Origin,
        name: str,
        pieces: AsyncIterator[bytes],
        *,
        content_type: str = "",
        ttl: float | None = None,
        expires_at: float | None = None,
        metadata: Mapping[str, str] | None = None,
        digest: str = "",
        expect: Expectation = None,
        database: str = "",
    ) -> Blob:
        """Take in a blob and publish it, in place of one that has the name. Until the last moment nothing is visible.

        What breaks off leaves nothing behind.

        Args:
            origin: who writes.
            name: of the blob.
            pieces: the content.
            content_type: its media type; without it what the end of the name says.
            ttl: seconds after which it goes by itself.
            expires_at: the same as a time, in seconds since the Unix epoch.
            metadata: what to say about it.
            digest: SHA-256 that the content must have.
            expect: what must hold of the blob that has the name now: its revision, `absent` or `present`.
            database: whose blob it is; empty for the caller's own.

        Raises:
            BadRequest: a name, media type or digest that cannot be.
            Unprocessable: the content has another digest.
            Conflict: the blob of this name is not as demanded.
            TooManyRequests: too many uploads are under way.
        """
        where = bucket_of_name(origin, database, name)
        self._expiry(ttl, expires_at)
        about = _checked(content_type, name, metadata)
        await self._check_expected(origin.namespace, where, name, expect)
        content = self._clock.new_id()

        async def publish(upload: Upload, last: tuple[Operation, ...]) -> Blob:
            made = Content(content, upload.size, upload.digest, about[0], self._clock.now(), about[1])
            for _ in range(_RETRIES):
                there = await self._check_expected(origin.namespace, where, name, expect)
                until = self._expiry(ttl, expires_at)
                named = self._naming(where, name, made, there, until)
                try:
                    done = await self._commit(origin.namespace, (*last, *named))
                except errors.Conflict:
                    continue
                return read_blob(Record(name, encode(made), done, until))
            raise errors.Conflict(f'the blob "{name}" is being written by others all the time; try again')

        return await self._upload(origin.namespace, content, pieces, digest, publish)

    async def stage(
        self,
        origin: Origin,
        pieces: AsyncIterator[bytes],
        *,
        content_type: str = "",
        metadata: Mapping[str, str] | None = None,
        digest: str = "",
    ) -> StagedBlob:
        """Take in a content without publishing it: `PublishBlob` does, within an hour.

        Raises:
            Error: as `write`.
        """
        about = _checked(content_type, "", metadata)
        content = self._clock.new_id()

        async def keep(upload: Upload, last: tuple[Operation, ...]) -> StagedBlob:
            now = self._clock.now()
            until = now + STAGED_SECONDS
            made = Content(content, upload.size, upload.digest, about[0], now, about[1])
            due = Put(DUE, due_key(until, content), encode(Due(content, until, is_staged=True)))
            kept = Put(STAGED, content, encode((made, until)), expect=Presence.ABSENT)
            await self._commit(origin.namespace, (*last, kept, due))
            return StagedBlob(
                upload=content, size=made.size, digest=made.digest, content_type=about[0], expires_at=until
            )

        return await self._upload(origin.namespace, content, pieces, digest, keep)

    async def _upload(
        self,
        namespace: str,
        content: str,
        pieces: AsyncIterator[bytes],
        digest: str,
        finish: Callable[[Upload, tuple[Operation, ...]], Awaitable[_Done]],
    ) -> _Done:
        digest = digest.lower().removeprefix("sha256:")
        if digest and not _DIGEST.fullmatch(digest):
            raise errors.BadRequest(f'digest: "{digest}" is none; write SHA-256 as 64 hexadecimal digits')
        if self._uploads >= MAX_UPLOADS:
            raise errors.TooManyRequests(f"{MAX_UPLOADS} uploads are under way; try again")
        self._uploads += 1
        upload = Upload(self._engine, namespace, content, self._turn)
        try:
            await self.sweeper.know(namespace)
            last = await upload.take(pieces)
            if digest and upload.digest != digest:
                raise errors.Unprocessable(
                    f"the content that arrived, {upload.size:,} bytes, has the SHA-256 {upload.digest} and not {digest}; "
                    "nothing was kept"
                )
            return await finish(upload, last)
        except BaseException:
            if upload.is_begun:
                self.sweeper.abandon(namespace, content)
            raise
        finally:
            self._uploads -= 1

    # -- changes as a part of something larger --------------------------------------------------------------------------

    async def plan(self, origin: Origin, change: BlobChange) -> tuple[Operation, ...]:
        """The operations of a change, to be committed with others. They refuse what has changed since.

        Raises:
            NotFound: the upload is not there: it was published before, or its time is over.
            Conflict: the blob of this name is not as demanded.
        """
        where = bucket_of_name(origin, change.database, change.name)
        namespace = origin.namespace
        if isinstance(change, PublishBlob):
            return await self._plan_publishing(namespace, where, change)
        named = await self._check_expected(namespace, where, change.name, change.expect)
        if named is None:
            return ()
        return (
            Delete(where, change.name, named.revision),
            *retire(decode_content(named.value).id, self._clock.now(), named.expires_at),
        )

    async def _plan_publishing(self, namespace: str, where: str, change: PublishBlob) -> tuple[Operation, ...]:
        until = self._expiry(change.ttl, change.expires_at)
        _check_metadata(change.metadata)
        staged = await self._engine.get(namespace, STAGED, change.upload)
        if staged is None:
            raise errors.NotFound(f'there is no upload "{change.upload}": it was published before, or its hour is over')
        made, kept = _decode_staged(staged.value)
        if change.metadata:
            made = msgspec.structs.replace(made, metadata=change.metadata)
        named = await self._check_expected(namespace, where, change.name, change.expect)
        return (
            Delete(STAGED, change.upload, staged.revision),
            Delete(DUE, due_key(kept, change.upload), Presence.PRESENT),
            *self._naming(where, change.name, made, named, until),
        )

    async def publish(self, origin: Origin, change: PublishBlob) -> Blob:
        """Make a staged upload a blob, by itself.

        Raises:
            Error: as `plan`.
        """
        for _ in range(_RETRIES):
            plan = await self.plan(origin, change)
            try:
                done = await self._commit(origin.namespace, plan)
            except errors.Conflict:
                continue
            named = next(put for put in plan if isinstance(put, Put) and put.bucket.startswith(NAMES))
            return read_blob(Record(named.key, named.value, done, named.expires_at))
        raise errors.Conflict(f'the blob "{change.name}" is being written by others all the time; try again')

    async def delete(self, origin: Origin, change: DeleteBlob) -> None:
        """Remove a blob, by itself.

        Raises:
            Conflict: it has not the revision that is demanded.
        """
        for _ in range(_RETRIES):
            plan = await self.plan(origin, change)
            if not plan:
                return
            try:
                await self._commit(origin.namespace, plan, within_quota=False)
            except errors.Conflict:
                continue
            return
        raise errors.Conflict(f'the blob "{change.name}" is being written by others all the time; try again')

    # -- the parts of a commit -----------------------------------------------------------------------------------------

    async def _check_expected(self, namespace: str, where: str, name: str, expect: Expectation) -> Record | None:
        """The record of a name.

        Raises:
            Conflict: it is not as expected.
        """
        named = await self._engine.get(namespace, where, name)
        if expect is None:
            return named
        if isinstance(expect, api.Presence):
            if (named is not None) is not (expect is api.Presence.PRESENT):
                raise errors.Conflict(f'the blob "{name}" is {"there already" if named else "not there"}')
        elif named is None or named.revision != expect:
            there = "is not there" if named is None else f"has the revision {named.revision}"
            raise errors.Conflict(f'the blob "{name}" {there}, and the revision {expect} was expected')
        return named

    def _naming(
        self, where: str, name: str, made: Content, named: Record | None, expires_at: float | None
    ) -> tuple[Operation, ...]:
        """Let a name lead to a content, and the one that it led to go."""
        expected = named.revision if named is not None else Presence.ABSENT
        operations: list[Operation] = [Put(where, name, encode(made), expires_at, expected)]
        if expires_at is not None:
            due = Due(made.id, expires_at, where, name)
            operations.append(Put(DUE, due_key(expires_at, made.id), encode(due)))
        if named is not None:
            operations += retire(decode_content(named.value).id, self._clock.now(), named.expires_at)
        return tuple(operations)

    async def _commit(self, namespace: str, operations: tuple[Operation, ...], *, within_quota: bool = True) -> int:
        async with self._turn:
            return (await self._engine.commit(Batch(namespace, operations, within_quota))).revision

    def _expiry(self, ttl: float | None, expires_at: float | None) -> float | None:
        """The time at which a blob expires.

        Raises:
            BadRequest: both are given, or one that is not in the future.
        """
        if ttl is not None:
            if expires_at is not None:
                raise errors.BadRequest("give ttl or expires_at, not both: each says when the blob expires")
            expires_at = self._clock.now() + ttl
        if expires_at is not None and not self._clock.now() < expires_at < NEVER:
            raise errors.BadRequest(
                f"{'expires_at' if ttl is None else 'ttl'}: the blob must expire in the future, before the year 2286"
            )
        return expires_at


def _checked(content_type: str, name: str, metadata: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """Media type and metadata of a content as they are kept.

    Raises:
        BadRequest: they cannot be.
    """
    kind = content_type.strip() or mimetypes.guess_type(name)[0] or OCTETS
    if len(kind) > 255 or not is_media_type(kind):
        raise errors.BadRequest(f'content_type: "{kind}" is no media type; write one as in image/png')
    return kind, _check_metadata(metadata or {})


def _check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    if sum(len(text.encode()) for item in metadata.items() for text in item) > MAX_METADATA_BYTES:
        raise errors.PayloadTooLarge(f"metadata: it may have {MAX_METADATA_BYTES:,} bytes, names and values together")
    return dict(metadata)
