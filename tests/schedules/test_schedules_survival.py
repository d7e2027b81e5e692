"""What becomes of schedules when the platform or a node is killed, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from microlite.core.library.caller import Caller
from tests.runtime_e2e.test_runtime_survival import Remote, remote, server

WORK = """
    import asyncio
    from pathlib import Path

    from microlite import Context, Service

    service = Service("work")
    here = Path(__file__).parent

    def note(word: str) -> None:
        with (here / "notes").open("a") as notes:
            notes.write(word + "\\n")

    async def work(ctx: Context) -> None:
        note(f"begin {ctx.metadata['schedule-due']}")
        while not (here / "release").exists():
            await asyncio.sleep(0.01)
        note("end")

    @service.every("1h")
    async def once(ctx: Context) -> None:
        await work(ctx)

    @service.every("1h", idempotent=True)
    async def again(ctx: Context) -> None:
        await work(ctx)

    @service.every("1s", missed="all", overlap="queue")
    async def second(ctx: Context) -> None:
        with (here / "seconds").open("a") as seconds:
            seconds.write(ctx.metadata["schedule-due"] + "\\n")

    @service.endpoint
    async def call(id: int) -> None:
        note(f"call {id}")

    if __name__ == "__main__":
        service.run()
"""


@contextlib.asynccontextmanager
async def working(folder: Path) -> AsyncIterator[Remote]:
    """The service runs, detached, and its schedules are known."""
    async with remote(folder) as bench:
        if not (folder / "work").exists():
            bench.write("work/main.py", WORK)
            await bench.run("work")
        async with asyncio.timeout(40):
            async for listed in bench.caller.stream("schedules.watch"):
                if len(listed) >= 3 and (await bench.call("runtime.status"))[0]["state"] == "running":
                    break
        yield bench


async def noted(folder: Path, word: str, count: int = 1) -> list[str]:
    """What the service noted down, as soon as that many notes begin with the word."""
    async with asyncio.timeout(40):
        while True:
            notes = (folder / "work" / "notes").read_text().splitlines() if (folder / "work" / "notes").exists() else []
            if sum(note.startswith(word) for note in notes) >= count:
                return notes
            await asyncio.sleep(0.01)  # a file of another process


async def outcome(caller: Caller, name: str, *wanted: str) -> dict[str, Any]:
    """The latest run, as soon as its outcome is one of these."""
    async with asyncio.timeout(40):
        async for _ in caller.stream("schedules.watch"):
            runs = await caller.call("schedules.history", name=name, limit=1)
            if runs and runs[0]["outcome"] in wanted:
                found: dict[str, Any] = runs[0]
                return found
    raise AssertionError("the watch has ended")


@pytest.mark.parametrize(("name", "expected", "begins"), [("once", "interrupted", 1), ("again", "done", 2)])
async def test_a_run_that_the_platform_did_not_survive(short_path: Path, name: str, expected: str, begins: int) -> None:
    """It is told, and run again only where that does no harm."""
    async with server(short_path / "home") as first, working(short_path) as bench:
        await bench.call("schedules.run", name=f"work.{name}")
        await noted(short_path, "begin")
        first.process.kill()
        await first.process.wait()
    (short_path / "work" / "release").touch()
    async with server(short_path / "home"), working(short_path) as bench:
        run = await outcome(bench.caller, f"work.{name}", "interrupted", "done")
        assert (run["outcome"], run["attempt"]) == (expected, begins)
    assert sum(note.startswith("begin") for note in await noted(short_path, "begin", begins)) == begins


@pytest.mark.parametrize(("name", "expected", "begins"), [("once", "interrupted", 1), ("again", "done", 2)])
async def test_a_run_that_its_node_did_not_survive(short_path: Path, name: str, expected: str, begins: int) -> None:
    async with server(short_path / "home"), working(short_path) as bench:
        await bench.call("schedules.run", name=f"work.{name}")
        await noted(short_path, "begin")
        (status,) = await bench.call("runtime.status")
        os.kill(status["nodes"][0]["pid"], signal.SIGSTOP)  # so that it cannot be done before it dies
        (short_path / "work" / "release").touch()
        os.kill(status["nodes"][0]["pid"], signal.SIGKILL)
        run = await outcome(bench.caller, f"work.{name}", "interrupted", "done")
        assert run["outcome"] == expected
        assert (await bench.call("schedules.run", name=f"work.{name}", wait=True))["outcome"] == "done"
    assert sum(note.startswith("begin") for note in await noted(short_path, "begin")) == begins + 1


async def test_a_run_that_has_begun_is_finished_before_the_platform_stops(short_path: Path) -> None:
    async with server(short_path / "home") as first, working(short_path) as bench:
        await bench.call("schedules.run", name="work.once")
        await noted(short_path, "begin")
        first.process.terminate()
        (short_path / "work" / "release").touch()
        await first.process.wait()
    async with server(short_path / "home"), working(short_path) as bench:
        assert (await outcome(bench.caller, "work.once", "done", "interrupted"))["outcome"] == "done"


async def test_a_call_that_was_promised_is_made_although_the_platform_is_killed(short_path: Path) -> None:
    async with server(short_path / "home") as first, working(short_path) as bench:
        for number in range(20):
            await bench.caller.schedules.call("work.call", {"id": number}, delay=0.3)
        first.process.kill()
        await first.process.wait()
    async with server(short_path / "home"), working(short_path):
        notes = await noted(short_path, "call", 20)
    assert sorted(notes) == sorted(f"call {number}" for number in range(20))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_no_due_time_is_run_twice_whoever_is_killed(short_path: Path) -> None:
    """Each of a run of seconds is there at most once; and none is left out but one that a crash interrupted."""
    for _ in range(4):
        async with server(short_path / "home") as running, working(short_path) as bench:
            await outcome(bench.caller, "work.second", "done")
            (status,) = await bench.call("runtime.status")
            os.kill(status["nodes"][0]["pid"], signal.SIGKILL)
            await asyncio.sleep(1.3)  # so that a time falls due around each kill
            running.process.kill()
            await running.process.wait()
    async with server(short_path / "home"), working(short_path) as bench:
        await outcome(bench.caller, "work.second", "done")
        runs = await bench.call("schedules.history", name="work.second", limit=1000)
        interrupted = sum(run["outcome"] == "interrupted" for run in runs)
    seconds = (short_path / "work" / "seconds").read_text().splitlines()
    assert len(set(seconds)) == len(seconds)
    assert len(runs) - interrupted <= len(seconds) <= len(runs)
    dues = sorted(run["due"] for run in runs)
    assert all(later - earlier == pytest.approx(1) for earlier, later in itertools.pairwise(dues))
