"""What is in the file of a platform that was killed: sound, and of blobs nothing but what names lead to."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import apsw
import msgspec

from microlite.core.clock import SystemClock
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.settings import DATABASE
from microlite.core.store.blob_layout import CHUNK_BYTES, CHUNKS, NAMES, STAGED, UPLOADING, Content, decode_content
from microlite.core.store.blobs import Blobs
from tests.crash.journal import Violation

NAMESPACE = "default"


async def check_file(home: Path) -> None:
    """Check a copy of the database, as it lies there now; nobody has it open.

    Raises:
        Violation: something is wrong with it.
    """
    with tempfile.TemporaryDirectory(prefix="crash-copy-") as folder:
        for file in home.glob(f"{DATABASE}*"):
            shutil.copy(file, folder)
        database = Path(folder) / DATABASE
        async with SQLiteEngine(database, SystemClock()) as engine, Blobs(engine, SystemClock()) as blobs:
            await blobs.sweeper.settled()
            wanted = 0
            for bucket in await engine.buckets(NAMESPACE):
                if bucket.startswith(NAMES) or bucket == STAGED:
                    after = ""
                    while True:
                        page = await engine.scan(NAMESPACE, bucket, after=after, limit=1_000)
                        wanted += sum(_chunks(one.value, staged=bucket == STAGED) for one in page.records)
                        if page.cursor is None:
                            break
                        after = page.cursor
            chunks = await engine.count(NAMESPACE, CHUNKS)
            if chunks != wanted or await engine.count(NAMESPACE, UPLOADING):
                raise Violation(f"{chunks} chunks of blobs are there, and {wanted} are needed")
        connection = apsw.Connection(str(database))
        try:
            if (said := connection.execute("PRAGMA integrity_check").get) != "ok":
                raise Violation(f"the database is damaged: {said}")
        finally:
            connection.close()


def _chunks(value: bytes, *, staged: bool) -> int:
    """How many records the content has that a name, or a staged upload, leads to."""
    found = msgspec.msgpack.decode(value, type=tuple[Content, float])[0] if staged else decode_content(value)
    return -(-found.size // CHUNK_BYTES)
