"""The processes of a campaign: the platform, and the clients that load it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

import msgspec

from tests.crash.journal import Journal, Violation
from tests.runtime_e2e.runtime_bench import ENVIRONMENT

ROOT = str(Path(__file__).parents[2])

READY = 60.0
"""Seconds that a platform may take to be ready, on a machine that does much else."""


class PlatformProcess:
    """`microlite server`, on one home, started again and again.

    Attributes:
        starts: how often it was started.
    """

    def __init__(self, home: Path, log: Path) -> None:
        self.home = home
        self.log = log
        self.starts = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, *, kill_after: float | None = None) -> None:
        """Return when it is ready; or kill it after so many seconds, whatever it does then.

        Raises:
            Violation: it does not come up.
        """
        ours, theirs = os.pipe()
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "microlite", "--home", str(self.home)),
                *("server", "--port", "0", "--no-dashboard", "--ready-fd", str(theirs)),
                pass_fds=(theirs,),
                env={**ENVIRONMENT, "PYTHONPATH": ROOT},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(theirs)
        reading = asyncio.get_running_loop().run_in_executor(None, _read, ours)
        if kill_after is not None:
            await asyncio.wait({asyncio.ensure_future(reading)}, timeout=kill_after)
            await self.kill()
            await reading
            return
        try:
            async with asyncio.timeout(READY):
                said = await reading
        except TimeoutError:
            await self.kill()
            raise Violation(f"the platform is not ready after {READY} s\n{self.tail()}") from None
        if said != "ready":
            raise Violation(f"the platform does not start: {said!r}\n{self.tail()}")

    async def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, and wait for that."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        if await self._process.wait():
            raise Violation(f"the platform stops with {self._process.returncode}\n{self.tail()}")

    async def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    def tail(self) -> str:
        """The last lines that it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])


class Clients:
    """The client processes, and what they say."""

    def __init__(self, home: Path, seed: int, count: int, journal: Journal, log: Path) -> None:
        self.home = home
        self.seed = seed
        self.count = count
        self.journal = journal
        self.log = log
        self.done = 0
        self.problem: Violation | None = None
        self._moved = asyncio.Condition()
        self._stopped = 0
        self._processes: list[asyncio.subprocess.Process] = []
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        errors = self.log.with_name("clients.log").open("ab")
        for number in range(self.count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.crash.load", str(self.home), str(self.seed), str(number)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**ENVIRONMENT, "PYTHONPATH": ROOT},
                limit=1 << 24,
            )
            self._processes.append(process)
            self._readers.append(asyncio.create_task(self._read(process)))
        errors.close()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def go(self, *, drain: bool = False) -> None:
        """Let them begin, from what there is."""
        self._stopped = 0
        facts = {name: lane.facts for name, lane in self.journal.lanes.items()}
        line = msgspec.json.encode({"facts": facts, "drain": drain}) + b"\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            await process.stdin.drain()

    async def until_done(self, count: int) -> None:
        """Return when so many operations were acknowledged since the first begin."""
        await self._until(lambda: self.done >= count)

    async def stopped(self) -> None:
        """Return when all have noticed that the platform is gone."""
        await self._until(lambda: self._stopped == self.count)

    async def _until(self, holds: Any) -> None:
        try:
            async with asyncio.timeout(60), self._moved:
                await self._moved.wait_for(lambda: self.problem or holds())
        except TimeoutError:
            doubts = {name: lane.doubt for name, lane in self.journal.lanes.items() if lane.doubt is not None}
            raise Violation(f"the clients do not go on: {self._stopped} stopped, in doubt {doubts}") from None
        if self.problem is not None:
            raise self.problem

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with self.log.open("ab") as log:
            while line := await process.stdout.readline():
                log.write(line)
                try:
                    said = msgspec.json.decode(line)
                    if said["t"] == "stopped":
                        self._stopped += 1
                    else:
                        self.journal.note(said)
                        self.done += said["t"] == "end" and said["outcome"] == "done"
                except Violation as problem:
                    log.flush()
                    self.problem = self.problem or problem
                async with self._moved:
                    self._moved.notify_all()


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor) as pipe:
        return pipe.read()
