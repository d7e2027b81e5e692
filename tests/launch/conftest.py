"""Real launchers, real processes, and events to wait for instead of time."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from microlite.core.clock import SystemClock
from microlite.core.runtime.launch.api import Exit, Kind, Launcher, LaunchSpec, Process, Stream
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.launch.spawn import SpawnLauncher

LIBRARY = str(Path(__file__).parents[2])


class Node:
    """A process and what it printed so far."""

    def __init__(self) -> None:
        self.process: Process
        self.ending: asyncio.Task[Exit]
        self.printed = {Stream.STDOUT: b"", Stream.STDERR: b""}
        self._changed = asyncio.Event()

    def take(self, stream: Stream, content: bytes) -> None:
        self.printed[stream] += content
        self._changed.set()

    def wake(self, _: object) -> None:
        self._changed.set()

    @property
    def out(self) -> str:
        return self.printed[Stream.STDOUT].decode()

    @property
    def err(self) -> str:
        return self.printed[Stream.STDERR].decode()

    async def line(self, number: int = 0) -> str:
        """The line of stdout with this number, when it is complete."""
        while self.out.count("\n") <= number:
            assert self.process.exit is None, f"{self.process.exit} {self.err}"
            self._changed.clear()
            await self._changed.wait()
        return self.out.split("\n")[number]

    async def exit(self) -> Exit:
        return await self.process.wait()


class Bench:
    """Starts scripts and commands in a folder of their own."""

    def __init__(self, launcher: Launcher, folder: Path) -> None:
        self.launcher, self.folder = launcher, folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def write(self, name: str, source: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(source)
        if not path.exists() or path.read_text() != text:  # another node may be about to read it
            path.write_text(text)
        return path

    def spec(self, source: str = "", *argv: str, **changes: Any) -> LaunchSpec:
        fields: dict[str, Any] = {
            "name": "greeter",
            "cwd": str(self.folder),
            "env": self.env,
            "library": LIBRARY,
            "argv": argv,
            **changes,
        }
        if fields.get("kind") is not Kind.COMMAND and "script" not in fields:
            fields["script"] = str(self.write("main.py", source))
        return LaunchSpec(**fields)

    async def start(self, source: str = "", *argv: str, **changes: Any) -> Node:
        node = Node()
        node.process = await self.launcher.start(self.spec(source, *argv, **changes), node.take)
        node.ending = asyncio.create_task(node.process.wait(), name="end of a node")
        node.ending.add_done_callback(node.wake)
        return node

    async def run(self, source: str = "", *argv: str, **changes: Any) -> tuple[int | None, Node]:
        node = await self.start(source, *argv, **changes)
        return (await node.exit()).code, node


@pytest.fixture
async def forks(tmp_path: Path) -> AsyncIterator[Bench]:
    async with ForkLauncher(SystemClock(), os.environ) as launcher:
        yield Bench(launcher, tmp_path)


@pytest.fixture
async def spawns(tmp_path: Path) -> AsyncIterator[Bench]:
    async with SpawnLauncher(SystemClock()) as launcher:
        yield Bench(launcher, tmp_path)


@pytest.fixture(params=["fork", "spawn"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """What every launcher of Python scripts must do alike."""
    found = request.getfixturevalue({"fork": "forks", "spawn": "spawns"}[request.param])
    assert isinstance(found, Bench)
    return found


async def dead(pid: int) -> None:
    """Return when the process has ended, zombie or not."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


@pytest.fixture
def ended() -> Callable[[int], Any]:
    return dead


assert sys.platform == "linux", "these tests look into /proc"
