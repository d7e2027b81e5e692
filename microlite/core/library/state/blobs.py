"""`ctx.store.blobs`: large values, streamed in and out."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.file_head import FileHead
from microlite.core.library.state.following import follow
from microlite.core.library.state.lives import Expiry, Ttl, life
from microlite.core.store.api import ChangeKind
from microlite.core.store.blob_api import Blob, BlobNews, BlobPage, StagedBlob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
    from typing import BinaryIO

    from microlite.core.library.caller import Caller
    from microlite.core.store.api import Expectation

    Source: TypeAlias = bytes | bytearray | memoryview | Path | BinaryIO | AsyncIterable[bytes] | Iterable[bytes]
    """What can be written as a blob: bytes, a path, a file that is open for reading bytes, or pieces as they come."""

Done = TypeVar("Done", Blob, StagedBlob)

Blobs_: TypeAlias = list[Blob]
"""(Within a class that has a method `list` the plain type cannot be written.)"""

PIECE: Final = 256 * 1024
"""Bytes that are sent at once."""

MAX_WHOLE: Final = 64 * 1024 * 1024
"""Bytes of the largest blob that `read_bytes` reads, unless it is asked for more."""

_read_blob: Final = msgspec.msgpack.Decoder(Blob).decode
_read_staged: Final = msgspec.msgpack.Decoder(StagedBlob).decode
_read_page: Final = msgspec.msgpack.Decoder(BlobPage).decode
_read_news: Final = msgspec.msgpack.Decoder(BlobNews).decode
_read_piece: Final = msgspec.msgpack.Decoder(FileHead | bytes).decode


class Blobs:
    """The blobs of a service: values of any size that fits the disk, under names of at most 512 bytes.

    A blob is there as a whole or not at all; what breaks off leaves nothing behind. Who reads one while it is replaced gets
    the old one to its end.

    Args:
        caller: makes the calls.
        database: whose; empty for the service's own.
    """

    BRIDGED = True

    __slots__ = ("_caller", "_place")

    def __init__(self, caller: Caller, database: str = "") -> None:
        self._caller = caller
        self._place = {"database": database} if database else {}

    async def write(
        self,
        name: str,
        source: Source,
        *,
        content_type: str = "",
        ttl: Ttl = None,
        expires_at: Expiry = None,
        metadata: Mapping[str, str] | None = None,
        expect: Expectation | str = None,
    ) -> Blob:
        """Write a blob, in place of one that has its name. It is on disk when this returns.

        Args:
            name: of the blob.
            source: the content.
            content_type: its media type; without it what the end of the name says.
            ttl: how long the blob lives.
            expires_at: until when it lives.
            metadata: what to say about it.
            expect: write only over this revision; `"absent"` only where nothing is, `"present"` only where something is.

        Raises:
            Conflict: what was expected does not hold.
            Error: it could not be written; nothing of it is kept.
        """
        fields = {
            "name": name,
            "content_type": content_type,
            "metadata": dict(metadata or {}),
            "expect": expect,
            **life(ttl, expires_at),
            **self._place,
        }
        return await self._upload("blobs.write", fields, source, _read_blob)

    async def stage(
        self, source: Source, *, content_type: str = "", metadata: Mapping[str, str] | None = None
    ) -> StagedBlob:
        """Upload a content that nobody sees yet; `publish`, or a transaction, gives it a name within an hour.

        Raises:
            Error: it could not be written; nothing of it is kept.
        """
        fields: dict[str, object] = {"content_type": content_type, "metadata": dict(metadata or {})}
        return await self._upload("blobs.stage", fields, source, _read_staged)

    async def publish(
        self,
        upload: str | StagedBlob,
        name: str,
        *,
        ttl: Ttl = None,
        expires_at: Expiry = None,
        metadata: Mapping[str, str] | None = None,
        expect: Expectation | str = None,
    ) -> Blob:
        """Give a staged upload its name, in place of a blob that has it; see `write`.

        Raises:
            NotFound: it was published before, or its hour is over.
            Conflict: what was expected does not hold.
        """
        fields = {
            "upload": upload if isinstance(upload, str) else upload.upload,
            "name": name,
            "metadata": dict(metadata or {}),
            "expect": expect,
            **life(ttl, expires_at),
            **self._place,
        }
        return _read_blob(await self._caller.call_raw("store", "blobs.publish", encode_msgpack(fields)))

    async def read(self, name: str, first: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The content of a blob, or a part of it, in pieces as they come.

        Args:
            name: of the blob.
            first: where to begin, from 0.
            end: before where to end; at the end of the blob without it.

        Raises:
            NotFound: there is no such blob.
            BadGateway: what came is not what was written.
        """
        fields = encode_msgpack({"name": name, "first": first, "end": end, **self._place})
        digest, size = hashlib.sha256(), 0
        async with self._caller.stream_raw("store", "blobs.read", fields, decode=_read_piece) as stream:
            head: FileHead = await anext(stream)
            async for piece in stream:
                digest.update(piece)
                size += len(piece)
                yield piece
        if size != head.stop - head.first or (size == head.size and digest.hexdigest() != head.etag):
            raise errors.BadGateway(f"the content of the blob {name!r} is not the one that was written")

    async def read_bytes(self, name: str, first: int = 0, end: int | None = None, *, limit: int = MAX_WHOLE) -> bytes:
        """The content of a blob, or a part of it, as a whole.

        Args:
            name: of the blob.
            first: where to begin, from 0.
            end: before where to end; at the end of the blob without it.
            limit: bytes that may be read so.

        Raises:
            NotFound: there is no such blob.
            PayloadTooLarge: it is larger than the limit.
        """
        found = bytearray()
        async for piece in self.read(name, first, end):
            found += piece
            if len(found) > limit:
                raise errors.PayloadTooLarge(
                    f"the blob {name!r} is larger than {limit:,} bytes: read it in pieces, or give a higher `limit`"
                )
        return bytes(found)

    async def download(self, name: str, path: Path | str) -> Blob:
        """Write the content of a blob to a file, which is there as a whole or not at all. Returns what the blob is.

        Raises:
            NotFound: there is no such blob.
            OSError: the file cannot be written.
        """
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        try:
            with await asyncio.to_thread(part.open, "wb") as file:
                async for piece in self.read(name):
                    await asyncio.to_thread(file.write, piece)
            blob = await self.head(name)
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        return blob

    async def head(self, name: str) -> Blob:
        """What a blob is: size, digest, media type, revision, times, metadata.

        Raises:
            NotFound: there is no such blob.
        """
        return _read_blob(await self._ask("blobs.head", name=name))

    async def scan(self, prefix: str = "") -> AsyncGenerator[Blob, None]:
        """The blobs whose names begin so, in the order of their names, fetched page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = _read_page(await self._ask("blobs.list", prefix=prefix, cursor=cursor, limit=500))
            for blob in page.blobs:
                yield blob
            cursor = page.cursor

    async def list(self, prefix: str = "", *, limit: int | None = None) -> Blobs_:
        """The same as a list.

        Args:
            prefix: what the names begin with.
            limit: at most so many.
        """
        found: Blobs_ = []
        async for blob in self.scan(prefix):
            if limit is not None and len(found) >= limit:
                break
            found.append(blob)
        return found

    async def watch(
        self, prefix: str = "", *, since: int | None = None, state: bool = False
    ) -> AsyncGenerator[BlobNews, None]:
        """Changes of blobs as they happen, without an end; a connection that breaks is made again, and nothing is missed.

        Args:
            prefix: only names that begin so.
            since: begin behind this revision: the `resume` of an earlier change.
            state: begin with the blobs that are there: `reset`, a `write` for each, and `synced` when that is complete.
        """
        fields: dict[str, object] = {"prefix": prefix, **self._place}
        start = 0 if state else since
        async for news in follow(self._caller, "store", "blobs.watch", fields, start, _read_news):
            if state or news.kind is not ChangeKind.SYNCED:
                yield news

    async def delete(self, name: str, *, expect: Expectation | str = None) -> None:
        """Remove a blob. One that is not there is no error, unless something is expected.

        Raises:
            Conflict: what was expected does not hold.
        """
        fields = {"name": name, "expect": expect, **self._place}
        await self._caller.call_raw("store", "blobs.delete", encode_msgpack(fields))

    async def _ask(self, endpoint: str, **fields: object) -> bytes:
        payload = encode_msgpack({**fields, **self._place})
        return await self._caller.call_raw("store", endpoint, payload, idempotent=True)

    async def _upload(
        self, endpoint: str, fields: dict[str, object], source: Source, decode: Callable[[bytes], Done]
    ) -> Done:
        digest = hashlib.sha256()
        if isinstance(source, bytes | bytearray | memoryview):
            fields["digest"] = hashlib.sha256(source).hexdigest()
        async with self._caller.stream_raw("store", endpoint, encode_msgpack(fields), decode=decode) as stream:
            try:
                async for piece in _pieces(source):
                    digest.update(piece)
                    await stream.send(piece)
            except errors.Canceled:
                pass  # the answer is there before all was sent, and says why
            done: Done = await stream.reply()
        if done.digest != digest.hexdigest():
            raise errors.BadGateway(f"what arrived, {done.size:,} bytes, is not what was sent")
        return done


async def _pieces(source: Source) -> AsyncIterator[bytes]:
    """The content, cut so that a piece fits into the flow of a stream. What blocks does so in a thread."""
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source).cast("B")
        for start in range(0, len(view), PIECE):
            yield bytes(view[start : start + PIECE])
    elif isinstance(source, Path):
        with await asyncio.to_thread(source.open, "rb") as file:
            async for piece in _pieces(file):
                yield piece
    elif hasattr(source, "read"):
        while piece := await asyncio.to_thread(source.read, PIECE):
            if not isinstance(piece, bytes):
                raise errors.BadRequest('the file gives text: open it for bytes, with open(…, "rb")')
            yield piece
    elif hasattr(source, "__aiter__"):
        async for some in source:
            async for piece in _pieces(_checked(some)):
                yield piece
    else:
        iterator = iter(source)
        while (some := await asyncio.to_thread(next, iterator, None)) is not None:
            async for piece in _pieces(_checked(some)):
                yield piece


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes):
        raise errors.BadRequest(f"a blob is made of bytes, and {type(piece).__name__} came; encode text first")
    return piece
