"""Starts Python scripts by forking from a process that has the library imported, and all else by exec."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from typing import TYPE_CHECKING

import msgspec

from microlite.core.runtime.launch import bury, life, sweep
from microlite.core.runtime.launch.api import MARKER, PRELOAD, Kind, LaunchError
from microlite.core.runtime.launch.launched import Launched, check, stop
from microlite.core.runtime.launch.packages import Packages
from microlite.core.runtime.launch.server import ForkServer, ServerGone, Template
from microlite.core.runtime.launch.spawn import SpawnLauncher

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from microlite.core.clock import Clock
    from microlite.core.runtime.launch.api import Exit, LaunchSpec, OnOutput, Process

_AT_START = ("LD_", "MALLOC_", "GLIBC_TUNABLES")
"""Variables that act only when a program starts. A fork has them as its server had them."""

_HARMLESS = (
    "PYTHONUNBUFFERED",  # done in the fork
    "PYTHONBREAKPOINT",  # looked up at each call
    "PYTHONDONTWRITEBYTECODE",
    "PYTHON_VERSION",  # says what an image holds; no interpreter reads it
    "PYTHON_PIP_VERSION",
    "PYTHON_SETUPTOOLS_VERSION",
    "PYTHON_GET_PIP_URL",
    "PYTHON_GET_PIP_SHA256",
    "PYTHON_SHA256",
)

_AGAIN = 30.0  # seconds before an environment that could not have a fork server is tried again

log = logging.getLogger(__name__)


class ForkLauncher:
    """See `api.Launcher`. What it cannot fork, it spawns, with the same contract.

    Fork servers are started when they are needed, one per template, and again when one has died. The first start makes
    this process a subreaper for as long as it lives, and this process must never fork by itself: a copy of the life
    pipes' writers would keep the nodes alive.

    Args:
        clock: gives `Exit` its times.
        env: the environment of the fork servers, the platform's own say; `PYTHON*` is left out of it.
        marker: whose processes they are, for `sweep`. The platform's home is a good source: it has one platform. None
            makes one up.
        idle: seconds after its last node has ended after which a fork server ends too.
    """

    def __init__(self, clock: Clock, env: Mapping[str, str], *, marker: str | None = None, idle: float = 600.0) -> None:
        self._clock = clock
        self._env = {key: value for key, value in env.items() if not key.startswith("PYTHON") and key != MARKER}
        self._spawn = SpawnLauncher(clock, marker=marker)
        self._idle = idle
        self._numbers = itertools.count(1)
        self._servers: dict[Template, ForkServer] = {}  # those that take starts
        self._opening: dict[Template, asyncio.Task[ForkServer]] = {}
        self._open: set[ForkServer] = set()  # those with a process
        self._unfit: dict[Template, float] = {}
        self._packages = Packages()
        self._closed = False

    def reason_to_spawn(self, spec: LaunchSpec) -> str | None:
        """Why this spec cannot be forked, as the rest of a sentence that begins with "it"; None when it can."""
        if not life.LINUX:
            return "runs on a system where forking is not safe"
        if spec.kind is Kind.COMMAND:
            return "is a program of its own"
        if spec.debugger:
            return "is under a debugger"
        if spec.confinement is not None:
            return "is isolated, and what it is forked from is not"
        for name in spec.env:
            if name.startswith("PYTHON") and name not in _HARMLESS:
                return f"sets {name}, which acts when Python starts"
        if _is_utf8(spec.env) != _is_utf8(self._env):
            return "has a locale with another encoding than the platform"
        for name in (*spec.env, *self._env):
            if name.startswith(_AT_START) and spec.env.get(name) != self._env.get(name):
                return f"has another {name} than the platform, which acts when a program starts"
        return None

    async def start(self, spec: LaunchSpec, on_output: OnOutput | None = None) -> Process:
        """See `api.Launcher.start`."""
        if self._closed:
            raise LaunchError("the launcher is closed")
        check(spec)
        if self.reason_to_spawn(spec) is None:
            template = self._template(spec.python, spec.preload, spec.library)
            for _ in range(2):  # a server that dies under the first attempt says nothing about the next
                try:
                    server = await self._server(template)
                    node = Launched(spec, self._clock, on_output)
                    try:
                        await server.start(spec, node)
                    except BaseException:
                        node.output.close()
                        raise
                    return node
                except ServerGone:
                    continue
                except _UnfitError:
                    break
        return await self._spawn.start(spec, on_output)

    async def warm(self, python: str = "", preload: tuple[str, ...] = PRELOAD, library: str | None = None) -> bool:
        """Have a fork server ready before the first start needs it. False: this environment cannot have one."""
        if not life.LINUX or self._closed:
            return False
        try:
            await self._server(self._template(python, preload, library))
        except (_UnfitError, ServerGone):
            return False
        return True

    def retire(self, python: str = "") -> None:
        """Take no more nodes from the fork servers of this interpreter: what they imported is outdated.

        Each stays until its last node has ended; the next start gets a new one.
        """
        for template in [template for template in self._servers if template.python == (python or sys.executable)]:
            self._servers.pop(template).retire()
        self._unfit.clear()

    async def stop(self, process: Process, grace: float) -> Exit:
        """See `api.Launcher.stop`."""
        return await stop(process, grace)

    async def sweep(self) -> int:
        """Kill what an earlier platform of the same marker left behind; to be called before the first start.

        Returns:
            How many processes that were.
        """
        killed = sweep.end_marked(MARKER, f"{self._spawn.marker}/")
        await bury.dead(killed)
        return len(killed)

    async def close(self) -> None:
        """See `api.Launcher.close`."""
        self._closed = True
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in list(self._open)))
        await self._spawn.close()

    async def __aenter__(self) -> Self:
        """See `api.Launcher`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `api.Launcher`."""
        await self.close()

    def _template(self, python: str, preload: tuple[str, ...], library: str | None) -> Template:
        python = python or sys.executable
        return Template(python, preload, library or "", self._packages.fingerprint(python))

    async def _server(self, template: Template) -> ForkServer:
        """The server of a template, started if there is none.

        Raises:
            _UnfitError: there can be none; nodes of this template are spawned.
        """
        if self._unfit.get(template, 0.0) > asyncio.get_running_loop().time():
            raise _UnfitError
        server = self._servers.get(template)
        if server is not None and server.alive:
            return server
        opening = self._opening.get(template)
        if opening is None:
            opening = asyncio.create_task(self._start_server(template), name=f"fork-server-of-{template.python}")
            self._opening[template] = opening
            opening.add_done_callback(lambda task: self._opened(template, task))
        return await asyncio.shield(opening)

    async def _start_server(self, template: Template) -> ForkServer:
        for other in list(self._servers):
            if msgspec.structs.replace(other, packages=template.packages) == template:
                self._servers.pop(other).retire()  # what is installed has changed, or it died
        try:
            life.become_subreaper()
            server = ForkServer(
                template, f"{self._spawn.marker}/fork-{next(self._numbers)}/", self._env, self._idle, self._open.discard
            )
            self._open.add(server)
            await server.ready()
        except LaunchError as error:
            log.warning("%s; its nodes are spawned, which is slower", error)
            self._unfit[template] = asyncio.get_running_loop().time() + _AGAIN
            raise _UnfitError from error
        if server.missing:
            log.info("not preloaded by %s: %s", template.python, "; ".join(server.missing.values()))
        self._servers[template] = server
        return server

    def _opened(self, template: Template, task: asyncio.Task[ForkServer]) -> None:
        del self._opening[template]
        if not task.cancelled():
            task.exception()  # it was told to whoever still waits, and logged


class _UnfitError(Exception):
    """This environment cannot have a fork server, at least for now."""


def _is_utf8(env: Mapping[str, str]) -> bool:
    """Whether Python takes text for UTF-8 under this environment. It does so in the C locale too (PEP 538, 540)."""
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or "C"
    return locale in ("C", "POSIX") or locale.lower().replace("-", "").partition("@")[0].endswith(".utf8")
