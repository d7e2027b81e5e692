"""What `store` says across its boundary."""

from __future__ import annotations

from microlite.core.store.blob_api import Blob, BlobPage, DeleteBlob, PublishBlob, StagedBlob

__all__ = ["Blob", "BlobPage", "DeleteBlob", "PublishBlob", "StagedBlob"]
