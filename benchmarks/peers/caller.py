"""What the sides of a comparison of calls share: programs, of which one calls as often as it is asked to."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.harness import Sample
from benchmarks.processes import Program, cpu_seconds, end

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


class ServedPeer(CallingPeer):
    """Programs with a server between them that is not ours, and a folder for what it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self._server: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def make_folder(self) -> Path:
        """Return a folder that is removed with the peer."""
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        return Path(self._folder.name)

    def serve(self, command: list[str]) -> None:
        """Start the server, without waiting for it."""
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pids(self) -> list[int]:
        """Return the server's process too: everything passes through it."""
        assert self._server is not None
        return [*super().pids(), self._server.pid]

    def stop(self) -> None:
        """End the programs and the server."""
        super().stop()
        if self._server is not None:
            end(self._server)
            self._server = None
        if self._folder is not None:
            self._folder.cleanup()
