"""A platform in a process of its own, as a user starts it, with a service that it runs."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_PATIENCE = 30.0


class Running:
    """Enter it to start, leave it to stop.

    Args:
        folder: for the home and the log; short, since the paths of sockets are limited.
        options: further options of `microlite server`.
        tls: what trusts its certificate, where it has one.
    """

    def __init__(self, folder: Path, *options: str, tls: ssl.SSLContext | None = None) -> None:
        self.home = folder / "home"
        self.log = folder / "server.log"
        self._options = options
        self._tls = tls
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_")}

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command(), "server", "--port", "0", *self._options],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    @property
    def url(self) -> str:
        """The gateway's."""
        return str(json.loads((self.home / "server.json").read_text())["gateway"])

    @property
    def port(self) -> int:
        """The gateway's."""
        return int(self.url.rpartition(":")[2])

    def serve(self, source: Path) -> None:
        """Run a service, and return when it takes calls."""
        said = subprocess.run(
            [*self._command(), "run", str(source), "--detach"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
            env=self._environment,
        )
        assert said.returncode == 0, said.stderr

    def memory(self) -> dict[str, int]:
        """Bytes in memory of the platform, and of all that it started."""
        platform = psutil.Process(self._process.pid)
        nodes = platform.children(recursive=True)
        return {"platform": platform.memory_info().rss, "nodes": max(node.memory_info().rss for node in nodes)}

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "microlite", "--home", str(self.home)]

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1, context=self._tls) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False
