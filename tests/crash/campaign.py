"""The campaign: load, kill, start again, check; as often as it is asked to. `python -m tests.crash.campaign --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import microlite
from tests.crash.checker import Checker
from tests.crash.journal import Journal, Violation
from tests.crash.offline import check_file
from tests.crash.operations import ACCOUNTS, BALANCE, DATABASE, TOPIC
from tests.crash.processes import ROOT, Clients, PlatformProcess
from tests.runtime_e2e.runtime_bench import ENVIRONMENT

PROGRAM = """\
import sys

sys.path.append({root!r})

from tests.crash.service import service

if __name__ == "__main__":
    service.run()
"""

PROJECT = """\
[tool.microlite]
name = "work"
entry = "main.py"
"""

PROCESSES = 2
DRAIN = 120.0
"""Seconds after which all must have been consumed, once nothing more comes."""

OFFLINE_EVERY = 10
"""Kills after which a copy of the file itself is checked."""


@dataclass
class Summary:
    """What a campaign did."""

    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        def table(counts: Counter[str]) -> str:
            return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())

        return (
            f"{self.seconds:.0f} s; kills: {table(self.kills)}\n"
            f"operations: {table(self.outcomes)}\n"
            f"acknowledged: {table(self.kinds)}\n"
            f"checked: {table(self.checked)}"
        )


class Campaign:
    """One home, one platform, its clients and its checker.

    Args:
        folder: where everything lies.
        seed: of all choices; what the machine does in between stays its own.
        tell: hears of each kill.
    """

    def __init__(self, folder: Path, seed: int, tell: Callable[[str], None]) -> None:
        self.home = folder / "home"
        self.folder = folder
        self.rng = random.Random(seed)
        self.tell = tell
        self.journal = Journal()
        self.notes = folder / "notes"
        self.checker = Checker(self.journal, self.notes)
        self.platform = PlatformProcess(self.home, folder / "platform.log")
        self.clients = Clients(self.home, seed, PROCESSES, self.journal, folder / "journal.ndjson")
        self.summary = Summary()

    async def run(self, kills: int) -> Summary:
        """Kill so often, and check after each.

        Raises:
            Violation: something does not hold.
        """
        began = time.monotonic()
        try:
            async with self.clients:
                await self.platform.start()
                await self._set_up()
                for number in range(1, kills + 1):
                    await self._round(number)
                    self.tell(
                        f"kill {number}/{kills}: {self.clients.done:,} operations acknowledged, "
                        f"{self.journal.outcomes['unknown']} unknown, {len(self.checker.events):,} events; all there"
                    )
                await self._finish()
        finally:
            await self.platform.close()
        self.summary.seconds = time.monotonic() - began
        self.summary.outcomes, self.summary.kinds = self.journal.outcomes, self.journal.kinds
        self.summary.checked = self.checker.checked
        return self.summary

    # -- one after the other ----------------------------------------------------------------------------------------------

    async def _set_up(self) -> None:
        main = self.folder / "work" / "main.py"
        main.parent.mkdir()
        main.write_text(PROGRAM.format(root=ROOT))
        main.with_name("pyproject.toml").write_text(PROJECT)
        async with microlite.connect(self.home) as m:
            accounts = m.store.database(DATABASE).table("accounts")
            await accounts.write_many({f"a{number}": BALANCE for number in range(ACCOUNTS)})
            await m.events.set_group(TOPIC, "pull", retries=-1, ack_wait=2.0, backoff=0.0, max_backoff=0.1)
            for process in range(PROCESSES):
                await m.events.set_group(TOPIC, f"stream{process}", retries=-1, ack_wait=60.0, backoff=0.0)
            await m.options(timeout=60).call(
                "runtime.run",
                request={
                    "sources": [str(main.parent)],
                    "instances": 2,
                    "environment": {**ENVIRONMENT, "CRASH_NOTES": str(self.notes)},
                },
            )

    async def _round(self, number: int) -> None:
        done = self.clients.done
        await self.clients.go()
        if self.rng.random() < 0.5:
            await self._nodes()
        await self.clients.until_done(done + self.rng.randrange(30, 600))
        if self.rng.random() < 0.5:
            await self._kill_node()
            await self.clients.until_done(self.clients.done + self.rng.randrange(1, 200))
        chance = self.rng.random()
        if chance < 0.3:
            await self._kill_fork_server()
        if chance < 0.15:
            await self.clients.until_done(self.clients.done + self.rng.randrange(1, 100))
        await asyncio.sleep(self.rng.random() * 0.02)
        await self._kill_platform("platform")
        await self.clients.stopped()
        if number % OFFLINE_EVERY == 0:
            await check_file(self.home)
            self.checker.checked["files"] += 1
        while self.rng.random() < 0.15:
            await self.platform.start(kill_after=self.rng.random() * 1.5)
            self.summary.kills["platform at its start"] += 1
        await self.platform.start()
        await self._check(self.checker.check)

    async def _check(self, check: Callable[[Any], Any]) -> Any:
        async with microlite.connect(self.home) as m:
            return await check(m.options(timeout=60))

    async def _finish(self) -> None:
        """Consume all that is there, check everything, and look at the file."""
        self.checker.consuming = True
        await self.clients.go(drain=True)
        deadline = time.monotonic() + DRAIN
        while left := await self._check(self.checker.is_drained):
            if self.clients.problem is not None:
                raise self.clients.problem
            if time.monotonic() > deadline:
                raise Violation(f"not consumed after {DRAIN} s: {left[:10]}")
            await asyncio.sleep(0.2)
        await self._check(self.checker.check_end)
        await self.platform.stop()
        await self.clients.stopped()
        await check_file(self.home)
        self.checker.checked["files"] += 1

    # -- killing ------------------------------------------------------------------------------------------------------------

    async def _nodes(self) -> list[int]:
        """The processes of the service, as soon as both are there."""
        async with microlite.connect(self.home) as m, asyncio.timeout(30):
            while True:
                (status,) = await m.call("runtime.status")
                pids = [node["pid"] for node in status["nodes"] if node["pid"] and node["state"] == "running"]
                if len(pids) == 2:
                    return pids
                await asyncio.sleep(0.02)

    async def _kill_node(self) -> None:
        pids = await self._nodes()
        self._kill(self.rng.choice(pids), "node")

    async def _kill_fork_server(self) -> None:
        """The process of which the nodes are children, if that is not the platform."""
        pids = await self._nodes()
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pids[0]).ppid()
            if parent not in (self.platform.pid, 0, 1, os.getpid()):
                self._kill(parent, "fork server")

    async def _kill_platform(self, what: str) -> None:
        await self.platform.kill()
        self.checker.notes.kills.append(time.monotonic())
        self.summary.kills[what] += 1

    def _kill(self, pid: int, what: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.summary.kills[what] += 1


def main() -> int:
    """Run a campaign and say what it found."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often the platform is killed")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of all choices")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    print(f"seed {options.seed}, in {folder}", flush=True)
    campaign = Campaign(folder, options.seed, lambda line: print(line, flush=True))
    try:
        print(asyncio.run(campaign.run(options.kills)))
    except Exception as violation:
        told = violation if isinstance(violation, Violation) else "".join(traceback.format_exception(violation))
        print(f"\nSEED={options.seed}: {told}\n", file=sys.stderr)
        print(f"what there was is kept in {folder}: home, journal.ndjson, notes, platform.log", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
