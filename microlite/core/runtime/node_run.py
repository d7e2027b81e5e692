"""One process of a service, from its launch to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.runtime import http_program, restarts
from microlite.core.runtime.api import NodeStatus
from microlite.core.runtime.debug_ports import HOST, debugpy_folder
from microlite.core.runtime.diagnosis import Diagnosis, diagnose, did_not_serve
from microlite.core.runtime.inspection import variable_of
from microlite.core.runtime.launch import debugger
from microlite.core.runtime.launch.api import PRELOAD, Kind, LaunchSpec, Stream
from microlite.core.runtime.launch.ticket import VARIABLE as TICKET
from microlite.core.runtime.lines import LineSplitter, strip_ansi
from microlite.core.runtime.lines import Stream as LogStream
from microlite.core.runtime.liveness import is_debugged, until_silent
from microlite.core.runtime.node_failure import NodeFailed
from microlite.core.runtime.states import Event, State, after

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from microlite.core.network.table import Link
    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.launch.api import Exit, Process
    from microlite.core.runtime.logs import Log
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.restarts import Restart

STOP_GRACE: Final = 5.0
"""Seconds between asking a process to end and killing it."""

DEBUG_GRACE: Final = 3600.0
"""Seconds that a node at a breakpoint has for its calls, when newer code has come."""

LAST_LINES: Final = 20
BREAKPOINT_HOOK: Final = "microlite.core.library.breakpoints.stop"
"""What `breakpoint()` calls in a node, unless its user has said otherwise."""

_LONGEST_WORDS: Final = 200

_LOG_STREAMS: Final = {Stream.STDOUT: LogStream.STDOUT, Stream.STDERR: LogStream.STDERR}


class NodeRun:
    """One node in one generation.

    Args:
        desired: the service.
        node: the id.
        generation: higher than that of every node before.
        machinery: starts and routes.
        on_exit: told when it ended after it had become healthy without being asked to, and why.
        on_change: told when it takes calls in another state than before.

    Attributes:
        lease: its registration, once there is one.
        link: the way to it, once its routes are gone and it is to be drained.
    """

    def __init__(
        self,
        desired: Desired,
        node: str,
        generation: int,
        machinery: Machinery,
        on_exit: Callable[[NodeRun, NodeFailed], None],
        on_change: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
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
        self._on_change = on_change
        self._log: Log = machinery.logs.of(desired.namespace, desired.name)
        self._process: Process | None = None
        self._splitters = {stream: LineSplitter() for stream in Stream}
        self._said: deque[tuple[Stream, str]] = deque(maxlen=LAST_LINES)
        self._registered: asyncio.Future[Lease] = loop.create_future()
        self._watching: asyncio.Task[None] | None = None
        self._minding: asyncio.Task[None] | None = None
        self._port = 0
        self._unhealthy = ""
        self._breakpoints = 0
        self._debugger = ""

    @property
    def pid(self) -> int:
        """The process; 0 before there is one."""
        return self._process.pid if self._process is not None else 0

    @property
    def serves(self) -> bool:
        """Whether it can take calls: it runs, and its connection holds."""
        if self._process is None or self._process.exit is not None or self.lease is None:
            return False
        connection = self.lease.connection
        return connection is None or connection.usable

    def status(self) -> NodeStatus:
        """The node as `status` shows it."""
        return NodeStatus(
            id=self.id,
            generation=self.generation,
            state=self.state,
            pid=self.pid or None,
            started=self.started,
            healthy=self.healthy_at,
            debugger=self._debugger,
        )

    def advance(self, event: Event) -> None:
        """Something happened to it."""
        self.state = after(self.state, event)
        if event is Event.HEALTHY:
            self.healthy_at = self._machinery.clock.now()
            if self.lease is not None and self.lease.connection is not None:
                self._minding = self._task(self._mind(), "health")
            if self._breakpoints or self._debugger:
                self.state = after(self.state, Event.ATTACH)

    # -- up -------------------------------------------------------------------------------------------------------------

    async def start(self, python: str, variables: dict[str, str]) -> None:
        """Launch the process.

        Args:
            python: the interpreter.
            variables: what it shall see, besides what the platform tells its nodes.

        Raises:
            NodeFailed: its port is taken.
            LaunchError: there is none.
            Error: it cannot be isolated as it is asked for.
        """
        self.started = self._machinery.clock.now()
        self.advance(Event.START)
        if self._desired.source.port and await http_program.is_well(self._desired.source.port, ""):
            raise self._failed(_port_taken(self._desired.source.port))
        cells = self._machinery.cells
        try:
            spec = self._spec(python, variables)
            spec = await cells.enter(self._desired, self.id, self.generation, spec, self._log.say)
            self._process = await self._machinery.launcher.start(spec, self._take_output)
        except BaseException:
            await cells.leave(self._desired, self.id, self.generation)
            self._end_ticket()
            raise
        self._watching = self._task(self._watch(self._process), "watch")

    def _spec(self, python: str, variables: dict[str, str]) -> LaunchSpec:
        desired, source = self._desired, self._desired.source
        env = {key: value for key, value in variables.items() if not key.startswith("MICROLITE_")}
        env |= {
            "MICROLITE_HOME": str(self._machinery.home),
            "MICROLITE_NAMESPACE": desired.namespace,
            "MICROLITE_SERVICE": desired.name,
            "MICROLITE_NODE": self.id,
            "MICROLITE_GENERATION": str(self.generation),
        }
        if "MICROLITE_LOG_LEVEL" in variables:  # the one that is the user's own
            env["MICROLITE_LOG_LEVEL"] = variables["MICROLITE_LOG_LEVEL"]
        if desired.asked.version:
            env["MICROLITE_VERSION"] = desired.asked.version
        if desired.asked.metadata:
            env["MICROLITE_METADATA"] = json.dumps(desired.asked.metadata)
        if source.command:
            self._port = source.port or http_program.free_port()
            env["PORT"] = str(self._port)
            # As one string: the launcher puts `$PORT` and other variables into its words.
            command = shlex.join(source.command)
            if source.path:
                env["PYTHONPATH"] = os.pathsep.join((*source.path, *filter(None, (env.get("PYTHONPATH"),))))
            return LaunchSpec(name=desired.name, kind=Kind.COMMAND, argv=command, cwd=source.folder, env=env)
        env[TICKET] = self._machinery.tickets.start(desired.namespace, desired.name, self.id, self.generation)
        if desired.asked.debug:
            env |= self._debug_variables()
        else:
            env.setdefault("PYTHONBREAKPOINT", BREAKPOINT_HOOK)
        return LaunchSpec(
            name=desired.name,
            debugger=desired.asked.debug,
            script=str(Path(source.folder, source.entry)),
            cwd=source.folder,
            root=source.folder,
            path=source.path,
            last=(source.root,) if source.root not in ("", source.folder) else (),
            env=env,
            python=python,
            library=self._machinery.library,
            preload=(*PRELOAD, *source.preload),
        )

    def _debug_variables(self) -> dict[str, str]:
        asked = self._desired.asked
        port = self._machinery.debug_ports.of(self._desired.namespace, self.id, asked.debug_port)
        self._debugger = f"{HOST}:{port}"
        found = {debugger.LISTEN: self._debugger, debugger.FOLDER: debugpy_folder()}
        return {**found, debugger.WAIT: "1"} if asked.debug_wait else found

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
        assert self._process is not None
        answering = self._task(self._answers(), "first answer")
        patience, notice = self._machinery.patience.start, self._machinery.patience.notice
        try:
            await asyncio.wait({answering, self._watching}, timeout=notice, return_when=asyncio.FIRST_COMPLETED)
            if not (answering.done() or self._watching.done()):
                self._log.say(f"… starting since {notice:g} s: {self._what_is_missing()}", node=self.id)
            patience -= notice
            await asyncio.wait({answering, self._watching}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            while not (answering.done() or self._watching.done()) and self._is_held():
                await asyncio.wait({answering, self._watching}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if answering.done() and not answering.cancelled() and answering.exception() is None:
                return
            if answering.done():  # its connection broke: then it ends
                await asyncio.wait({self._watching}, timeout=STOP_GRACE)
            if self._watching.done():
                raise self._ended_early(self._process)
            raise self._failed(f"did not become healthy within {patience + notice:g} s: {self._what_is_missing()}")
        finally:
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.Error):
                await answering

    async def fallen(self) -> None:
        """It was healthy, and serves no more.

        Raises:
            NodeFailed: always.
        """
        assert self._watching is not None
        assert self._process is not None
        await asyncio.wait({self._watching}, timeout=STOP_GRACE)
        if self._watching.done():
            raise self._ended_early(self._process)
        raise self._failed("left the platform as soon as it had joined")

    def _what_is_missing(self) -> str:
        if self._port:
            return f"nothing listens on port {self._port}, which it was told by the variable PORT"
        if self.lease is None:
            return "it has not come to `run()`, or an on_start does not return"
        return "it does not answer: does something block its loop?"

    async def _answers(self) -> None:
        source = self._desired.source
        if source.command:
            await http_program.until_well(self._port, source.health)
            registration = http_program.registration(
                self._desired, self.id, self.generation, self._port, self.pid, self.started
            )
            self.lease = self._machinery.registry.register(registration, None)
            return
        lease = await self._registered
        if lease.connection is not None:
            await lease.connection.ping()

    def _ended_early(self, process: Process) -> NodeFailed:
        assert process.exit is not None
        story = self._story(process.exit)
        if story.exit_code == 0 and self._port:
            return NodeFailed(f"ended by itself (exit code 0) before it listened on port {self._port}", story)
        found = self._diagnosis(story)
        if found is not None:
            return NodeFailed(found.reason, story, final=found.hopeless)
        return NodeFailed(self._reason(story), story)

    def _diagnosis(self, story: Restart) -> Diagnosis | None:
        """What its end means, where it is a Python file whose words we can read."""
        source = self._desired.source
        if source.command or story.exit_code is None:
            return None
        if story.exit_code == 0:
            return did_not_serve(source, variable_of(Path(source.folder, source.entry)))
        words = [strip_ansi(line) for stream, line in self._said if stream is Stream.STDERR]
        return diagnose(words, source, self._desired.name, self._desired.asked.python)

    def _failed(self, reason: str) -> NodeFailed:
        story = restarts.Restart(
            at=self._machinery.clock.now(),
            cause=restarts.Cause.UNHEALTHY,
            generation=self.generation,
            detail=reason,
            lines=self.last_lines(),
        )
        return NodeFailed(reason, story)

    # -- what it says and how it ends -----------------------------------------------------------------------------------

    def _take_output(self, stream: Stream, data: bytes) -> None:
        self._keep(stream, self._splitters[stream].feed(data))

    def _keep(self, stream: Stream, lines: list[str]) -> None:
        if lines:
            self._log.add(self.id, _LOG_STREAMS[stream], lines)
            self._said.extend((stream, line) for line in lines[-LAST_LINES:])

    def last_lines(self) -> tuple[str, ...]:
        """The last lines that this very process wrote, oldest first."""
        return tuple(strip_ansi(line) for _, line in self._said)

    def _last_words(self) -> str:
        """The last line on stderr: that of a traceback says what went wrong."""
        words = (strip_ansi(line).strip() for stream, line in reversed(self._said) if stream is Stream.STDERR)
        return next((line for line in words if line), "")[:_LONGEST_WORDS]

    def _reason(self, story: Restart) -> str:
        found = self._diagnosis(story) if story.exit_code else None
        if found is not None:
            return found.reason
        words = self._last_words() if story.exit_code else ""
        return f"{story.reason()}: {words}" if words else story.reason()

    def _story(self, ended: Exit) -> Restart:
        if self._unhealthy:
            return self._failed(self._unhealthy).story
        code = ended.code if ended.code is not None else -(ended.signal or 0)
        return restarts.exited(code, at=ended.at, generation=self.generation, lines=self.last_lines())

    async def _watch(self, process: Process) -> None:
        ended = await process.wait()
        self._end_ticket()
        for stream, splitter in self._splitters.items():
            self._keep(stream, splitter.flush())
        if self._minding is not None:
            self._minding.cancel()
        if self.lease is not None and self.lease.connection is None:
            self._machinery.registry.deregister(self.lease)
        await self._machinery.cells.leave(self._desired, self.id, self.generation)
        if self.state in (State.RUNNING, State.DEBUGGING):
            self.advance(Event.EXIT)
            story = self._story(ended)
            self._on_exit(self, NodeFailed(self._reason(story), story))
        elif self.state is State.DRAINING:
            self.advance(Event.EXIT)

    def _end_ticket(self) -> None:
        self._machinery.tickets.end(self._desired.namespace, self.id, self.generation)

    async def _mind(self) -> None:
        """End the node when it falls silent, or goes on running without its connection."""
        assert self.lease is not None
        assert self.lease.connection is not None
        assert self._watching is not None
        silent = await until_silent(self.lease.connection, self._is_held, self._machinery.patience, self._on_debugging)
        if not silent:
            done, _ = await asyncio.wait({self._watching}, timeout=STOP_GRACE)
            silent = "" if done else f"left the platform, and still ran {STOP_GRACE:g} s later"
        if silent:
            self._unhealthy = silent
            self.kill()

    def _is_held(self) -> bool:
        return bool(self._breakpoints or self._debugger) or is_debugged(self.pid)

    def _look_for_debugger(self) -> None:
        self._on_debugging(self._is_held())

    @contextlib.contextmanager
    def at_breakpoint(self) -> Iterator[None]:
        """Within it the node stands at a breakpoint, by its own word."""
        self._breakpoints += 1
        self._look_for_debugger()
        try:
            yield
        finally:
            self._breakpoints -= 1
            self._look_for_debugger()

    def _on_debugging(self, debugging: bool) -> None:
        if debugging and self.state is State.RUNNING:
            self.advance(Event.ATTACH)
            self._on_change()
        elif not debugging and self.state is State.DEBUGGING:
            self.advance(Event.DETACH)
            self._on_change()

    # -- down -----------------------------------------------------------------------------------------------------------

    async def drain(self, grace: float, *, hurry: bool = False) -> bool:
        """Let what runs finish, then end the process. Its routes are gone already.

        Args:
            grace: seconds that unary calls and HTTP requests have; streams have ten.
            hurry: streams have no time, and HTTP requests, which may be streams for all that is known, less.

        Returns:
            False if something was cut off by that.
        """
        cut = False
        if self._is_held():
            grace = STOP_GRACE if hurry else max(grace, DEBUG_GRACE)  # whoever looks at it has not finished looking
        if self.link is not None:
            if hurry and self.link.connection is None:
                grace = min(grace, STOP_GRACE)
            finished = await self._machinery.membership.drain(self.link, grace, hurry=hurry)
            cut = not finished and self._process is not None and self._process.exit is None
        await self.end(STOP_GRACE)
        return not cut

    def hurry(self) -> None:
        """While it is drained: let it end its streams now."""
        if self.link is not None:
            self._machinery.membership.hurry(self.link)

    async def end(self, grace: float) -> None:
        """End the process and return when it is gone.

        Args:
            grace: seconds between asking and killing. A drained node has as many to end by itself, since its connection
                is closed.
        """
        if self._process is None or self._watching is None:
            self.state = State.STOPPED
            return
        if self.state not in (State.DRAINING, State.STOPPED):
            self.advance(Event.STOP)
        if self._process.exit is None and self.link is not None and self.link.connection is not None:
            await asyncio.wait({self._watching}, timeout=grace)
        await self._machinery.launcher.stop(self._process, grace)
        await asyncio.wait({self._watching})

    def kill(self) -> None:
        """End the process and its group at once."""
        if self._process is not None:
            self._process.kill()

    def _task(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=f"microlite: {what} of {self.id}")


def _port_taken(port: int) -> str:
    holder = http_program.holder_of(port)
    return f"port {port} is taken{f' by {holder}' if holder else ''}: end that program, or take the port in PORT"
