"""Runs an example as a user would: its folder, on a real platform, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import microlite
from microlite.core.app import Platform
from microlite.core.settings import ServerOptions

EXAMPLES = Path(__file__).parents[2] / "examples"


class Shown:
    """A platform with examples running on it.

    Attributes:
        platform: in this process.
        caller: calls over the platform's socket.
        http: a session whose relative URLs begin at the gateway.
    """

    def __init__(self, platform: Platform, caller: Any, http: aiohttp.ClientSession) -> None:
        self.platform = platform
        self.caller = caller
        self.http = http

    async def run(self, *names: str) -> None:
        """Run examples by the names of their folders; fails with what they last wrote, if one does not serve."""
        request = {
            "sources": [str(EXAMPLES / name) for name in names],
            "environment": dict(os.environ),
            "watch": False,
        }
        for status in await self.caller.options(timeout=200).call("runtime.run", request=request):
            assert status["state"] == "running", status

    async def get(self, path: str, *, code: int = 200, **options: Any) -> Any:
        """The decoded answer of a GET."""
        async with self.http.get(path, **options) as answer:
            assert answer.status == code, await answer.text()
            return await answer.json() if "json" in answer.content_type else await answer.text()

    async def post(self, path: str, *, code: int = 200, **fields: Any) -> Any:
        """The decoded answer of a POST of these fields."""
        async with self.http.post(path, json=fields) as answer:
            assert answer.status == code, await answer.text()
            return await answer.json()


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    home = tmp_path / "home"
    async with (
        Platform(ServerOptions(home=home, port=0, dashboard=False)) as platform,
        microlite.connect(home) as caller,
        aiohttp.ClientSession(platform.gateway.url) as http,
    ):
        yield Shown(platform, caller, http)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where packages cannot be fetched: asks pip itself, which knows the proxies and indexes of this machine."""
    command = (
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--timeout",
        "10",
        "--retries",
        "1",
        "mdurl==0.1.2",
    )
    asked = subprocess.run(command, cwd=tmp_path_factory.mktemp("wheel"), capture_output=True, check=False, timeout=60)
    if asked.returncode:
        pytest.skip("no packages can be fetched from here")
