"""Row: what ``--help`` and a client command cost more than starting the interpreter and doing nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Sequence

import msgspec

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, Sample, interleave, running, spread
from benchmarks.processes import ROOT, ProgramFailedError

_BUILT = ROOT / "dist" / "microlite.pyz"


class Command:
    """A command that is run once for each measurement.

    Args:
        name: What the table calls it.
        line: Program and arguments.
    """

    def __init__(self, name: str, line: Sequence[str]) -> None:
        self.name = name
        self._line = list(line)

    def start(self) -> None:
        """Nothing stays up between measurements."""

    def measure(self, seconds: float) -> Sample:
        """Run it and return its wall time in ms and its processor time in µs."""
        began = time.perf_counter()
        process = subprocess.Popen(
            self._line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=product.environment(),
        )
        _, status, usage = os.wait4(process.pid, 0)
        taken = (time.perf_counter() - began) * 1000
        process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: subprocess must not wait again
        if process.returncode:
            raise ProgramFailedError(f"{self.name} ended with {process.returncode}")
        return Sample(taken, (usage.ru_utime + usage.ru_stime) * 1e6)

    def stop(self) -> None:
        """Nothing stays up between measurements."""


def run(options: Options) -> list[Result]:
    """Run interpreter, ``--help`` and a client command in turn; the budget is on the difference.

    The one file is measured where it was built or named, else the source tree, and the result says so.
    """
    note = ""
    if not options.pyz and _BUILT.is_file():
        options = msgspec.structs.replace(options, pyz=str(_BUILT))
    elif not options.pyz:
        note = f"source tree: no {_BUILT.relative_to(ROOT)}"
    gateway = product.Gateway(options)
    with running(gateway):
        bare = Command("python -c pass", [options.python, "-c", "pass"])
        shown = Command("--help", [*product.program(options), "--help"])
        called = Command("client command", gateway.platform.client(*product.CLIENT_COMMAND))
        samples = interleave([bare, shown, called], options)
    base = samples[bare.name]
    return [
        _difference("--help, warm", samples[shown.name], base, Budget(must=40, aim=8), note),
        _difference("client command, warm", samples[called.name], base, Budget(must=120, aim=60), note),
    ]


def _difference(what: str, ours: Sequence[Sample], theirs: Sequence[Sample], budget: Budget, note: str) -> Result:
    result = Result(
        what,
        "python -c pass",
        unit="ms",
        budget=budget,
        ours=statistics.median(sample.value for sample in ours),
        theirs=statistics.median(sample.value for sample in theirs),
        side_unit="ms",
        cpu_ours=statistics.median(sample.cpu_us for sample in ours),
        cpu_theirs=statistics.median(sample.cpu_us for sample in theirs),
        note=note,
    )
    return spread(result, [a.value - b.value for a, b in zip(ours, theirs, strict=True)])
