"""One upload: from a stream of pieces to chunks on disk."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

from microlite.core.engine.api import Batch, Check, Delete, Presence, Put
from microlite.core.store.blob_layout import BLOCK_BYTES, CHUNK_BYTES, CHUNKS, UPLOADING, chunk_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.core.engine.api import Engine, Operation

_INLINE: Final = 128 * 1024
"""Bytes that are hashed on the loop; more are in a thread."""


class Upload:
    """Takes in a content. At most two blocks of it are in memory.

    A content that fits into one block is not written before the commit that publishes it.

    Args:
        engine: where the chunks go.
        namespace: of the content.
        content: its id.
        turn: held for each commit, so that all uploads together put one block at most into a group.

    Attributes:
        size: bytes so far.
        is_begun: whether there is, or may be, something of it on disk.
    """

    def __init__(self, engine: Engine, namespace: str, content: str, turn: asyncio.Lock) -> None:
        self._engine = engine
        self._namespace = namespace
        self._content = content
        self._turn = turn
        self._hash = hashlib.sha256()
        self._chunks = 0
        self.size = 0
        self.is_begun = False

    @property
    def digest(self) -> str:
        """SHA-256 of what `take` has taken, in hexadecimal digits."""
        return self._hash.hexdigest()

    async def take(self, pieces: AsyncIterator[bytes]) -> tuple[Operation, ...]:
        """Read everything, and return the operations that complete it: to be committed with what makes it known."""
        block = bytearray()
        async for piece in pieces:
            block += piece
            while len(block) > BLOCK_BYTES:
                await self._write(bytes(memoryview(block)[:BLOCK_BYTES]))
                del block[:BLOCK_BYTES]
        await self._digest(block)
        rest = self._puts(bytes(block))
        return (*rest, Delete(UPLOADING, self._content, Presence.PRESENT)) if self.is_begun else rest

    async def _write(self, block: bytes) -> None:
        await self._digest(block)
        known: Operation = (
            Check(UPLOADING, self._content, Presence.PRESENT)
            if self.is_begun
            else Put(UPLOADING, self._content, b"", expect=Presence.ABSENT)
        )
        async with self._turn:
            self.is_begun = True
            await self._engine.commit(Batch(self._namespace, (known, *self._puts(block)), within_quota=True))

    async def _digest(self, block: bytes | bytearray) -> None:
        self.size += len(block)
        if len(block) > _INLINE:
            await asyncio.to_thread(self._hash.update, block)
        else:
            self._hash.update(block)

    def _puts(self, block: bytes) -> tuple[Operation, ...]:
        puts = []
        for start in range(0, len(block), CHUNK_BYTES):
            puts.append(Put(CHUNKS, chunk_key(self._content, self._chunks), block[start : start + CHUNK_BYTES]))
            self._chunks += 1
        return tuple(puts)
