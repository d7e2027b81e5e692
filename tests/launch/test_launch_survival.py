"""Nothing outlives the platform, whatever it does and whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from microlite.core.clock import SystemClock
from microlite.core.runtime.launch.fork import ForkLauncher

PROGRAM = str(Path(__file__).with_name("platform_program.py"))
IN_GROUP = (
    "plain", "deaf", "spinning", "regex", "stopped", "threads", "uvloop", "subprocess", "multiprocessing", "forked-twice",
    "command",
)  # fmt: skip
ESCAPED = ("own-session", "daemon")
WITHIN = 2.0  # seconds, the promise of the runtime


class Platform(NamedTuple):
    process: subprocess.Popen[bytes]
    servers: list[int]
    nodes: dict[str, list[int]]

    def pids(self, kinds: tuple[str, ...]) -> list[int]:
        return [pid for kind in kinds for pid in self.nodes[kind]]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts platforms, and kills whatever a failed test left."""
    started: list[Platform] = []

    async def start(launcher: str, *kinds: str) -> Platform:
        process = subprocess.Popen(  # noqa: ASYNC220 - the platform that is to be killed
            [sys.executable, PROGRAM, launcher, str(tmp_path), *kinds], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert process.stdout is not None
        line = await asyncio.get_running_loop().run_in_executor(None, process.stdout.readline)
        found = json.loads(line)
        started.append(Platform(process, found["servers"], found["nodes"]))
        assert set(found["nodes"]) == set(kinds)
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        assert one.process.stdout is not None
        one.process.stdout.close()
    async with ForkLauncher(SystemClock(), os.environ, marker=str(tmp_path)) as launcher:
        await launcher.sweep()


@pytest.mark.slow
async def test_nothing_outlives_a_killed_platform(platform: Callable[..., Any], ended: Any) -> None:
    """Not even what left its group: the fork server is the parent of all orphans, and sweeps."""
    running = await platform("fork", *IN_GROUP, *ESCAPED)
    assert len(running.servers) == 1
    running.process.kill()
    async with asyncio.timeout(WITHIN):
        for pid in (*running.pids((*IN_GROUP, *ESCAPED)), *running.servers):
            await ended(pid)


@pytest.mark.slow
async def test_nothing_outlives_a_killed_fork_server(platform: Callable[..., Any], ended: Any) -> None:
    kinds = tuple(kind for kind in IN_GROUP if kind != "command")  # that one is not the server's
    running = await platform("fork", *kinds, *ESCAPED)
    os.kill(running.servers[0], signal.SIGKILL)
    async with asyncio.timeout(WITHIN):
        for pid in running.pids((*kinds, *ESCAPED)):
            await ended(pid)
    assert running.process.poll() is None


@pytest.mark.slow
async def test_nothing_in_its_group_outlives_both(platform: Callable[..., Any], ended: Any, tmp_path: Path) -> None:
    """What left its group does, and the next platform of the same home finds it."""
    running = await platform("fork", *IN_GROUP, *ESCAPED)
    for pid in (running.process.pid, *running.servers):
        os.kill(pid, signal.SIGSTOP)  # so that neither can act on the death of the other
    for pid in (running.process.pid, *running.servers):
        os.kill(pid, signal.SIGKILL)
    escaped = [running.nodes[kind][1] for kind in ESCAPED]
    async with asyncio.timeout(WITHIN):
        for pid in set(running.pids((*IN_GROUP, *ESCAPED))) - set(escaped):
            await ended(pid)
    for pid in escaped:
        os.kill(pid, 0)
    async with ForkLauncher(SystemClock(), os.environ, marker=str(tmp_path)) as launcher:
        assert await launcher.sweep() >= len(escaped)  # helpers of the killed may be on their way out still
        for pid in escaped:
            await ended(pid)
        assert await launcher.sweep() == 0


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["spawn", "guard"])
async def test_nothing_in_its_group_outlives_a_platform_that_spawned_it(
    platform: Callable[..., Any], ended: Any, launcher: str
) -> None:
    running = await platform(launcher, *IN_GROUP)
    running.process.kill()
    async with asyncio.timeout(WITHIN):
        for pid in running.pids(IN_GROUP):
            await ended(pid)


async def test_members_of_a_group_go_when_their_leader_is_killed_alone(forks: Any, ended: Any) -> None:
    node = await forks.start(
        "import os, signal\nif os.fork() == 0:\n    signal.signal(15, signal.SIG_IGN); print(os.getpid())\n"
        "    while True: signal.pause()\nsignal.pause()"
    )
    member = int(await node.line())
    os.kill(node.process.pid, signal.SIGKILL)
    assert (await node.exit()).signal == signal.SIGKILL
    await ended(member)


async def test_one_node_ending_leaves_the_others_alone(forks: Any) -> None:
    """Each has life pipes of its own: on old kernels a shared one signals everybody when any reader closes."""
    nodes = [await forks.start("import signal; print(); signal.pause()") for _ in range(4)]
    for node in nodes:
        await node.line()
    nodes[0].process.kill()
    await nodes[0].exit()
    code, _ = await forks.run("")
    assert code == 0
    assert [node.process.exit for node in nodes[1:]] == [None] * 3


async def test_a_node_keeps_its_life_pipe_when_it_restarts_itself_by_exec(forks: Any) -> None:
    node = await forks.start(
        """
        import os, sys
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, __file__, "again"])
        print(sorted(int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) >= 200))
        """
    )
    assert await node.line() == "[200, 201]"
    assert (await node.exit()).code == 0
