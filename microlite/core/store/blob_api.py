"""What is said of blobs across the boundary of the service: what a blob is, and the changes that a transaction may hold."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from microlite.core.store.api import ChangeKind, Expectation

MAX_UPLOADS: Final = 128
"""Uploads that may be under way at a time."""

MAX_METADATA_BYTES: Final = 8 * 1024
"""Most bytes that names and values of a blob's metadata may have together."""

STAGED_SECONDS: Final = 3_600.0
"""How long an upload waits to be published, if it was only staged."""


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a blob without reading it.

    Attributes:
        name: under which it is found.
        size: in bytes.
        digest: SHA-256 of its content, as 64 hexadecimal digits.
        content_type: its media type, as its writer had it.
        revision: of the commit that published it; what to expect in a compare-and-set.
        created_at: when it was written, in seconds since the Unix epoch.
        expires_at: when it goes by itself, likewise; none for never.
        metadata: what its writer says about it.
    """

    name: str
    size: int
    digest: str
    content_type: str
    revision: int
    created_at: float
    expires_at: float | None = None
    metadata: dict[str, str] = {}


class BlobPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing.

    Attributes:
        blobs: in the order of their names.
        cursor: what to ask for to get the next page; none on the last.
    """

    blobs: list[Blob]
    cursor: str | None = None


class BlobNews(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a watch of blobs tells.

    Attributes:
        kind: as with records; `reset` and `synced` have no name.
        name: of the blob.
        blob: what it is now, of a `write`.
        revision: that of the change.
        resume: what to pass as `since` to go on behind this, without a gap.
    """

    kind: ChangeKind
    name: str = ""
    blob: Blob | None = None
    revision: int = 0
    resume: int = 0


class StagedBlob(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that is complete, on disk, and not visible yet.

    Attributes:
        upload: the id under which it can be published, once.
        size: in bytes.
        digest: SHA-256 of its content, as 64 hexadecimal digits.
        content_type: its media type.
        expires_at: when it is removed unless it was published, in seconds since the Unix epoch.
    """

    upload: str
    size: int
    digest: str
    content_type: str
    expires_at: float


class PublishBlob(msgspec.Struct, frozen=True, kw_only=True, tag="publish-blob", forbid_unknown_fields=True):
    """Make a staged upload the blob of a name, in place of whatever had it.

    Attributes:
        upload: from `StagedBlob`.
        name: of the blob.
        ttl: seconds after which it goes by itself.
        expires_at: the same as a time, in seconds since the Unix epoch.
        metadata: what to say about it.
        expect: what must hold of the blob that has the name now: its revision, `absent` or `present`.
        database: whose blob it is; empty for the caller's own.
    """

    upload: str
    name: str
    ttl: float | None = None
    expires_at: float | None = None
    metadata: dict[str, str] = {}
    expect: Expectation = None
    database: str = ""


class DeleteBlob(msgspec.Struct, frozen=True, kw_only=True, tag="delete-blob", forbid_unknown_fields=True):
    """Remove a blob. One that is not there is no error, unless something is expected.

    Attributes:
        name: of the blob.
        expect: what must hold of it.
        database: whose blob it is; empty for the caller's own.
    """

    name: str
    expect: Expectation = None
    database: str = ""


BlobChange: TypeAlias = PublishBlob | DeleteBlob
