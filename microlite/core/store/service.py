"""The built-in service `store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.library.service import Service
from microlite.core.store.endpoints.blobs import serve_blobs
from microlite.core.store.endpoints.records import serve_changes, serve_reads, serve_watches

if TYPE_CHECKING:
    from microlite.core.store.blobs import Blobs
    from microlite.core.store.records import Records


def store_service(records: Records, blobs: Blobs) -> Service:
    """Make the service.

    Args:
        records: what it does with records.
        blobs: what it does with blobs.
    """
    service = Service("store", doc="Records by key, in tables: kept on disk, with revisions and expiry.", built_in=True)
    serve_changes(service, records)
    serve_reads(service, records)
    serve_watches(service, records)
    serve_blobs(service, blobs)
    return service
