"""Row: starting a node by fork against starting it by spawn. Alone: ``python -m benchmarks.launch``."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.harness import Options, Result, spread
from benchmarks.processes import ROOT, pss_megabytes
from microlite.core.clock import SystemClock
from microlite.core.runtime.launch.api import Launcher, LaunchSpec, Process, Stream
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.launch.spawn import SpawnLauncher

_CROWD = 100
_NODE = """
import os
os.write(1, b"a")
import asyncio, msgspec, uvloop
import microlite
async def main():
    os.write(1, b"b")
    await asyncio.Event().wait()
uvloop.run(main())
"""


class _Start:
    """One start, timed in ms from the request."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self.first_line = self.running = 0.0
        self.done = asyncio.Event()

    def take(self, stream: Stream, content: bytes) -> None:
        """Note the time of each of the node's two signs."""
        now = (time.perf_counter() - self._since) * 1000
        if b"a" in content:
            self.first_line = now
        if b"b" in content:
            self.running = now
            self.done.set()


async def _start(launcher: Launcher, spec: LaunchSpec) -> tuple[_Start, Process]:
    start = _Start()
    process = await launcher.start(spec, start.take)
    await start.done.wait()
    return start, process


async def _measure(pairs: int, python: str) -> list[Result]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    first: dict[str, list[float]] = {"fork": [], "spawn": []}
    running: dict[str, list[float]] = {"fork": [], "spawn": []}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "main.py"
        script.write_text(_NODE)
        spec = LaunchSpec(name="node", script=str(script), cwd=folder, env=env, python=python, library=str(ROOT))
        async with ForkLauncher(SystemClock(), env) as forks, SpawnLauncher(SystemClock()) as spawns:
            before = time.perf_counter()
            await forks.warm(python, library=str(ROOT))
            ready = (time.perf_counter() - before) * 1000
            for _ in range(pairs):
                for name, launcher in (("fork", forks), ("spawn", spawns)):
                    start, process = await _start(launcher, spec)
                    first[name].append(start.first_line)
                    running[name].append(start.running)
                    process.kill()
                    await process.wait()
            before = time.perf_counter()
            crowd = await asyncio.gather(*(_start(forks, spec) for _ in range(_CROWD)))
            together = (time.perf_counter() - before) * 1000
            memory = [pss_megabytes(process.pid) for _, process in crowd]
    return [
        _ratio("node started: first line of its code", first),
        _ratio("node started: library imported, loop running", running),
        spread(Result(f"{_CROWD} nodes at once, running", unit="ms", note="informs"), [together]),
        spread(Result(f"a node's PSS among {_CROWD}", unit="MB", note="informs"), memory),
        spread(Result("fork server ready", unit="ms", note="informs"), [ready]),
    ]


def _ratio(what: str, times: dict[str, list[float]]) -> Result:
    ratios = [fork / spawn for fork, spawn in zip(times["fork"], times["spawn"], strict=True)]
    middle = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    result = Result(what, "spawn", unit="×", ours=middle["fork"], theirs=middle["spawn"], side_unit="ms")
    return spread(result, ratios)


def run(options: Options) -> list[Result]:
    """Start nodes by fork and by spawn in turn, then a hundred at once by fork."""
    return asyncio.run(_measure(options.pairs, options.python))


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
    """Print the table; the one argument is how many pairs to measure."""
    pairs = int(arguments[0]) if arguments else 20
    print(report.table(run(Options(pairs=pairs, seconds=1.0, python=sys.executable))))


if __name__ == "__main__":
    main()
