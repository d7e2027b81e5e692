"""The built-in service `store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.library.service import Service
from microlite.core.store.endpoints.blobs import serve_blobs
from microlite.core.store.endpoints.records import serve_changes, serve_reads, serve_watches

if TYPE_CHECKING:
    from microlite.core.policy.permits import Permits
    from microlite.core.store.blobs import Blobs
    from microlite.core.store.records import Records


def store_service(records: Records, blobs: Blobs, permits: Permits) -> Service:
    """Make the service.

    Args:
        records: what it does with records.
        blobs: what it does with blobs.
        permits: the rules.
    """
    service = Service("store", doc="Records by key, in tables: kept on disk, with revisions and expiry.", built_in=True)
    serve_changes(service, records, permits)
    serve_reads(service, records, permits)
    serve_watches(service, records, permits)
    serve_blobs(service, blobs, permits)
    return service
