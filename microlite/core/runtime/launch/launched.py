"""One launched process on the platform's side: the `Process` of the launchers that start OS processes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from microlite.core.runtime.launch.api import Exit, Kind, LaunchError
from microlite.core.runtime.launch.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.runtime.launch.api import LaunchSpec, OnOutput, Process

    Deliver = Callable[[int, bool], None]
    """Sends a signal, to the leader or to the whole group, unless the process was reaped."""


class Launched:
    """See `api.Process`. Its launcher calls `begin` when there is a process, and `end` when that has been reaped.

    Raises:
        LaunchError: no descriptors are left.
    """

    def __init__(self, spec: LaunchSpec, clock: Clock, on_output: OnOutput | None) -> None:
        loop = asyncio.get_running_loop()
        self.spec = spec
        self.pid = 0
        self._clock = clock
        self._since = clock.monotonic()
        self._deliver: Deliver | None = None
        self._exit: asyncio.Future[Exit] = loop.create_future()
        try:
            self.output = Output(loop, on_output)
        except OSError as error:
            raise LaunchError(f"{spec.name} was not started: {error.strerror}") from error

    @property
    def exit(self) -> Exit | None:
        """See `Process.exit`."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> Exit:
        """See `Process.wait`."""
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        """See `Process.terminate`."""
        if self._deliver is not None:
            # In a sandbox the leader is bubblewrap, which passes nothing on, and ends without a word when it is asked to.
            walls = self.spec.confinement
            boxed = walls is not None and bool(walls.sandbox)
            self._deliver(signal.SIGTERM, boxed or self.spec.kind is Kind.COMMAND)

    def kill(self) -> None:
        """See `Process.kill`."""
        if self._deliver is not None:
            self._deliver(signal.SIGKILL, True)

    def begin(self, pid: int, deliver: Deliver) -> None:
        """There is a process now."""
        self.pid, self._deliver = pid, deliver

    def retire(self) -> None:
        """It was reaped: its number may be another's, so no signal goes there any more."""
        self._deliver = None

    def end(self, code: int) -> None:
        """It is over: `code` is what it returned, or the negative number of a signal. Only the first call counts."""
        self.retire()
        if self._exit.done():
            return
        ended = Exit(
            pid=self.pid,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            at=self._clock.now(),
            lived=self._clock.monotonic() - self._since,
        )
        try:
            self.output.finish()
        finally:  # whatever the consumer of the output does
            self._exit.set_result(ended)


async def stop(process: Process, grace: float) -> Exit:
    """See `api.Launcher.stop`. The grace is in seconds of the machine, since the process lives by that clock too."""
    process.terminate()
    try:
        async with asyncio.timeout(grace):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def check(spec: LaunchSpec) -> None:
    """Refuse what no system call would take.

    Raises:
        LaunchError: it says which part of the spec is wrong.
    """
    for label, path in (("script", spec.script), ("working directory", spec.cwd), ("interpreter", spec.python)):
        if path and not Path(path).is_absolute():
            raise LaunchError(f"the {label} of {spec.name} must be an absolute path, not {path!r}")
    if spec.kind is Kind.SCRIPT and not spec.script:
        raise LaunchError(f"{spec.name} names no script")
    texts = [spec.name, spec.script, spec.cwd, spec.python, *spec.words(), *spec.env, *spec.env.values()]
    if any("\0" in text for text in texts):
        raise LaunchError(f"a path, argument or variable of {spec.name} contains a NUL character")
    if wrong := next((key for key in spec.env if not key or "=" in key), None):
        raise LaunchError(f"{wrong!r} cannot be the name of a variable of {spec.name}")
