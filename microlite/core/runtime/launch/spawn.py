"""Starts each process by exec of its own interpreter or program: slower than a fork, and it takes everything."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microlite.core.runtime.launch import bury, life, sweep
from microlite.core.runtime.launch.api import MARKER, Kind, LaunchError
from microlite.core.runtime.launch.guard import Guard
from microlite.core.runtime.launch.launched import Launched, check, stop
from microlite.core.runtime.launch.watch import ExitWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from microlite.core.clock import Clock
    from microlite.core.runtime.launch.api import Exit, LaunchSpec, OnOutput, Process

_BOOTSTRAP = str(Path(__file__).with_name("bootstrap.py"))
_EMPTYING = 1.0  # seconds that an end waits for the rest of its group, killed already, to vanish
_LOOK = 0.01
_SIGNALLED = 128  # a shell's way of telling a signal in an exit code, and bubblewrap's


class SpawnLauncher:
    """See `api.Launcher`.

    The first start makes this process a subreaper, for as long as it lives. Processes must be started from a thread that
    lives as long as they shall: the loop's.

    Args:
        clock: gives `Exit` its times.
        marker: whose processes they are: with the same one, `ForkLauncher.sweep` finds what an earlier platform left.
            None makes one up.
        guarded: use a guard process instead of life pipes; None does so where the kernel has none.
    """

    def __init__(self, clock: Clock, *, marker: str | None = None, guarded: bool | None = None) -> None:
        # Markers are compared by their beginnings, and one home's path may be the beginning of another's.
        self.marker = hashlib.blake2s(marker.encode(), digest_size=8).hexdigest() if marker else secrets.token_hex(8)
        self._clock = clock
        self._guarded = not life.LINUX if guarded is None else guarded
        self._guard: Guard | None = None
        self._orphans = bury.Orphans()
        self._numbers = itertools.count(1)
        self._running: set[_Spawned] = set()
        self._closed = False

    async def start(self, spec: LaunchSpec, on_output: OnOutput | None = None) -> Process:
        """See `api.Launcher.start`."""
        if self._closed:
            raise LaunchError("the launcher is closed")
        check(spec)
        life.become_subreaper()
        self._orphans.open()
        node = Launched(spec, self._clock, on_output)
        try:
            spawned = self._spawn(spec, node)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            node.output.close()
            raise LaunchError(f"{spec.name} was not started: {error}") from error
        node.output.release()
        self._running.add(spawned)
        return node

    async def stop(self, process: Process, grace: float) -> Exit:
        """See `api.Launcher.stop`."""
        return await stop(process, grace)

    async def close(self) -> None:
        """See `api.Launcher.close`."""
        self._closed = True
        nodes = [spawned.node for spawned in self._running]
        for node in nodes:
            node.kill()
        for node in nodes:
            await node.wait()
        await bury.dead(sweep.end_marked(MARKER, f"{self.marker}/spawn-"))
        self._orphans.close()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    async def __aenter__(self) -> Self:
        """See `api.Launcher`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `api.Launcher`."""
        await self.close()

    def _spawn(self, spec: LaunchSpec, node: Launched) -> _Spawned:
        reader = writer = -1
        if self._guarded:
            guard = self._ready_guard()
            care, passed = f"guard:{guard.writer}", guard.writer
        else:
            reader, writer = os.pipe()
            care, passed = f"life:{reader}", reader
        stdout, stderr = node.output.writers
        try:
            process = subprocess.Popen(
                _words(spec, care),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**spec.env, MARKER: f"{self.marker}/spawn-{next(self._numbers)}"},
                cwd="/",  # the bootstrap goes to the right one, and can say what is wrong with it
                start_new_session=True,
                pass_fds=(passed,),
                **_identity(spec),
            )
        except BaseException:
            if writer >= 0:
                os.close(writer)
            raise
        finally:
            if reader >= 0:
                os.close(reader)
        return _Spawned(self._running, node, process, writer, self._forget)

    def _forget(self, group: int) -> None:
        if self._guard is not None:
            self._guard.forget(group)

    def _ready_guard(self) -> Guard:
        """The guard; a new one, which is told of everything that runs, if somebody killed it."""
        if self._guard is None or not self._guard.alive:
            if self._guard is not None:
                self._guard.close()
            self._guard = Guard()
            for spawned in self._running:
                self._guard.watch(spawned.node.pid)
        return self._guard


class _Spawned:
    """A started process until it is reaped."""

    def __init__(
        self,
        running: set[_Spawned],
        node: Launched,
        process: subprocess.Popen[bytes],
        writer: int,
        forget: Callable[[int], object],
    ) -> None:
        self.node = node
        self._running, self._process, self._writer, self._forget = running, process, writer, forget
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        node.begin(process.pid, self._deliver)
        self._watch = ExitWatch(self._loop, process.pid, self._ended)

    def _deliver(self, number: int, group: bool) -> None:
        # It is reaped by this thread alone, which ends deliveries at the same time: the pid is still its own.
        with suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def _ended(self) -> None:
        sweep.end_group(self._process.pid)  # while its leader is a zombie: the id cannot be another's
        self._forget(self._process.pid)
        self._process.wait()
        self.node.retire()
        if self._writer >= 0:
            os.close(self._writer)
        self._deadline = self._loop.time() + _EMPTYING
        self._settle()

    def _settle(self) -> None:
        """Tell of the end once the group is empty, so that its ports and locks are free."""
        sweep.reap_group(self._process.pid)
        if not sweep.group_is_empty(self._process.pid) and self._loop.time() < self._deadline:
            self._loop.call_later(_LOOK, self._settle)
            return
        self._running.discard(self)
        code, walls = self._process.returncode, self.node.spec.confinement
        if walls is not None and walls.sandbox and _SIGNALLED < code < _SIGNALLED + signal.NSIG:
            code = _SIGNALLED - code  # as bubblewrap tells that the program in it was killed
        self.node.end(code)


def _words(spec: LaunchSpec, care: str) -> list[str]:
    """The command line: of the bootstrap, or of several of them, from the outermost wall to the program."""
    walls = spec.confinement
    parent = str(os.getpid())
    if walls is None:
        return _program(spec, care, parent, _BOOTSTRAP)
    kind, _, number = care.partition(":")
    program = _program(spec, "held:", "0", walls.bootstrap)
    if not walls.sandbox:
        return _stage(spec, f"{kind}-alone:{number}", parent, walls.bootstrap, program)
    if walls.uid:
        program = _stage(spec, f"become:{walls.uid}", "0", walls.bootstrap, program)
    return _stage(spec, f"{kind}-around:{number}", parent, _BOOTSTRAP, [*walls.sandbox, "--", *program])


def _program(spec: LaunchSpec, care: str, parent: str, bootstrap: str) -> list[str]:
    words = spec.words()
    if spec.kind is Kind.COMMAND:
        return _stage(spec, care, parent, bootstrap, list(words), cwd=spec.cwd)
    python = [spec.python or sys.executable]
    if spec.debugger:
        python += ["-X", "frozen_modules=off"]  # else a debugger misses breakpoints in the standard library
    root, library = spec.root or "", spec.library or ""
    folders = (os.pathsep.join(spec.path), os.pathsep.join(spec.last))
    return [
        *python, bootstrap, care, parent, spec.cwd, "",
        "script", spec.name, root, library, *folders, spec.script, *words,
    ]  # fmt: skip


def _stage(spec: LaunchSpec, care: str, parent: str, bootstrap: str, words: list[str], cwd: str = "/") -> list[str]:
    """The command line of a bootstrap that becomes another program."""
    locale = f"={spec.env['LC_CTYPE']}" if "LC_CTYPE" in spec.env else ""
    return [sys.executable, "-I", "-S", bootstrap, care, parent, cwd, locale, "command", *words]


def _identity(spec: LaunchSpec) -> dict[str, Any]:
    """What `subprocess.Popen` is told of the user, where the process has that user's id from its start."""
    walls = spec.confinement
    if walls is None or not walls.uid or walls.sandbox:
        return {}
    return {"user": walls.uid, "group": walls.uid, "extra_groups": [], "umask": 0o077}
