"""One process of a service, from its launch to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.description.structs import ServiceDescription
from microlite.core.registry.api import Node, Protocol, Registration
from microlite.core.runtime import restarts
from microlite.core.runtime.launch.api import PRELOAD, Kind, LaunchSpec, Stream
from microlite.core.runtime.lines import Stream as LogStream
from microlite.core.runtime.states import Event, State, after

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.network.table import Link
    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.launch.api import Exit, Process
    from microlite.core.runtime.logs import Log, LogWriter
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.restarts import Restart

PROBE: Final = 0.02
"""Seconds between two tries to connect to a program that has not opened its port yet."""

STOP_GRACE: Final = 5.0
"""Seconds between asking a process to end and killing it."""

LAST_LINES: Final = 20


class NodeFailed(Exception):
    """A node did not come up."""

    def __init__(self, cause: restarts.Cause, reason: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.cause = cause
        self.lines = lines


class NodeRun:
    """One node in one generation.

    Args:
        on_exit: told the story of an end that nobody asked for.
    """

    def __init__(
        self,
        desired: Desired,
        node: str,
        generation: int,
        machinery: Machinery,
        on_exit: Callable[[NodeRun, Restart], None],
    ) -> None:
        self.id = node
        self.generation = generation
        self.state = State.PENDING
        self.started = 0.0
        self.healthy_at = 0.0
        self.lease: Lease | None = None
        self.link: Link | None = None
        self._desired = desired
        self._machinery = machinery
        self._on_exit = on_exit
        self._process: Process | None = None
        self._log: Log | None = None
        self._registered: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._watching: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._port = 0
        self._unhealthy = ""

    @property
    def pid(self) -> int:
        """The process; 0 before there is one."""
        return self._process.pid if self._process is not None else 0

    def advance(self, event: Event) -> None:
        """The node's state after an event."""
        self.state = after(self.state, event)
        if self.state is State.RUNNING and not self.healthy_at:
            self.healthy_at = self._machinery.clock.now()
            if self.lease is not None and self.lease.connection is not None:
                self._checking = asyncio.get_running_loop().create_task(
                    self._check_health(), name=f"microlite: health of {self.id}"
                )

    async def start(self, python: str, variables: dict[str, str], log: Log) -> None:
        """Launch the process.

        Raises:
            LaunchError: there is none.
        """
        self._log = log
        writers = {
            Stream.STDOUT: log.writer(self.id, LogStream.STDOUT),
            Stream.STDERR: log.writer(self.id, LogStream.STDERR),
        }
        self.started = self._machinery.clock.now()
        self.advance(Event.START)
        self._process = await self._machinery.launcher.start(
            self._spec(python, variables), lambda stream, data: writers[stream].feed(data)
        )
        self._watching = asyncio.get_running_loop().create_task(
            self._watch(self._process, list(writers.values())), name=f"microlite: watch {self.id}"
        )

    def _spec(self, python: str, variables: dict[str, str]) -> LaunchSpec:
        desired, source = self._desired, self._desired.source
        env = {
            **variables,
            "MICROLITE_HOME": str(self._machinery.home),
            "MICROLITE_NAMESPACE": desired.namespace,
            "MICROLITE_SERVICE": desired.name,
            "MICROLITE_NODE": self.id,
            "MICROLITE_GENERATION": str(self.generation),
        }
        if desired.version:
            env["MICROLITE_VERSION"] = desired.version
        if desired.metadata:
            env["MICROLITE_METADATA"] = json.dumps(desired.metadata)
        if source.command:
            self._port = source.port or _free_port()
            env["PORT"] = str(self._port)
            env.setdefault("HOST", "127.0.0.1")
            return LaunchSpec(
                name=desired.name, kind=Kind.COMMAND, argv=shlex.join(source.command), cwd=source.folder, env=env
            )
        return LaunchSpec(
            name=desired.name,
            script=str(Path(source.folder, source.entry)),
            cwd=source.folder,
            root=source.folder,
            env=env,
            python=python,
            library=self._machinery.library,
            preload=(*PRELOAD, *source.preload),
        )

    def registered(self, lease: Lease) -> None:
        """The process has registered itself."""
        self.lease = lease
        if not self._registered.done():
            self._registered.set_result(lease)

    async def healthy(self) -> None:
        """Return when the node has registered and answers.

        Raises:
            NodeFailed: it ended before, or took too long.
        """
        assert self._watching is not None
        ready = asyncio.ensure_future(self._answers())
        try:
            await asyncio.wait(
                {ready, self._watching}, timeout=self._machinery.patience.start, return_when=asyncio.FIRST_COMPLETED
            )
            if ready.done():
                try:
                    ready.result()
                except errors.Error as error:
                    if not self._watching.done():
                        raise NodeFailed(restarts.Cause.UNHEALTHY, f"did not answer: {error.detail}") from None
                else:
                    return
            if self._process is not None and (self._watching.done() or self._process.exit is not None):
                await asyncio.wait({self._watching})
                assert self._process.exit is not None
                story = self._story(self._process.exit)
                reason = story.reason()
                if story.exit_code == 0:
                    reason = "ended by itself (exit code 0) before it served: does it call run()?"
                raise NodeFailed(story.cause, reason, story.lines)
            waited = self._machinery.patience.start
            what = f"nothing listens on port {self._port}" if self._port else "it has not registered"
            raise NodeFailed(
                restarts.Cause.UNHEALTHY, f"did not become healthy within {waited:.0f} s: {what}", self._last_lines()
            )
        finally:
            ready.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.Error):
                await ready

    async def _answers(self) -> None:
        if self._desired.source.command:
            await self._http_answers()
            return
        lease = await self._registered
        if lease.connection is not None:
            await lease.connection.ping()

    async def _http_answers(self) -> None:
        health = self._desired.source.health
        while not await _probe(self._port, health):  # noqa: ASYNC110 - another program's port tells nobody
            await asyncio.sleep(PROBE)
        desired = self._desired
        lease = self._machinery.registry.register(
            Registration(
                namespace=desired.namespace,
                service=ServiceDescription(
                    name=desired.name,
                    version=desired.version or "latest",
                    doc=f"The program {desired.source.command[0]}.",
                    metadata={**desired.metadata, "protocol": "http"},
                ),
                node=Node(
                    id=self.id,
                    generation=self.generation,
                    address=f"http://127.0.0.1:{self._port}",
                    protocol=Protocol.HTTP,
                    pid=self.pid,
                    started=self.started,
                ),
            ),
            None,
        )
        self.lease = lease

    async def _watch(self, process: Process, writers: list[LogWriter]) -> None:
        ended = await process.wait()
        for writer in writers:
            writer.close()
        if self._checking is not None:
            self._checking.cancel()
        if self.lease is not None and self.lease.connection is None:
            self._machinery.registry.deregister(self.lease)
        if self.state is State.DRAINING:
            self.advance(Event.EXIT)
        elif self.state in (State.RUNNING, State.DEBUGGING):
            self.advance(Event.EXIT)
            self._on_exit(self, self._story(ended))

    def _story(self, ended: Exit) -> Restart:
        code = ended.code if ended.code is not None else -(ended.signal or 0)
        if self._unhealthy:
            return restarts.Restart(
                at=ended.at,
                cause=restarts.Cause.UNHEALTHY,
                generation=self.generation,
                detail=self._unhealthy,
                lines=self._last_lines(),
            )
        return restarts.exited(code, at=ended.at, generation=self.generation, lines=self._last_lines())

    def _last_lines(self) -> tuple[str, ...]:
        if self._log is None:
            return ()
        return tuple(line.text for line in self._log.recent(LAST_LINES, node=self.id) if line.at >= self.started)

    async def _check_health(self) -> None:
        """Ping the node; one that is silent for long is ended, unless a debugger holds it."""
        patience = self._machinery.patience
        assert self.lease is not None
        connection = self.lease.connection
        assert connection is not None
        while True:
            await asyncio.sleep(patience.check)
            try:
                await asyncio.wait_for(connection.ping(), patience.silence)
            except errors.Error:
                return  # the connection broke: the end of the process tells why
            except TimeoutError:
                if _is_traced(self.pid):
                    continue
                self._unhealthy = f"did not answer for {patience.silence:.0f} s (a handler that blocks the loop?)"
                self.kill()
                return

    async def drain(self, grace: float) -> None:
        """Let what runs finish, then end the process. Its routes are gone already."""
        if self.link is not None:
            finished = await self._machinery.membership.drain(self.link, grace)
            if not finished and self._log is not None and self._process is not None and self._process.exit is None:
                self._log.say(f"{self.id} was cut off: it had not finished after {grace:.0f} s", node=self.id)
        await self.end(STOP_GRACE)

    async def end(self, grace: float) -> None:
        """End the process and return when it is gone. The connection of a drained node is closed, and it ends by that."""
        if self._process is None:
            if self.state is not State.STOPPED:
                self.state = State.STOPPED
            return
        if self.state not in (State.DRAINING, State.STOPPED):
            self.state = State.DRAINING
        if self._process.exit is None:
            if self.link is not None and self.link.connection is not None:
                # A drained node ends by itself as soon as its connection is closed: ask again only if it does not.
                assert self._watching is not None
                await asyncio.wait({self._watching}, timeout=grace)
            await self._machinery.launcher.stop(self._process, grace)
        if self._watching is not None:
            await asyncio.wait({self._watching})

    def kill(self) -> None:
        """End the process and its group at once."""
        if self._process is not None:
            self._process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _probe(port: int, health: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        if not health:
            return True
        writer.write(f"GET {health} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 5)
        return line.split(b" ")[1:2] < [b"400"] and line.startswith(b"HTTP/")
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _is_traced(pid: int) -> bool:
    """Whether a debugger is attached to a process, as Linux tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())
