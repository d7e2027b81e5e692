"""`kill -9` of the platform while transactions go on: each is there wholly or not at all, and all that were acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import microlite
from microlite import errors

ROUNDS = (1, 60, 200)
"""Acknowledged transactions after which each round is killed."""

WORKERS = 8


@contextlib.contextmanager
def server(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A platform in a process of its own, ready."""
    ours, theirs = os.pipe()
    command = [sys.executable, "-m", "microlite", "--home", str(home), "server", "--port", "0", "--no-dashboard"]
    with subprocess.Popen(
        [*command, "--ready-fd", str(theirs)], pass_fds=(theirs,), stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        os.close(theirs)
        try:
            with os.fdopen(ours) as said:
                assert said.read() == "ready"
            yield process
        finally:
            process.kill()


class Worker:
    """Makes one transaction after the other, until the platform is gone.

    Attributes:
        acknowledged: how many are known to have taken place.
        doubtful: the id of the one whose outcome is not known.
    """

    def __init__(self, name: str, begin: int) -> None:
        self.name = name
        self.acknowledged = begin
        self.doubtful = ""

    async def run(self, m: Any, tell: Any) -> None:
        while True:
            number = self.acknowledged + 1
            tx = m.transaction()
            assert await tx.store.increment(self.name) == number
            tx.store.table("log").write(f"{self.name}/{number:06}", number)
            tx.events.publish("done", [self.name, number], key=self.name)
            tx.events.publish("later", [self.name, number], delay=3600)
            tx.config.set(f"workers.{self.name}", number)
            tx.schedules.call("nobody.cares", {"number": number}, delay=3600, id=f"{self.name}-{number}")
            self.doubtful = tx.id
            await tx.commit()
            self.acknowledged, self.doubtful = number, ""
            tell()


async def work_until_killed(home: Path, process: subprocess.Popen[bytes], workers: list[Worker], after: int) -> None:
    count = 0

    def tell() -> None:
        nonlocal count
        count += 1
        if count == after:
            process.send_signal(signal.SIGKILL)

    async with microlite.connect(home) as m:
        ended = await asyncio.gather(*(worker.run(m, tell) for worker in workers), return_exceptions=True)
    for error in ended:
        assert isinstance(error, errors.ServiceUnavailable), error
    assert process.wait() == -signal.SIGKILL


async def check(home: Path, workers: list[Worker]) -> None:
    """What is there agrees with itself, and with what was acknowledged."""
    async with microlite.connect(home) as m:
        events: dict[str, list[int]] = {worker.name: [] for worker in workers}
        after = 0
        while page := await m.call("events.read", topic="done", after=after, limit=500):
            after = page[-1]["position"]
            for event in page:
                events[event["payload"][0]].append(event["payload"][1])
        for worker in workers:
            kept = await m.store.read(worker.name, int, default=0)
            if worker.doubtful:
                try:
                    await m.call("tx.outcome", id=worker.doubtful)
                    worker.acknowledged += 1
                except errors.NotFound:
                    pass
            assert kept == worker.acknowledged
            expected = list(range(1, kept + 1))
            assert events[worker.name] == expected
            assert [record.value async for record in m.store.table("log").scan(prefix=f"{worker.name}/")] == expected
            schedules = await m.call("schedules.list", prefix=f"{worker.name}-", limit=1000)
            assert len(schedules) == kept
            if kept:
                assert await m.call("config.get", path=f"workers.{worker.name}") == kept
            worker.doubtful = ""


@pytest.mark.timeout(120)
async def test_a_transaction_is_there_wholly_or_not_at_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    workers = [Worker(f"w{number}", 0) for number in range(WORKERS)]
    for after in ROUNDS:
        with server(home) as process:
            await check(home, workers)
            await work_until_killed(home, process, workers, after)
    with server(home):
        await check(home, workers)
    assert sum(worker.acknowledged for worker in workers) >= sum(ROUNDS)
