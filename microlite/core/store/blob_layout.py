"""Where blobs lie in the engine.

A *content* is the bytes of one upload, under an id of its own: chunk records, which nothing shows. A blob is a name record
that points to a content; writing it is what publishes, and writing it anew what replaces. A content is at any time known
by exactly one of: a record of an upload under way, a record of a staged upload, a name, or a due record that says that it
has to go. So a crash at any point leaves nothing that the sweeper does not find.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.engine.api import Delete, Put
from microlite.core.store.blob_api import Blob

if TYPE_CHECKING:
    from microlite.core.engine.api import Operation, Record

CHUNK_BYTES: Final = 256 * 1024
"""The size of all chunks of a content but the last."""

BLOCK_BYTES: Final = 1024 * 1024
"""Most bytes of all uploads together in one commit, so that other writers share it without waiting long."""

NAMES: Final = "blobs/names/"
"""With a database behind it: the buckets of the names."""

CHUNKS: Final = "blobs/chunks"
UPLOADING: Final = "blobs/uploading"
STAGED: Final = "blobs/staged"
DUE: Final = "blobs/due"
"""What has to go, by the time at which: its keys sort so."""

NAMESPACES: Final = "blobs/namespaces"
"""In the platform's own namespace: those that ever had a blob."""

NEVER: Final = 9_999_999_999.0
"""The latest expiry in seconds since the Unix epoch: keys have so many digits."""


class Content(msgspec.Struct, frozen=True, array_like=True):
    """The value of a name record, and of a staged upload's."""

    id: str
    size: int
    digest: str
    content_type: str
    created_at: float
    metadata: dict[str, str] = {}


class Due(msgspec.Struct, frozen=True, array_like=True):
    """A content that has to go at the time in the key.

    Attributes:
        since: from when on nothing led to it any more; readers that are at it get some time from then on.
        bucket: of the name that pointed to it, for one that expires; empty for others.
        name: likewise.
        is_staged: whether there is a record of a staged upload, to go first.
    """

    id: str
    since: float
    bucket: str = ""
    name: str = ""
    is_staged: bool = False


encode: Final = msgspec.msgpack.Encoder().encode
decode_content: Final = msgspec.msgpack.Decoder(Content).decode
decode_due: Final = msgspec.msgpack.Decoder(Due).decode


def chunk_key(content: str, number: int) -> str:
    """The key of a chunk, counted from 0."""
    return f"{content}/{number:08x}"


def due_key(at: float, content: str) -> str:
    """The key of a due record; `at` in seconds since the Unix epoch."""
    return f"{int(at * 1000):013d}-{content}"


def due_time(key: str) -> float:
    """The time in the key of a due record."""
    return int(key[:13]) / 1000


def retire(content: str, now: float, expires_at: float | None = None) -> tuple[Operation, ...]:
    """Let a content go that no name leads to any more. `expires_at` is that of the name which it had."""
    gone = Put(DUE, due_key(0, content), encode(Due(content, now)))
    return (gone,) if expires_at is None else (gone, Delete(DUE, due_key(expires_at, content)))


def read_blob(record: Record) -> Blob:
    """The blob that a name record stands for."""
    content = decode_content(record.value)
    return Blob(
        name=record.key,
        size=content.size,
        digest=content.digest,
        content_type=content.content_type,
        revision=record.revision,
        created_at=content.created_at,
        expires_at=record.expires_at,
        metadata=content.metadata,
    )
