"""A blob of a gibibyte passes through without being held anywhere."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

import microlite
from microlite.core.auth.admin_token import admin_token
from tests.web_e2e.conftest import Start
from tests.web_e2e.running import Running
from tests.web_e2e.test_large_uploads import PIECE, Memory

SIZE = 1 << 30
GROWTH = 48 * 1024 * 1024
"""Bytes: buffers, and what SQLite keeps of its file in memory; a twentieth of the blob."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SERVICE = """\
from microlite import Context, Service

service = Service("vault")


@service.endpoint
async def fill(ctx: Context, size: int) -> str:
    async def pieces():
        piece = bytes(range(256)) * 1024
        for _ in range(size // len(piece)):
            yield piece

    return (await ctx.store.blobs.write("big", pieces())).digest


@service.endpoint
async def drain(ctx: Context) -> int:
    size = 0
    async for piece in ctx.store.blobs.read("big"):
        size += len(piece)
    return size


if __name__ == "__main__":
    service.run()
"""


@pytest.fixture
def vault(start: Start, tmp_path: Path) -> Running:
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "main.py").write_text(SERVICE)
    running = start()
    running.serve(folder)
    return running


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // len(PIECE)):
        yield PIECE


def digest(size: int) -> str:
    found = sha256()
    for piece in pieces(size):
        found.update(piece)
    return found.hexdigest()


def test_a_gibibyte_from_a_service_and_back(vault: Running) -> None:
    """Over the wire, by the library: platform and node stay small."""
    with microlite.connect(vault.home) as m:
        patient = m.options(timeout=240)
        patient.call("vault.fill", size=16 * len(PIECE))  # what is imported, and the cache, at first is no growth
        patient.call("vault.drain")
        with Memory(vault) as memory:
            assert patient.call("vault.fill", size=SIZE) == digest(SIZE)
            assert patient.call("vault.drain") == SIZE
    assert max(memory.growth.values()) < GROWTH, memory.growth


def test_a_gibibyte_over_http_and_back(vault: Running) -> None:
    token = {"Authorization": f"Bearer {admin_token(vault.home)}"}
    connection = http.client.HTTPConnection("127.0.0.1", vault.port, timeout=240)

    def put(size: int) -> str:
        headers = {"Content-Type": "video/mp4", "Content-Length": str(size), **token}
        connection.request("PUT", "/store/blobs/write?name=big", pieces(size), headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return str(msgspec.json.decode(answer.read())["digest"])

    def get() -> str:
        connection.request("GET", "/store/blobs/read?name=big", headers=token)
        answer, found = connection.getresponse(), sha256()
        while piece := answer.read(1 << 18):
            found.update(piece)
        return found.hexdigest()

    put(16 * len(PIECE))
    get()
    with Memory(vault) as memory:
        assert put(SIZE) == digest(SIZE)
        assert get() == digest(SIZE)
    connection.close()
    assert max(memory.growth.values()) < GROWTH, memory.growth
