"""A file of any size goes through without being held anywhere."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.web_e2e.conftest import Start
from tests.web_e2e.running import Running

SIZE = 200 * 1024 * 1024
PIECE = bytes(range(256)) * 1024
GROWTH = 24 * 1024 * 1024
"""What buffers of sockets, credit and the allocator may take; a tenth of the file."""

SERVICE = """\
from collections.abc import AsyncIterator
from hashlib import sha256

from microlite import Context, Service

service = Service("vault")


@service.endpoint
async def store(ctx: Context, name: str, file: AsyncIterator[bytes]) -> dict[str, str]:
    digest, size = sha256(), 0
    async for piece in file:
        digest.update(piece)
        size += len(piece)
    return {"name": name, "size": str(size), "digest": digest.hexdigest()}


@service.endpoint(produces="application/octet-stream")
async def fetch(size: int) -> AsyncIterator[bytes]:
    piece = bytes(range(256)) * 1024
    for _ in range(size // len(piece)):
        yield piece


if __name__ == "__main__":
    service.run()
"""


class Memory:
    """Watches how far the processes of a platform grow. Enter it to begin."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._first = running.memory()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.growth = dict.fromkeys(self._first, 0)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            for process, size in self._running.memory().items():
                self.growth[process] = max(self.growth[process], size - self._first[process])


@pytest.fixture
def vault(start: Start, tmp_path: Path) -> Running:
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "main.py").write_text(SERVICE)
    running = start()
    running.serve(folder)
    return running


def post(running: Running, kind: str, before: bytes, size: int, after: bytes = b"") -> Any:
    def body() -> Iterator[bytes]:
        yield before
        for _ in range(size // len(PIECE)):
            yield PIECE
        yield after

    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=50)
    length = str(len(before) + size + len(after))
    connection.request("POST", "/vault/store?name=big", body(), {"Content-Type": kind, "Content-Length": length})
    answer = connection.getresponse()
    document = msgspec.json.decode(answer.read())
    connection.close()
    assert answer.status == 200, document
    return document


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=XX", "application/octet-stream"])
def test_a_large_upload_is_streamed(kind: str, vault: Running) -> None:
    """200 MB reach the service as they are, and neither platform nor node holds more than their buffers."""
    before = after = b""
    if kind.startswith("multipart"):
        before = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
        after = b"\r\n--XX--\r\n"
    post(vault, kind, before, len(PIECE), after)  # what is imported at first is no growth
    with Memory(vault) as memory:
        answer = post(vault, kind, before, SIZE, after)
    digest = sha256()
    for _ in range(SIZE // len(PIECE)):
        digest.update(PIECE)
    assert answer == {"name": "big", "size": str(SIZE), "digest": digest.hexdigest()}
    assert max(memory.growth.values()) < GROWTH, memory.growth


def test_a_large_download_is_streamed(vault: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", vault.port, timeout=50)

    def get(size: int) -> int:
        connection.request("GET", f"/vault/fetch?size={size}")
        answer, received = connection.getresponse(), 0
        while piece := answer.read(1 << 20):
            received += len(piece)
        return received

    assert get(len(PIECE)) == len(PIECE)
    with Memory(vault) as memory:
        assert get(SIZE) == SIZE
    connection.close()
    assert max(memory.growth.values()) < GROWTH, memory.growth
