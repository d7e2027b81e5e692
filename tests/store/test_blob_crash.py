"""Blobs and answers to calls with a key, when the platform is killed with -9."""

from __future__ import annotations

import asyncio
import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from microlite.core.clock import SystemClock
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.settings import DATABASE
from microlite.core.store.blobs import Blobs
from tests.runtime_e2e.test_runtime_survival import SLOW, Server, remote, server
from tests.store.store_parts import left, read

LARGE = bytes(range(256)) * 14_000
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


async def _kill(running: Server) -> None:
    running.process.kill()
    await running.process.wait()


def _gateway(home: Path) -> str:
    import json

    return str(json.loads((home / "server.json").read_text())["gateway"])


def _token(home: Path) -> dict[str, str]:
    from microlite.core.auth.admin_token import admin_token

    return {"Authorization": f"Bearer {admin_token(home)}"}


@pytest.mark.timeout(180)
async def test_a_killed_platform_leaves_whole_blobs_and_nothing_else(tmp_path: Path) -> None:
    """What was acknowledged is there; of an upload under way, and of what was deleted, the next process removes all."""
    home = tmp_path / "home"
    async with server(home) as running:
        base, token = _gateway(home), _token(home)
        async with aiohttp.ClientSession() as http:

            async def write(name: str, content: Any) -> int:
                async with http.put(
                    f"{base}/store/blobs/write", params={"name": name}, data=content, headers=token
                ) as a:
                    return a.status

            assert await write("kept", io.BytesIO(LARGE)) == 200
            assert await write("replaced", io.BytesIO(LARGE)) == 200
            sent = asyncio.Event()

            async def endless() -> Any:
                for number in range(10_000):
                    yield LARGE[: 1 << 20]
                    if number == 16:  # far more than any buffer on the way holds
                        sent.set()

            uploads = [asyncio.create_task(write(name, endless())) for name in ("half", "replaced")]
            await sent.wait()
            await _kill(running)
            assert all(isinstance(one, Exception) for one in await asyncio.gather(*uploads, return_exceptions=True))
    async with SQLiteEngine(home / DATABASE, SystemClock()) as engine:
        assert (await left(engine))["blobs/uploading"] >= 1
        async with Blobs(engine, SystemClock()) as blobs:
            await blobs.sweeper.settled()
            assert await left(engine) == {"blobs/chunks": 28, "blobs/names/default": 2}
            for name in ("kept", "replaced"):
                assert sha256(await read(blobs, name)).digest() == sha256(LARGE).digest()


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_call_is_not_done_twice_across_a_crash(tmp_path: Path) -> None:
    """What was answered is answered again; what was under way has an unknown outcome."""
    home = tmp_path / "home"
    async with server(home) as running, remote(tmp_path) as bench, aiohttp.ClientSession() as http:
        bench.write("slow/main.py", SLOW)
        await bench.run("slow")
        async with http.post(f"{_gateway(home)}/slow/pid", json={}, headers=KEY) as answer:
            first = await answer.json()
        started = tmp_path / "slow" / "started"
        calling = asyncio.create_task(http.post(f"{_gateway(home)}/slow/work", json={"seconds": 60}, headers=KEY))
        while not started.exists():
            await asyncio.sleep(0.01)  # another process makes it
        started.unlink()
        await _kill(running)
        assert isinstance((await asyncio.gather(calling, return_exceptions=True))[0], aiohttp.ClientError)
    async with server(home), aiohttp.ClientSession() as http:
        async with http.post(f"{_gateway(home)}/slow/pid", json={}, headers=KEY) as answer:
            assert await answer.json() == first, "the process of the node is another one now"
            assert answer.headers["Idempotent-Replayed"] == "true"
        async with http.post(f"{_gateway(home)}/slow/work", json={"seconds": 60}, headers=KEY) as answer:
            assert answer.status == 409
            assert (await answer.json())["detail"].startswith("outcome unknown")
        assert not started.exists()
