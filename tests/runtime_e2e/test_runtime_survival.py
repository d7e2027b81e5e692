"""The platform as a process: what becomes of its services when it is killed, asked to stop, or cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from microlite import connect
from tests.runtime_e2e.runtime_bench import ENVIRONMENT, Bench, versioned
from tests.runtime_e2e.test_runtime_programs import COMMAND, program

ROOT = str(Path(__file__).parents[2])

SLOW = """
    import asyncio
    import os

    from microlite import Service

    service = Service("slow")

    @service.endpoint
    async def work(seconds: float) -> str:
        open("started", "w").close()
        await asyncio.sleep(seconds)
        return "done"

    @service.endpoint
    async def pid() -> int:
        return os.getpid()

    if __name__ == "__main__":
        service.run()
"""


class Server:
    """`microlite server` on a home."""

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        self.process = process
        self.said = said

    async def end(self) -> tuple[int, str, str]:
        """Return its exit code and what it printed, once it has ended."""
        out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()


async def start(home: Path, *arguments: str) -> Server:
    """Return when it is ready, or has said why not."""
    loop = asyncio.get_running_loop()
    ours, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "microlite", "--home", str(home), "server", "--ready-fd", str(theirs)),
        *(arguments or ("--port", "0")),
        pass_fds=(theirs,),
        env={**ENVIRONMENT, "PYTHONPATH": ROOT},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = await loop.run_in_executor(None, pipe.read)
    return Server(process, said)


@contextlib.asynccontextmanager
async def server(home: Path) -> AsyncIterator[Server]:
    running = await start(home)
    try:
        assert running.said == "ready"
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
        await running.process.wait()
        running.process._transport.close()  # type: ignore[attr-defined]  # its pipes may be open when nobody read them


class Remote(Bench):
    """A bench whose platform is another process."""

    def __init__(self, home: Path, folder: Path, caller: object) -> None:
        self.home = home
        self.folder = folder
        self.caller = caller  # type: ignore[assignment]
        self.call = caller.call  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def remote(tmp_path: Path) -> AsyncIterator[Remote]:
    async with connect(tmp_path / "home") as caller:
        yield Remote(tmp_path / "home", tmp_path, caller)


async def _gone(processes: list[psutil.Process], timeout: float = 2.0) -> list[psutil.Process]:
    """Those that still run after a while; none, it is hoped."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while any(map(_runs, processes)):
                await asyncio.sleep(0.01)  # strangers' ends are told to nobody
    return [process for process in processes if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _below(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


@pytest.mark.parametrize("with_fork_server", [False, True])
async def test_nothing_outlives_a_killed_platform_and_what_was_detached_comes_back(
    tmp_path: Path, with_fork_server: bool
) -> None:
    async with server(tmp_path / "home") as first:
        async with remote(tmp_path) as bench:
            bench.write("slow/main.py", SLOW)
            bench.write("site/serve.py", program(1))
            await bench.run("slow", instances=2)
            await bench.run("site", command=COMMAND)
            processes = _below(first)
            assert len(processes) >= 4
            if with_fork_server:
                server_pid = psutil.Process(await bench.call("slow.pid")).ppid()
                os.kill(server_pid, signal.SIGKILL)
            first.process.kill()
            assert await _gone(processes) == []
        await first.process.wait()
    async with server(tmp_path / "home") as second, remote(tmp_path) as bench:
        assert await bench.call("slow.pid") not in [process.pid for process in processes]
        statuses = await bench.statuses("runtime.status")
        while not all(node.pid for status in statuses for node in status.nodes):
            await asyncio.sleep(0.01)
            statuses = await bench.statuses("runtime.status")
        assert [(status.name, status.detached) for status in statuses] == [("site", True), ("slow", True)]
        assert {process.pid for process in _below(second)} >= {node.pid for status in statuses for node in status.nodes}


async def test_asked_once_to_stop_it_finishes_what_was_called(tmp_path: Path) -> None:
    async with server(tmp_path / "home") as running, remote(tmp_path) as bench:
        bench.write("slow/main.py", SLOW)
        await bench.run("slow")
        processes = _below(running)
        gateway = (await _server_file(tmp_path))["gateway"]
        async with aiohttp.ClientSession() as http:
            over_http = asyncio.create_task(_post(http, f"{gateway}/slow/work", {"seconds": 0.7}))
            over_wire = asyncio.create_task(bench.call("slow.work", seconds=0.7))
            await _exists(tmp_path / "slow" / "started")
            running.process.send_signal(signal.SIGTERM)
            assert await over_http == (200, "done")
            assert await over_wire == "done"
        code, out, err = await running.end()
        assert (code, err) == (0, "")
        assert "stopping: waiting for calls to finish" in out
        assert await _gone(processes) == []
        assert not (tmp_path / "home" / "server.json").exists()


async def test_asked_twice_it_ends_at_once(tmp_path: Path) -> None:
    async with server(tmp_path / "home") as running, remote(tmp_path) as bench:
        bench.write("slow/main.py", SLOW)
        await bench.run("slow")
        processes = _below(running)
        call = asyncio.create_task(bench.call("slow.work", seconds=20))
        await _exists(tmp_path / "slow" / "started")
        running.process.send_signal(signal.SIGINT)
        assert running.process.stdout is not None
        while b"stopping" not in await running.process.stdout.readline():
            pass
        running.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(3):
            code, _, err = await running.end()
        assert code == 130
        assert "Traceback" not in err
        assert await _gone(processes) == []
        await asyncio.gather(call, return_exceptions=True)


async def test_a_second_platform_on_a_home_says_who_holds_it(tmp_path: Path) -> None:
    async with server(tmp_path / "home") as running:
        second = await start(tmp_path / "home")
        code, out, err = await second.end()
        assert code == 1
        assert f"process {running.process.pid}" in err
        assert err.count("\n") == 1
        assert second.said.casefold() == err.strip().casefold()
        assert out == ""


async def test_a_taken_port_is_told_with_the_program_that_holds_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        refused = await start(tmp_path / "home", "--port", str(holder.getsockname()[1]))
        code, out, err = await refused.end()
        assert code == 1
        assert f"(pid {os.getpid()})" in err
        assert f"ort {holder.getsockname()[1]} on 127.0.0.1 is taken by" in err
        assert err.count("\n") == 1
        assert out == ""


async def test_a_platform_whose_service_never_starts_stops_all_the_same(tmp_path: Path) -> None:
    async with server(tmp_path / "home") as running, remote(tmp_path) as bench:
        bench.write("echo/main.py", "import time\nopen('started', 'w').close()\ntime.sleep(600)\n" + versioned(1))
        starting = asyncio.create_task(bench.run("echo"))
        await _exists(tmp_path / "echo" / "started")
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            code, _, err = await running.end()
        assert (code, err) == (0, "")
        await asyncio.gather(starting, return_exceptions=True)


async def _exists(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)  # a file of another process tells nobody


async def _post(http: aiohttp.ClientSession, url: str, body: dict[str, object]) -> tuple[int, object]:
    async with http.post(url, json=body) as response:
        return response.status, await response.json()


async def _server_file(tmp_path: Path) -> dict[str, str]:
    import json

    return dict(json.loads(textwrap.dedent((tmp_path / "home" / "server.json").read_text())))
