"""Watches of blobs, as the service streams them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.engine import api as engine_api
from microlite.core.store.api import ChangeKind
from microlite.core.store.blob_api import BlobNews
from microlite.core.store.blob_layout import read_blob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from microlite.core.engine.api import Engine, Record

_KINDS: Final = {
    engine_api.ChangeKind.PUT: ChangeKind.WRITE,
    engine_api.ChangeKind.DELETE: ChangeKind.DELETE,
    engine_api.ChangeKind.EXPIRE: ChangeKind.EXPIRE,
}


async def watch(
    engine: Engine, namespace: str, bucket: str, *, prefix: str, since: int | None
) -> AsyncGenerator[BlobNews, None]:
    """Changes of the blobs of a database, as they are published; see `store.watching.watch`, which does so for records.

    Args:
        engine: holds the names.
        namespace: of the blobs.
        bucket: of the names.
        prefix: how the names begin.
        since: the revision behind which to begin; None for now.
    """
    async with engine.watch(namespace, bucket, prefix=prefix, from_revision=since) as changes:
        if since is None:
            yield BlobNews(kind=ChangeKind.SYNCED, revision=changes.revision, resume=changes.revision)
        async for change in changes:
            if isinstance(change, engine_api.Resync):
                if change.first:
                    yield BlobNews(kind=ChangeKind.RESET)
                for record in change.records:
                    yield _written(record, 0)
                if change.last:
                    yield BlobNews(kind=ChangeKind.SYNCED, revision=changes.revision, resume=changes.revision)
            elif change.kind is engine_api.ChangeKind.PUT:
                record = engine_api.Record(change.key, change.value, change.revision, change.expires_at)
                yield _written(record, changes.revision)
            else:
                yield BlobNews(
                    kind=_KINDS[change.kind], name=change.key, revision=change.revision, resume=changes.revision
                )


def _written(record: Record, resume: int) -> BlobNews:
    return BlobNews(
        kind=ChangeKind.WRITE, name=record.key, blob=read_blob(record), revision=record.revision, resume=resume
    )
