"""Reads blobs: by name, in pages, as a stream of changes, and their content in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.engine.api import MAX_KEY_BYTES
from microlite.core.store.api import DEFAULT_DATABASE
from microlite.core.store.blob_api import BlobPage
from microlite.core.store.blob_layout import CHUNK_BYTES, CHUNKS, NAMES, chunk_key, decode_content, read_blob
from microlite.core.store.blob_watching import watch
from microlite.core.store.places import check_database

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Record
    from microlite.core.store.blob_api import Blob, BlobNews
    from microlite.core.store.blob_sweeper import Sweeper

_RETRIES: Final = 16


class BlobReads:
    """The verbs that change nothing.

    Args:
        engine: where everything is.
        sweeper: lets what is being read stay.
    """

    def __init__(self, engine: Engine, sweeper: Sweeper) -> None:
        self._engine = engine
        self.sweeper = sweeper

    async def head(self, origin: Origin, name: str, *, database: str = "") -> Blob:
        """What is known of a blob.

        Raises:
            NotFound: there is none of this name.
        """
        return read_blob(await self._find(origin.namespace, bucket_of_name(origin, database, name), name))

    async def page(
        self, origin: Origin, *, prefix: str = "", limit: int = 100, cursor: str = "", database: str = ""
    ) -> BlobPage:
        """Blobs whose names begin so, in the order of their names.

        Args:
            origin: who asks.
            prefix: empty for all.
            limit: most on this page, 1 to 1,000.
            cursor: from the page before.
            database: whose; empty for the caller's own.
        """
        page = await self._engine.scan(
            origin.namespace, bucket_of(origin, database), prefix=prefix, after=cursor, limit=limit
        )
        return BlobPage(blobs=[read_blob(record) for record in page.records], cursor=page.cursor)

    def watch(
        self, origin: Origin, *, prefix: str = "", since: int | None = None, database: str = ""
    ) -> AsyncGenerator[BlobNews, None]:
        """Changes of the blobs whose names begin so, as they are published; see `blob_watching.watch`."""
        return watch(self._engine, origin.namespace, bucket_of(origin, database), prefix=prefix, since=since)

    async def databases(self, namespace: str) -> list[str]:
        """The databases of a namespace that hold a blob."""
        buckets = await self._engine.buckets(namespace)
        return [bucket.removeprefix(NAMES) for bucket in buckets if bucket.startswith(NAMES)]

    async def read(
        self, origin: Origin, name: str, choose: Callable[[Blob], tuple[int, int]], *, database: str = ""
    ) -> AsyncIterator[Blob | bytes]:
        """Yield what is known of a blob, and then its content in pieces.

        All of it is of one blob: one that is replaced, deleted or expires meanwhile is read to its end, if that takes no
        longer than an hour.

        Args:
            origin: who reads.
            name: of the blob.
            choose: from where, and to before where, to read; gets the blob and may raise.
            database: whose blob it is; empty for the caller's own.

        Raises:
            NotFound: there is none of this name.
            Conflict: it was replaced and could not be held any longer.
        """
        namespace, where = origin.namespace, bucket_of_name(origin, database, name)
        for _ in range(_RETRIES):
            record = await self._find(namespace, where, name)
            blob, content = read_blob(record), decode_content(record.value).id
            first, end = choose(blob)
            with self.sweeper.pinned(namespace, content):
                piece = await self._piece(namespace, content, first, end)
                if piece is None:
                    continue  # it was replaced in the moment between, and is gone already
                yield blob
                while piece:
                    yield piece
                    first += len(piece)
                    piece = await self._piece(namespace, content, first, end)
                    if piece is None:
                        raise errors.Conflict(
                            f'the blob "{name}" was replaced or removed while it was read; begin again'
                        )
                return
        raise errors.Conflict(f'the blob "{name}" is being replaced all the time; try again')

    async def _piece(self, namespace: str, content: str, first: int, end: int) -> bytes | None:
        """The bytes from `first` to the end of their chunk, or `end`; nothing at `end`, None where they are gone."""
        if first >= end:
            return b""
        number, offset = divmod(first, CHUNK_BYTES)
        record = await self._engine.get(namespace, CHUNKS, chunk_key(content, number))
        if record is None:
            return None
        return record.value[offset : offset + end - first]

    async def _find(self, namespace: str, where: str, name: str) -> Record:
        record = await self._engine.get(namespace, where, name)
        if record is None:
            raise errors.NotFound(f'there is no blob "{name}"')
        return record


def bucket_of_name(origin: Origin, database: str, name: str) -> str:
    """The bucket of a name.

    Raises:
        BadRequest: name or database cannot be.
    """
    if not name or len(name.encode()) > MAX_KEY_BYTES or not name.isprintable():
        raise errors.BadRequest(f"name: a blob's name has 1 to {MAX_KEY_BYTES} bytes, all of them printable")
    return bucket_of(origin, database)


def bucket_of(origin: Origin, database: str) -> str:
    """The bucket of the names of a database; empty for the caller's own.

    Raises:
        BadRequest: the name of the database cannot be.
    """
    chosen = database or origin.service or DEFAULT_DATABASE
    return NAMES + check_database(chosen)
