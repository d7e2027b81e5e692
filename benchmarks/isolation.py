"""What walls cost: starting an isolated node against a forked one. Alone: ``python -m benchmarks.isolation``.

As root it measures user ids (where everybody can run the interpreter) and bubblewrap with user ids, else bubblewrap.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.harness import Options, Result, spread
from benchmarks.processes import ROOT, pss_megabytes
from microlite import onefile
from microlite.core.clock import SystemClock
from microlite.core.runtime.isolation.availability import FIRST_ID, unreachable, why_not_bwrap, why_not_uid
from microlite.core.runtime.isolation.cell import Cell
from microlite.core.runtime.isolation.copying import copy_library
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.launch.api import Launcher, LaunchSpec, Process
from microlite.core.runtime.launch.fork import ForkLauncher
from microlite.core.runtime.sources import Source

_CROWD = 10
_NODE = """
import os
import asyncio, msgspec, uvloop
import microlite
async def main():
    os.write(1, b"b")
    await asyncio.Event().wait()
uvloop.run(main())
"""


def _modes() -> Iterator[Isolation]:
    if not why_not_bwrap():
        yield Isolation.BWRAP
    if not why_not_uid() and not unreachable(Path(sys.executable)):
        yield Isolation.UID


async def _start(launcher: Launcher, spec: LaunchSpec, cell: Cell | None, source: Source) -> tuple[float, Process]:
    since = time.perf_counter()
    done = asyncio.Event()
    if cell is not None:
        spec = await asyncio.to_thread(cell.confine, spec, source, time.monotonic_ns())
    process = await launcher.start(spec, lambda *_: done.set())
    await done.wait()
    return (time.perf_counter() - since) * 1000, process


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _tree(int(child))


async def _measure(pairs: int) -> list[Result]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    results = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        place = Path(folder)
        os.chmod(folder, 0o711)  # noqa: PTH101 - a moment
        service = place / "service"
        service.mkdir()
        (service / "main.py").write_text(_NODE)
        uid, library = (FIRST_ID, place / "library") if os.geteuid() == 0 else (0, onefile.library_path())
        if uid:
            copy_library(onefile.library_path(), library)
        source = Source(name="node", folder=str(service), entry="main.py")
        spec = LaunchSpec(
            name="node",
            script=str(service / "main.py"),
            cwd=str(service),
            root=str(service),
            env=env,
            library=str(ROOT),
        )
        async with ForkLauncher(SystemClock(), env) as launcher:
            await launcher.warm(library=str(ROOT))
            for mode in _modes():
                cell = Cell(
                    *("default", "node"), mode=mode, uid=uid, folder=place / mode, home=place / "home", library=library
                )
                cell.open()
                times: dict[str, list[float]] = {"forked": [], "isolated": []}
                for _ in range(pairs):
                    for name, walls in (("forked", None), ("isolated", cell)):
                        took, process = await _start(launcher, spec, walls, source)
                        times[name].append(took)
                        process.kill()
                        await process.wait()
                ratios = [one / other for one, other in zip(times["isolated"], times["forked"], strict=True)]
                middle = {name: statistics.median(values) for name, values in times.items()}
                results.append(
                    spread(
                        Result(
                            *(f"node running, {mode}", "forked"),
                            unit="×",
                            ours=middle["isolated"],
                            theirs=middle["forked"],
                            side_unit="ms",
                        ),
                        ratios,
                    )
                )
                for name, walls in (("forked", None), (str(mode), cell)):
                    crowd = [(await _start(launcher, spec, walls, source))[1] for _ in range(_CROWD)]
                    memory = [sum(map(pss_megabytes, _tree(process.pid))) for process in crowd]
                    results.append(spread(Result(f"a node's PSS, {name}", unit="MB", note=f"{_CROWD} of them"), memory))
                    for process in crowd:
                        process.kill()
                        await process.wait()
    return results


def run(options: Options) -> list[Result]:
    """Start forked and isolated nodes in turn, then some of each at once."""
    return asyncio.run(_measure(options.pairs))


def main(arguments: Sequence[str] = tuple(sys.argv[1:])) -> None:
    """Print the table; the one argument is how many pairs to measure."""
    pairs = int(arguments[0]) if arguments else 20
    print(report.table(run(Options(pairs=pairs, seconds=1.0, python=sys.executable))))


if __name__ == "__main__":
    main()
