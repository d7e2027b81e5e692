"""Row: from the save of a file to the answer of its new code; and no unary call lost while load goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import product
from benchmarks.harness import Budget, Options, Result, running, spread
from benchmarks.load import Load, client
from benchmarks.processes import ProgramFailedError

_LOAD_CONNECTIONS = 4
_LOAD_PAUSE_MS = 2.0


class Versioned:
    """A service whose one endpoint answers the number in its source; `save` writes the next one."""

    name = "microlite"

    def __init__(self, options: Options) -> None:
        self.platform = product.Platform(options)
        self._main = Path()
        self._number = 0

    def start(self) -> None:
        """Start the platform and the service."""
        self.platform.start()
        self._main = self.platform.deploy("versioned", product.VERSIONED.format(number=0))
        self.platform.wait("versioned answering", lambda: self._answer() == 0)

    def save(self) -> float:
        """Save new code and ask every ms until it answers; return the ms that it took.

        Raises:
            ProgramFailedError: When it does not serve within 10 s, or one of our own questions is lost.
        """
        self._number += 1
        source = product.VERSIONED.format(number=self._number)
        began = time.perf_counter()
        self._main.write_text(source)
        try:
            while time.perf_counter() - began < 10:
                if self._answer() == self._number:
                    return (time.perf_counter() - began) * 1000
                time.sleep(0.001)
        except OSError as error:
            raise ProgramFailedError(f"a call was lost while version {self._number} came up: {error}") from None
        raise ProgramFailedError(f"version {self._number} does not serve 10 s after its save")

    def saves(self, count: int) -> Iterator[float]:
        """Save so many times, half a second apart, so that the old node's end is no part of the next figure."""
        for _ in range(count):
            time.sleep(0.5)
            yield self.save()

    def stop(self) -> None:
        """End the platform."""
        self.platform.stop()

    def _answer(self) -> float:
        return self.platform.number("/versioned/version", {})


def run(options: Options) -> list[Result]:
    """Save on an idle platform, then under a constant load of single calls that are counted."""
    versioned = Versioned(options)
    with running(versioned):
        idle = list(versioned.saves(options.pairs))
        post = versioned.platform.post("/versioned/version", {})
        load = client(post, options.python, seconds=600, connections=_LOAD_CONNECTIONS, pause_ms=_LOAD_PAUSE_MS)
        load.start()
        try:
            busy = list(versioned.saves(options.pairs))
            done = msgspec.convert(load.finish(), Load)
        finally:
            load.stop()
    if not done.requests:
        raise ProgramFailedError("the load beside the saves never came through")
    note = f"of {done.requests:,} calls over {options.pairs} saves, {done.requests / done.seconds:,.0f}/s"
    lost = Result("unary calls lost while saving", unit="calls", budget=Budget(must=0, aim=0), rounds=1, note=note)
    return [
        spread(Result("save → new code serving", unit="ms", budget=Budget(must=120, aim=40)), idle),
        spread(Result("the same under load", unit="ms", note="informs"), busy),
        msgspec.structs.replace(lost, median=done.errors, low=done.errors, high=done.errors),
    ]
