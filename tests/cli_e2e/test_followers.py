"""Commands that follow something end in plain words when the platform does."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from microlite import connect
from tests.runtime_e2e.runtime_bench import ENVIRONMENT
from tests.runtime_e2e.test_runtime_survival import ROOT, start


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Short, since paths of sockets are limited."""
    with tempfile.TemporaryDirectory(prefix="ml-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_follower_says_that_the_platform_has_stopped(short_path: Path, number: signal.Signals) -> None:
    server = await start(short_path)
    followers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "microlite", "--home", str(short_path), *words),
            env={**ENVIRONMENT, "PYTHONPATH": ROOT},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for words in (
            ("events", "follow", "t", "--after", "0"),
            ("broker", "subscribe", "t"),
            ("store", "watch", "--state"),
        )
    ]
    async with connect(short_path) as m:
        await m.events.publish("t", 1)
        await m.store.write("a", 1)
        while not (await m.broker.publish("t", 1)):
            await asyncio.sleep(0.02)
    for follower in followers:
        assert follower.stdout is not None
        await asyncio.wait_for(follower.stdout.readline(), 20)
    server.process.send_signal(number)
    await server.end()
    for follower in followers:
        assert follower.stderr is not None
        said = (await asyncio.wait_for(follower.stderr.read(), 20)).decode()
        await follower.wait()
        assert "Outcome unknown" not in said
        assert "platform" in said.splitlines()[-1]
        assert follower.returncode
