"""What the sides of a comparison of calls share: programs, of which one calls as often as it is asked to."""

from __future__ import annotations

from benchmarks.harness import Sample
from benchmarks.processes import Program, cpu_seconds

CONCURRENCY = 32

_FIRST_COUNT = 640


class CallingPeer:
    """Some programs; the caller is asked for a number of calls that fills the time of a measurement.

    A subclass starts its programs, appends each to ``programs`` and sets ``caller``, and ends what else it started. It may
    say how many calls it makes at a time.
    """

    name: str
    concurrency = CONCURRENCY

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.caller: Program | None = None
        self._rate = 0.0

    def launch(self, command: list[str]) -> dict[str, object]:
        """Start one more program of this side and return what it says when it is ready."""
        program = Program(command)
        self.programs.append(program)
        program.start()
        return program.read()

    def pids(self) -> list[int]:
        """Return the processes whose processor time counts for this side: the caller's too."""
        return [program.pid for program in self.programs]

    def measure(self, seconds: float) -> Sample:
        """Make calls for about ``seconds`` and return calls per second."""
        if not self._rate:
            self._ask(_FIRST_COUNT)
        before = cpu_seconds(self.pids())
        count = max(_FIRST_COUNT, int(self._rate * seconds))
        rate = self._ask(count)
        return Sample(rate, (cpu_seconds(self.pids()) - before) / count * 1e6)

    def stop(self) -> None:
        """End the programs, the caller first."""
        while self.programs:
            self.programs.pop().stop()

    def _ask(self, count: int) -> float:
        assert self.caller is not None
        answer = self.caller.ask({"count": count, "concurrency": self.concurrency})
        self._rate = count / float(answer["seconds"])
        return self._rate
