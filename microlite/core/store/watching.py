"""Watches of records, as the service streams them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.engine import api as engine_api
from microlite.core.store import api, values

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from microlite.core.description.structs import Encoding
    from microlite.core.engine.api import Engine, Watch

_KINDS: Final = {
    engine_api.ChangeKind.PUT: api.ChangeKind.WRITE,
    engine_api.ChangeKind.DELETE: api.ChangeKind.DELETE,
    engine_api.ChangeKind.EXPIRE: api.ChangeKind.EXPIRE,
}


async def watch(
    engine: Engine, namespace: str, bucket: str, *, key: str, prefix: str, since: int | None, answered: Encoding
) -> AsyncGenerator[api.Change, None]:
    """Changes of one key, or of those with a prefix, as they are committed.

    It begins with `synced`, which says where to go on from, or with the state itself: where the changes since then are no
    longer known, and where `since` is 0.

    Args:
        engine: holds the records.
        namespace: of the records.
        bucket: of the records.
        key: the one that is meant; empty for all with the prefix.
        prefix: how the keys begin.
        since: the revision behind which to begin; None for now.
        answered: how the values are written.
    """
    async with engine.watch(namespace, bucket, prefix=key or prefix, from_revision=since) as changes:
        if since is None:
            yield _mark(api.ChangeKind.SYNCED, changes, answered)
        async for change in changes:
            if isinstance(change, engine_api.Resync):
                if change.first:
                    yield _mark(api.ChangeKind.RESET, changes, answered, resume=0)
                for record in change.records:
                    if not key or record.key == key:
                        yield _written(record, answered)
                if change.last:
                    yield _mark(api.ChangeKind.SYNCED, changes, answered)
            elif not key or change.key == key:
                yield _changed(change, changes.revision, answered)


def _mark(kind: api.ChangeKind, changes: Watch, answered: Encoding, *, resume: int | None = None) -> api.Change:
    revision = changes.revision if resume is None else resume
    return api.Change(kind=kind, key="", value=values.NOTHING[answered], revision=revision, resume=revision)


def _written(record: engine_api.Record, answered: Encoding) -> api.Change:
    """A record of the state. Nothing can be resumed before the state is complete, so it says 0, from the beginning."""
    value, encoding = values.unpack(record.value, answered)
    return api.Change(
        kind=api.ChangeKind.WRITE,
        key=record.key,
        value=value,
        revision=record.revision,
        expires_at=record.expires_at,
        encoding=encoding,
        resume=0,
    )


def _changed(change: engine_api.Change, resume: int, answered: Encoding) -> api.Change:
    if change.kind is engine_api.ChangeKind.PUT:
        value, encoding = values.unpack(change.value, answered)
    else:
        value, encoding = values.NOTHING[answered], api.ValueEncoding.PLAIN
    return api.Change(
        kind=_KINDS[change.kind],
        key=change.key,
        value=value,
        revision=change.revision,
        expires_at=change.expires_at,
        encoding=encoding,
        resume=resume,
    )
