"""A platform as a user has it: a process of its own, reached by the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import home, microlite

__all__ = ["home", "microlite"]

PROGRAM = (sys.executable, "-m", "microlite")


class Live:
    """A running platform.

    Attributes:
        home: its folder.
        environment: for programs that are to find it.
        process: the platform.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MICROLITE_")}
        self.environment |= {"MICROLITE_HOME": str(home), "NO_COLOR": "1"}
        ours, theirs = os.pipe()
        command = [*PROGRAM, "server", "--port", "0", "--ready-fd", str(theirs)]
        self.process = subprocess.Popen(command, env=self.environment, pass_fds=(theirs,), stdout=subprocess.DEVNULL)
        os.close(theirs)
        with os.fdopen(ours) as said:
            assert said.read().strip() == "ready"

    def microlite(self, *words: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command line."""
        return subprocess.run(
            [*PROGRAM, *words],
            env=self.environment,
            input=stdin,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

    def run(self, *folders: Path) -> None:
        """Run services and return when they serve."""
        done = self.microlite("run", "--detach", *map(str, folders))
        assert done.returncode == 0, done.stderr

    def call(self, *words: str) -> str:
        """What a successful command prints."""
        done = self.microlite(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self, services: Sequence[str]) -> None:
        """End services."""
        self.call("kill", *services)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    home = Path(tempfile.mkdtemp(prefix="ml-"))  # short, since paths of sockets are limited
    platform = Live(home)
    try:
        yield platform
    finally:
        platform.close()
        shutil.rmtree(home, ignore_errors=True)
