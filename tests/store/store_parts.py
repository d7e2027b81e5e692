"""An engine with blobs over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from microlite.core.context import Origin
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.store.blob_api import Blob
from microlite.core.store.blobs import Blobs

ANN = Origin("default", "", "ann")


async def pieces(content: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def whole(blob: Blob) -> tuple[int, int]:
    return 0, blob.size


async def read(blobs: Blobs, name: str, first: int = 0, end: int | None = None) -> bytes:
    found = b""
    choose = whole if end is None else lambda _: (first, end)
    async for piece in blobs.read(ANN, name, choose):
        found += piece if isinstance(piece, bytes) else b""
    return found


async def left(engine: SQLiteEngine, namespace: str = "default") -> dict[str, int]:
    """How many records there are in each bucket."""
    return {bucket: await engine.count(namespace, bucket) for bucket in await engine.buckets(namespace)}
