"""A program in a pseudo-terminal, and somebody who types."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]|\x1b[=>78]|\r|\x07")


class Terminal:
    """Use it as a context manager; what still runs at its end is killed.

    Args:
        command: the program.
        environment: its environment.
        cwd: where it runs.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**environment, "TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._fresh = ""
        self.text = ""

    def press(self, keys: str) -> None:
        """Press keys, as `\\t` or `\\x03` too."""
        os.write(self._ours, keys.encode())

    def expect(self, pattern: str, seconds: float = 30.0) -> str:
        """Read on until a pattern is there; return what stands before its end, and go on after it.

        Raises:
            AssertionError: it does not come.
        """
        end = time.monotonic() + seconds
        while (found := re.search(pattern, self._fresh)) is None:
            assert time.monotonic() < end, (
                f"expected {pattern!r}; after what was found before, there is:\n{self._fresh}"
            )
            assert self._read(0.2), f"expected {pattern!r}, and it ended:\n{self.text}"
        before, self._fresh = self._fresh[: found.end()], self._fresh[found.end() :]
        return before

    def wait(self, seconds: float = 30.0) -> int:
        """Read until the program has ended; return its exit code."""
        end = time.monotonic() + seconds
        while self._read(0.2):
            assert time.monotonic() < end, f"it goes on:\n{self.text}"
        return self.process.wait(5)

    def _read(self, seconds: float) -> bool:
        """Take in what comes within some time. Returns whether more can come."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # how Linux says that nobody holds the other side any more
            return False
        text = _CONTROL.sub("", data.decode(errors="replace"))
        self._fresh += text
        self.text += text
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)
