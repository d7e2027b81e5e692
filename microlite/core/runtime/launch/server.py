"""The platform's hold on one fork server: its start, the nodes it forked, and what to do when it dies."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from microlite.core.runtime.launch import bury, frames, sweep
from microlite.core.runtime.launch.api import MARKER, LaunchError
from microlite.core.runtime.launch.output import Output
from microlite.core.runtime.launch.title import ROOM
from microlite.core.runtime.launch.watch import ExitWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.runtime.launch.api import LaunchSpec, Stream
    from microlite.core.runtime.launch.launched import Launched

_PROGRAM = str(Path(__file__).with_name("forkserver.py"))
_READY = 60.0  # seconds for the imports; a cold disk and a heavy preload are slow
_SWEPT = 5.0  # seconds that a server has to end its children, when asked to or when its socket broke
_AT_ONCE = 32  # starts under way; the kernel limits descriptors in flight
_TAIL = 4096  # bytes kept of what the server itself printed

log = logging.getLogger(__name__)


class ServerGone(Exception):
    """The fork server ended before it answered. Whatever it forked for this start was killed."""


class Template(msgspec.Struct, frozen=True):
    """What a fork server has loaded; nodes of the same template share one.

    Attributes:
        python: the interpreter, absolute.
        preload: the modules.
        library: the folder at the end of its `sys.path`, or "".
        packages: a fingerprint of what is installed, so that an update makes another template.
    """

    python: str
    preload: tuple[str, ...]
    library: str
    packages: int


class _Node:
    __slots__ = ("launched", "pid", "pidfd", "writer")

    def __init__(self, launched: Launched, pid: int, pidfd: int, writer: int) -> None:
        self.launched, self.pid, self.pidfd, self.writer = launched, pid, pidfd, writer


class ForkServer:
    """A running fork server. `open` starts it; it ends by `close`, by `retire` once it is empty, or by dying.

    Args:
        template: what to load.
        marker: the value of `MARKER` for the server and each of its nodes; no other server's.
        env: the environment that the server and its preloaded modules start with.
        idle: seconds after its last node has ended after which it ends too.
        gone: called once, with the server, when it and all its nodes are dead and reaped.

    Raises:
        LaunchError: there is no such interpreter, or no room.
    """

    def __init__(
        self,
        template: Template,
        marker: str,
        env: Mapping[str, str],
        idle: float,
        gone: Callable[[ForkServer], object],
    ) -> None:
        self.template, self.marker = template, marker
        self._tell_gone = gone
        self.alive = False
        self.missing: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._idling: asyncio.TimerHandle | None = None
        self._retired = False
        self._ids = itertools.count(1)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._pending: dict[int, tuple[asyncio.Future[None], Launched, int]] = {}
        self._nodes: dict[int, _Node] = {}
        self._printed = b""
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._burial: asyncio.Task[None] | None = None
        try:
            self._output = Output(self._loop, self._print)
            ours, theirs = socket.socketpair()
            reader, self._writer = os.pipe()
        except OSError as error:
            raise LaunchError(f"no fork server was started: {error.strerror}") from error
        self._channel = frames.Channel(ours)
        stdout, stderr = self._output.writers
        words = [_PROGRAM, str(theirs.fileno()), str(reader), template.library, ",".join(template.preload), " " * ROOM]
        try:
            self._process = subprocess.Popen(
                [template.python, *words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**env, MARKER: marker},
                cwd="/",
                start_new_session=True,
                pass_fds=(theirs.fileno(), reader),
            )
        except (OSError, ValueError) as error:
            self._output.close()
            self._channel.close()
            os.close(self._writer)
            raise LaunchError(f"{template.python} was not started: {error}") from error
        finally:
            theirs.close()
            os.close(reader)
        self._output.release()
        self.alive = True
        self._loop.add_reader(ours, self._receive)
        self._watch = ExitWatch(self._loop, self._process.pid, self._died)

    @property
    def pid(self) -> int:
        """The fork server's process."""
        return self._process.pid

    async def ready(self) -> None:
        """Return when it can fork.

        Raises:
            LaunchError: it cannot be made to, and is gone; what it said is in the error.
        """
        try:
            async with asyncio.timeout(_READY):
                await asyncio.shield(self._ready)
        except (TimeoutError, ServerGone) as error:
            timed_out = isinstance(error, TimeoutError)
            await self.close()
            said = self._printed.decode("utf-8", "replace").strip().rpartition("\n")[2]
            why = f"it was not ready in {_READY:g} s" if timed_out else said or "it ended without a word"
            raise LaunchError(f"{self.template.python} cannot be a fork server: {why}") from error

    async def start(self, spec: LaunchSpec, launched: Launched) -> None:
        """Fork a node, and return when it exists.

        Raises:
            LaunchError: the machine has no room for it.
            ServerGone: start it on another server.
        """
        async with self._slots:
            if not self.alive:
                raise ServerGone
            number, answer = next(self._ids), self._loop.create_future()
            try:
                self._send_start(number, spec, launched, answer)
            except ValueError as error:
                raise LaunchError(f"{spec.name} was not started: its environment is too large") from error
            except OSError as error:
                if isinstance(error, BrokenPipeError | ConnectionResetError):
                    raise ServerGone from error
                raise LaunchError(f"{spec.name} was not started: {error.strerror}") from error
            try:
                await answer
            except asyncio.CancelledError:
                launched.kill()  # it may have been forked in this very turn
                raise

    def retire(self) -> None:
        """Take no more starts, and end when the last node has."""
        self._retired = True
        self._rest()

    async def close(self) -> None:
        """Kill its nodes and end it. Returns when all is gone. May be called twice."""
        for node in list(self._nodes.values()):
            node.launched.kill()
        for node in list(self._nodes.values()):
            await node.launched.wait()
        self._hang_up()
        if not self._ready.done():
            self._let_go()  # it imports, and does not look at its socket
        await asyncio.shield(self._gone)

    def _send_start(self, number: int, spec: LaunchSpec, launched: Launched, answer: asyncio.Future[None]) -> None:
        start = frames.Start(
            id=number,
            name=spec.name,
            script=os.fsencode(spec.script),
            argv=[os.fsencode(word) for word in spec.words()],
            cwd=os.fsencode(spec.cwd),
            env={os.fsencode(key): os.fsencode(value) for key, value in {**spec.env, MARKER: self.marker}.items()},
            root=os.fsencode(spec.root or ""),
            library=os.fsencode(spec.library or ""),
            path=[os.fsencode(folder) for folder in spec.path],
            last=[os.fsencode(folder) for folder in spec.last],
        )
        reader, writer = os.pipe()
        try:
            stdin = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        descriptors = [stdin, *launched.output.take(), reader]
        self._pending[number] = answer, launched, writer
        try:
            if not self._channel.send(start, descriptors):
                self._loop.add_writer(self._channel.socket, self._flush)
        except (OSError, ValueError) as error:
            del self._pending[number]
            for descriptor in (writer, *(descriptors if isinstance(error, ValueError) else ())):
                os.close(descriptor)
            raise

    def _flush(self) -> None:
        try:
            if self._channel.flush():
                self._loop.remove_writer(self._channel.socket)
        except OSError:
            self._hang_up()

    def _receive(self) -> None:
        try:
            messages = self._channel.receive()
        except EOFError:
            self._hang_up()
            return
        for message, descriptors in messages:
            match message:
                case frames.Ready():
                    self.missing = message.missing
                    if not self._ready.done():
                        self._ready.set_result(None)
                case frames.Started():
                    self._started(message, descriptors[0])
                case frames.Failed():
                    answer, launched, writer = self._pending.pop(message.id)
                    os.close(writer)
                    launched.output.close()
                    if not answer.done():
                        answer.set_exception(LaunchError(f"{launched.spec.name} was not started: {message.detail}"))
                case frames.Ended():
                    self._ended(self._nodes[message.id], message.id, os.waitstatus_to_exitcode(message.status))

    def _started(self, message: frames.Started, pidfd: int) -> None:
        answer, launched, writer = self._pending.pop(message.id)
        node = self._nodes[message.id] = _Node(launched, message.pid, pidfd, writer)
        launched.begin(message.pid, partial(_deliver, node))
        if answer.done():  # whoever asked was cancelled
            launched.kill()
        else:
            answer.set_result(None)

    def _ended(self, node: _Node, number: int, code: int) -> None:
        del self._nodes[number]
        os.close(node.pidfd)
        os.close(node.writer)
        self._rest()
        self._check_gone()
        node.launched.end(code)

    def _rest(self) -> None:
        """End now, or after a while, if there is nothing to do."""
        if not self.alive or self._nodes or self._pending:
            return
        if self._idling is not None:
            self._idling.cancel()
        if self._retired:
            self._hang_up()
        else:
            self._idling = self._loop.call_later(self._idle, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self._nodes and not self._pending:
            self._hang_up()

    def _hang_up(self) -> None:
        """Break the socket: the server kills what it has and ends; `_died` follows."""
        if not self.alive:
            return
        self.alive = False
        if self._idling is not None:
            self._idling.cancel()
        self._loop.remove_reader(self._channel.socket)
        self._loop.remove_writer(self._channel.socket)
        self._channel.close()
        self._idling = self._loop.call_later(_SWEPT, partial(os.kill, self._process.pid, signal.SIGKILL))

    def _died(self) -> None:
        """Its process ended: what it forked is this process's child now, and is to be killed and reaped."""
        while self.alive:  # what it still said
            self._receive()
        if self._idling is not None:
            self._idling.cancel()
        code = self._process.wait()
        self._output.finish()
        self._let_go()
        for answer, launched, writer in self._pending.values():
            os.close(writer)
            launched.output.close()
            if not answer.done():
                answer.set_exception(ServerGone())
        self._pending.clear()
        if not self._ready.done():
            self._ready.set_exception(ServerGone())
        if code != 0 and self._nodes:
            log.warning(
                "the fork server %d of %s ended (%d); its nodes are killed", self.pid, self.template.python, code
            )
        for number, node in self._nodes.items():
            node.launched.kill()  # before any reaping, so the pid is its own; the kernel did the same
            self._loop.add_reader(node.pidfd, self._adopted_ended, number, node)
        own = {node.pid for node in self._nodes.values()}
        strays = {}
        for pid, pidfd in sweep.end_marked(MARKER, self.marker).items():
            if pid in own:
                os.close(pidfd)
            else:
                strays[pid] = pidfd
        self._burial = self._loop.create_task(bury.dead(strays), name=f"burial-{self.pid}")
        self._burial.add_done_callback(self._check_gone)

    def _check_gone(self, _: object = None) -> None:
        if self._burial is not None and self._burial.done() and not self._nodes and not self._gone.done():
            self._gone.set_result(None)
            self._tell_gone(self)

    def _let_go(self) -> None:
        """Close the server's own life pipe, with which it is armed while it imports."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _adopted_ended(self, number: int, node: _Node) -> None:
        self._loop.remove_reader(node.pidfd)
        code = -int(signal.SIGKILL)
        with suppress(ChildProcessError):  # the server had reaped it, and died before it could say so
            pid, status = os.waitpid(node.pid, 0)
            code = os.waitstatus_to_exitcode(status)
            sweep.reap_group(pid)
        self._ended(node, number, code)

    def _print(self, _: Stream, content: bytes) -> None:
        self._printed = (self._printed + content)[-_TAIL:]
        if not self._ready.done():
            return  # if that is why it fails, `ready` says it
        log.warning("fork server of %s: %s", self.template.python, content.decode("utf-8", "replace").rstrip())


def _deliver(node: _Node, number: int, group: bool) -> None:
    """Send a signal, unless the node was reaped: its pidfd knows, and its pid may be another's by then."""
    try:
        signal.pidfd_send_signal(node.pidfd, 0 if group else number)
        if group:
            os.killpg(node.pid, number)
    except ProcessLookupError:
        with suppress(ProcessLookupError):  # just forked, and not yet the leader of a group
            signal.pidfd_send_signal(node.pidfd, number)
    except PermissionError:
        pass  # it changed its user; the life pipe is the kernel's, and does not ask
