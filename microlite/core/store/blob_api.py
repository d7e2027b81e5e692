"""What is said of blobs across the boundary of the service: what a blob is, and the changes that a transaction may hold."""

from __future__ import annotations

from typing import Final

import msgspec

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
        revision: of the commit that published it; the expectation for a compare-and-set.
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


class PublishBlob(msgspec.Struct, frozen=True, kw_only=True, tag="publish-blob"):
    """Make a staged upload the blob of a name, in place of whatever had it.

    Attributes:
        upload: from `StagedBlob`.
        name: of the blob.
        expires_at: when it goes by itself, in seconds since the Unix epoch.
        metadata: what to say about it.
        revision: that of the blob which it replaces; none for any.
        absent: refuse if there is a blob of this name.
        database: whose blob it is; empty for the caller's own.
    """

    upload: str
    name: str
    expires_at: float | None = None
    metadata: dict[str, str] = {}
    revision: int | None = None
    absent: bool = False
    database: str = ""


class DeleteBlob(msgspec.Struct, frozen=True, kw_only=True, tag="delete-blob"):
    """Remove a blob. One that is not there is no error, unless a revision is demanded.

    Attributes:
        name: of the blob.
        revision: that it must have; none for any.
        database: whose blob it is; empty for the caller's own.
    """

    name: str
    revision: int | None = None
    database: str = ""


BlobChange = PublishBlob | DeleteBlob
