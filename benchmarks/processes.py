"""Programs under measurement: start them, talk to them, count what they use, end them by their own pid.

Linux only: processor time and memory come from ``/proc``.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds ``benchmarks`` and ``microlite``: programs are started here, so that ``-m`` finds both."""

_TICK = os.sysconf("SC_CLK_TCK")


class ProgramFailedError(Exception):
    """A program under measurement did not start, did not answer in time, or answered wrongly."""


class Program:
    """A child process that speaks JSON lines: one when it is ready, then one for each question.

    Our own programs end when their standard input closes, so none outlives an interrupted run; `stop` closes it, asks
    with SIGTERM, and kills after five seconds. What the program writes to stderr is shown when it fails.

    Args:
        command: The program and its arguments.
        env: Its whole environment; the current one when left out.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.command = list(command)
        self._env = dict(env) if env is not None else None
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._buffer = b""

    @property
    def pid(self) -> int:
        """The process id. The program must have been started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the program without waiting for a word from it."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, cwd=ROOT, env=self._env
        )

    def ask(self, question: Mapping[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """Send one JSON line and wait for the line that answers it.

        Raises:
            ProgramFailedError: When the program has ended or does not answer within ``seconds``.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProgramFailedError(self._story("ended before it was asked")) from None
        return self.read(seconds)

    def read(self, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for the next JSON line.

        Raises:
            ProgramFailedError: When the program ends, or stays silent for ``seconds``.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        source = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([source], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ProgramFailedError(self._story(f"said nothing for {seconds:g} s"))
            chunk = os.read(source, 65536)
            if not chunk:
                raise ProgramFailedError(self._story("ended"))
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ProgramFailedError(self._story(f"wrote {line[:200]!r}, not a line of JSON")) from None
        return answer

    def finish(self, seconds: float = 20.0) -> dict[str, Any]:
        """Close the program's standard input and read its last line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.read(seconds)

    def stop(self) -> None:
        """End the program. Calling it again, or before `start`, does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass  # it ended before it read what was buffered for it
        end(process)
        if self._stderr is not None:
            self._stderr.close()

    def _story(self, what: str) -> str:
        assert self._stderr is not None
        self._stderr.seek(0)
        tail = self._stderr.read().decode(errors="replace").strip().splitlines()[-8:]
        return "\n  ".join([f"{' '.join(self.command[:4])} … {what}", *tail])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it when it has not after five seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def family(pid: int) -> list[int]:
    """Return the process and all its living descendants."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time that these processes have used, in seconds, to a clock tick (10 ms) each.

    A process that is gone counts nothing.
    """
    ticks = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        fields = stat[stat.rindex(b")") + 2 :].split()  # the name, in brackets, may hold spaces
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def pss_megabytes(pid: int) -> float:
    """Return the proportional set size of a process in MB (10⁶): a page shared by n processes counts 1/n."""
    return _megabytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def rss_megabytes(pid: int) -> float:
    """Return the resident set size of a process in MB (10⁶)."""
    return _megabytes(Path(f"/proc/{pid}/status"), "VmRSS:")


def _megabytes(path: Path, field: str) -> float:
    for line in path.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProgramFailedError(f"{path} has no {field}")
