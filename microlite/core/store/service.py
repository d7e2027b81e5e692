"""The built-in service `store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.library.service import Service
from microlite.core.store.blob_endpoints import add_blob_endpoints

if TYPE_CHECKING:
    from microlite.core.clock import Clock
    from microlite.core.store.blobs import Blobs


def store_service(blobs: Blobs, clock: Clock) -> Service:
    """Make the service over the engine of one platform."""
    service = Service("store", doc="Records and blobs.", built_in=True)
    add_blob_endpoints(service, blobs, clock)
    return service
