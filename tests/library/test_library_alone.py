"""`python main.py` by itself: a real process that finds a platform or starts one, and ends as it is asked to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import microlite
from microlite import errors

ROOT = Path(__file__).parents[2]

GREETER = """
import asyncio
import signal
from microlite import Context, Service

greeter = Service("greeter", version="1.0.0")
released = asyncio.Event()

@greeter.endpoint
async def hello(name: str) -> str:
    return f"Hello {name}"

@greeter.endpoint
async def hold() -> str:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, released.set)
    print("holding", flush=True)
    await released.wait()
    return "released"

@greeter.on_stop
def stop() -> None:
    print("stopped", flush=True)

greeter.run()
"""


class Program:
    """A script that runs as `python main.py` does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, text: str) -> str:
        """Wait for a line on stdout or stderr that holds `text`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            seen = ""
            while text not in seen:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"it ended without saying {text!r}; it said {seen!r}"
                seen += line
            return line

    async def ended(self) -> int:
        """Wait for its end. Returns the exit code."""
        async with asyncio.timeout(20):
            return await self.process.wait()


class Bench:
    """A home, the programs that were started on it, and the platform that they have started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.programs: list[Program] = []
        self.platforms: set[int] = set()

    async def run(self, code: str = GREETER, **variables: str) -> Program:
        script = self.folder / "main.py"
        script.write_text(code)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_")}
        environment |= {"MICROLITE_HOME": str(self.home), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment | variables,
        )
        self.programs.append(Program(process))
        return self.programs[-1]

    def server(self) -> dict[str, Any]:
        """What the platform says of itself."""
        found: dict[str, Any] = json.loads((self.home / "server.json").read_text())
        self.platforms.add(found["pid"])
        return found

    async def close(self) -> None:
        for program in self.programs:
            if program.process.returncode is None:
                program.process.kill()
            await program.process.communicate()
        if (self.home / "server.json").exists():
            self.server()
        for pid in self.platforms:
            await gone(pid, signal.SIGTERM)


async def gone(pid: int, number: int = 0) -> None:
    """Send a signal to a process that is no child of this one, and wait for its end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        if number:
            signal.pidfd_send_signal(descriptor, number)
        await asyncio.wait_for(ended.wait(), 20)
    except ProcessLookupError:
        pass  # it was faster
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    bench = Bench(folder)
    yield bench
    await bench.close()
    shutil.rmtree(folder)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_it_starts_a_platform_which_ends_after_it(bench: Bench) -> None:
    program = await bench.run()
    line = await program.says("is running")
    server = bench.server()
    assert line.strip() == f"greeter is running: {server['gateway']}/greeter"
    async with microlite.connect(bench.home) as m:
        assert await m.call("greeter.hello", name="Ann") == "Hello Ann"

    def over_http() -> Any:
        body = json.dumps({"name": "Bob"}).encode()
        request = urllib.request.Request(
            f"{server['gateway']}/greeter/hello", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    assert await asyncio.to_thread(over_http) == "Hello Bob"
    program.process.send_signal(signal.SIGINT)
    await program.says("stopped")
    assert await program.ended() == 0
    await gone(server["pid"])  # by itself
    assert not (bench.home / "server.json").exists()


async def test_several_at_once_share_one_platform(bench: Bench) -> None:
    programs = await asyncio.gather(*(bench.run() for _ in range(3)))
    lines = await asyncio.gather(*(program.says("is running") for program in programs))
    assert len(set(lines)) == 1
    async with microlite.connect(bench.home) as m:
        (record,) = await m.call("registry.get", service="greeter")
        assert len(record["nodes"]) == 3
        assert len({node["pid"] for node in record["nodes"]}) == 3


async def test_sigterm_lets_it_finish_what_it_does_and_a_second_one_ends_it(bench: Bench) -> None:
    first = await bench.run()
    await first.says("is running")
    async with microlite.connect(bench.home) as m:

        async def refused() -> bool:
            try:
                await m.call("greeter.hello", name="Ann")
            except errors.ServiceNotFound:
                return True
            return False

        holding = asyncio.ensure_future(m.call("greeter.hold"))
        await first.says("holding")
        first.process.terminate()
        await until(refused)
        assert not holding.done()
        first.process.send_signal(signal.SIGUSR1)
        assert await holding == "released"
        await first.says("stopped")
        assert await first.ended() == 0

        second = await bench.run()
        await second.says("is running")
        holding = asyncio.ensure_future(m.call("greeter.hold"))
        await second.says("holding")
        second.process.terminate()
        await until(refused)
        second.process.terminate()
        assert await second.ended() == 128 + signal.SIGTERM
        with pytest.raises(errors.OutcomeUnknown):
            await holding


async def test_it_survives_its_platform(bench: Bench) -> None:
    program = await bench.run()
    await program.says("is running")
    await gone(bench.server()["pid"], signal.SIGKILL)
    await program.says("is running")
    async with microlite.connect(bench.home) as m:
        assert await m.call("greeter.hello", name="Ann") == "Hello Ann"


async def test_a_start_that_fails_says_why(bench: Bench) -> None:
    code = GREETER.replace("greeter.run()", "@greeter.on_start\ndef start():\n    1 / 0\n\ngreeter.run()")
    program = await bench.run(code)
    assert await program.ended() == 127
    output = (await program.process.communicate())[0].decode()
    assert "ZeroDivisionError" in output
    assert "1 / 0" in output
    assert "microlite/core" not in output
    assert "on_start failed" in output.splitlines()[-1]


async def test_a_variable_that_makes_no_sense_is_named(bench: Bench) -> None:
    program = await bench.run(MICROLITE_LOG_LEVEL="loud")
    assert await program.ended() == 127
    output = (await program.process.communicate())[0].decode()
    assert "MICROLITE_LOG_LEVEL is 'loud'" in output
    assert "Traceback" not in output


async def test_its_log_lines_carry_the_trace(bench: Bench) -> None:
    code = GREETER.replace(
        "async def hello(name: str) -> str:",
        'async def hello(ctx: Context, name: str) -> str:\n    ctx.log.info("greeting %s", name)',
    )
    program = await bench.run(code)
    await program.says("is running")
    async with microlite.connect(bench.home) as m:
        given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await m.options(metadata={"traceparent": given}).call("greeter.hello", name="Ann")
    assert await program.says("greeting") == "INFO greeting Ann trace=0af7651916cd43dd8448eb211c80319c\n"
