"""The fork server: a small process that has the library imported, and forks a clean node from itself for each start.

The platform runs it as `python forkserver.py CONTROL LIFE LIBRARY PRELOAD PADDING`. It starts no thread and no loop,
serves the control socket, reaps, and ends with the platform: when the socket ends, it kills all that it ever forked.

In a forked node `serve` returns, and the program goes on below with the user's script, so that the interpreter ends
there as it would anywhere. Nothing but the standard library and msgspec is imported before the preloaded modules.
What the interpreter decided at its start is the same in all nodes of one server: `hash()` of strings, for one.
"""

# ruff: noqa: E402, PTH120, PTH208 - the path is put right before the imports; pathlib would make it larger

from __future__ import annotations

import os
import sys

_FOLDER = os.path.dirname(os.path.realpath(__file__))
if sys.path and os.path.realpath(sys.path[0]) == _FOLDER:
    del sys.path[0]  # else a node's `import life` would find our files
if sys.argv[3] and sys.argv[3] not in sys.path:
    sys.path.append(sys.argv[3])

import gc
import importlib
import select
import signal
import socket
import time
import traceback
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.runtime.launch import child, frames, immortal, life, script, sweep, title
else:
    # The neighbours, under a name of their own: the interpreter's `microlite` may be another version, or not there.
    _package = ModuleType("_microlite_launch")
    _package.__path__ = [_FOLDER]
    sys.modules["_microlite_launch"] = _package
    from _microlite_launch import child, frames, immortal, life, script, sweep, title

_EMPTYING = 1.0  # seconds that an end waits for the rest of its group, killed already, to vanish
_LOOK = 10  # milliseconds between two looks at such a group


class _Child:
    __slots__ = ("deadline", "id", "status", "writer")

    def __init__(self, id: int, writer: int) -> None:
        self.id, self.writer = id, writer
        self.status, self.deadline = 0, 0.0


class Node:
    """What a fork is to become."""

    def __init__(self, start: frames.Start, stdio: list[int]) -> None:
        self._start, self._stdio = start, stdio

    def enter(self, name: title.Title) -> script.Script:
        """Become it, up to the first line of the user's code."""
        start = self._start
        path, argv = os.fsdecode(start.script), [os.fsdecode(word) for word in start.argv]
        child.take_stdio(self._stdio)
        child.reset_signals(python=True)
        child.set_environment({os.fsdecode(key): os.fsdecode(value) for key, value in start.env.items()})
        child.buffer_lines()
        name.show(start.name, [f"{start.name}:", sys.executable, path, *argv])
        child.enter(os.fsdecode(start.cwd))
        return script.Script(
            path,
            argv,
            os.fsdecode(start.root),
            os.fsdecode(start.library),
            [os.fsdecode(folder) for folder in start.path],
            [os.fsdecode(folder) for folder in start.last],
        )


class Server:
    """The loop: control socket and ended children."""

    def __init__(self, control: socket.socket, missing: dict[str, str]) -> None:
        self._pid = os.getpid()
        self._channel = frames.Channel(control)
        self._starts: list[tuple[frames.Message, list[int]]] = []
        self._children: dict[int, _Child] = {}
        self._emptying: dict[int, _Child] = {}
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._channel.send(frames.Ready(missing))

    def serve(self) -> Node | None:
        """Fork on demand until the platform is gone, then end all children and return None. Returns a node in a fork."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while True:
            wanted = 0 if self._channel.flush() else select.POLLOUT
            poll.register(self._channel.socket, select.POLLIN | wanted)
            ready = dict(poll.poll(_LOOK if self._emptying else None))
            if self._woken in ready:
                numbers = os.read(self._woken, 4096)
                if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                    return None
            if self._woken in ready or self._emptying:
                self._reap()
            if self._channel.socket.fileno() in ready:
                self._starts = self._channel.receive()
                while self._starts:
                    message, descriptors = self._starts.pop(0)
                    if isinstance(message, frames.Start) and (node := self._fork(message, descriptors)):
                        return node

    def end_all(self) -> None:
        """Kill every group, and then whatever left its group. Blocks until there is no child."""
        for pid, entry in self._children.items():
            os.close(entry.writer)
            sweep.end_group(pid)
        sweep.end_children()

    def _fork(self, start: frames.Start, descriptors: list[int]) -> Node | None:
        pid = reader = writer = -1
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none may reach our handlers in a fork
        try:
            reader, writer = os.pipe()
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                return self._become(start, descriptors, reader, writer)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            if pid > 0:
                os.kill(pid, signal.SIGKILL)  # reaped like any orphan
            if writer >= 0:
                os.close(writer)
            self._channel.send(frames.Failed(start.id, f"it cannot fork: {error.strerror}"))
        else:
            self._children[pid] = _Child(start.id, writer)
            self._channel.send(frames.Started(start.id, pid), [pidfd])
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        for descriptor in (reader, *descriptors):
            if descriptor >= 0:
                os.close(descriptor)
        return None

    def _become(self, start: frames.Start, descriptors: list[int], reader: int, writer: int) -> Node:
        """Leave nothing of the server in a fork but the modules that it imported."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            self._channel.close()
            unstarted = [descriptor for _, others in self._starts for descriptor in others]
            writers = [entry.writer for entry in self._children.values()]
            for descriptor in (self._woken, self._wake, writer, *unstarted, *writers):
                os.close(descriptor)
            life.die_with(self._pid)
            life.arm(reader)
            life.arm(descriptors[3])
        except BaseException:  # noqa: BLE001 - it ends here
            traceback.print_exc()
            os._exit(70)  # on no account may a fork go on as the server
        gc.enable()
        return Node(start, descriptors[:3])

    def _reap(self) -> None:
        """Reap every child that ended, after its group was killed, and tell of those whose group is empty."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if ended is None:
                break
            pid = ended.si_pid
            entry = self._children.pop(pid, None)
            if entry is not None:
                sweep.end_group(pid)  # while its leader is a zombie: the id cannot be another's
                os.close(entry.writer)
                entry.deadline = time.monotonic() + _EMPTYING
                self._emptying[pid] = entry
            status = os.waitpid(pid, 0)[1]
            if entry is not None:
                entry.status = status
        for pid, entry in list(self._emptying.items()):
            if sweep.group_is_empty(pid) or time.monotonic() > entry.deadline:
                del self._emptying[pid]
                self._channel.send(frames.Ended(entry.id, entry.status))


def preload(names: str) -> dict[str, str]:
    """Import the modules, separated by commas. Returns those that could not be, each with why."""
    missing: dict[str, str] = {}
    for name in filter(None, names.split(",")):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - edge: a module of the user's may raise anything at import
            missing[name] = "".join(traceback.format_exception_only(error)).strip()
    return missing


def serve() -> Node | None:
    """Prepare and serve. Returns in a forked node only; the server itself ends here."""
    guarded = life.arm(int(sys.argv[2]))  # an import may hang while the platform dies
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    life.become_subreaper()
    gc.disable()
    missing = preload(sys.argv[4])
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        sys.exit(f"importing {sys.argv[4]} started {threads - 1} threads, which a fork would lose")
    os.close(guarded)  # from here on the end of the socket says it, in time to sweep
    gc.collect()
    immortal.immortalise()
    gc.freeze()
    server = Server(control, missing)
    try:
        node = server.serve()
    except (EOFError, OSError):  # receiving and sending end differently, and mean the same: there is no platform
        node = None
    if node is None:
        server.end_all()
        sys.exit(0)
    return node


if __name__ == "__main__":
    _title = title.Title()
    _title.show("microlite-fork", [f"microlite fork server ({sys.executable})"])
    _node = serve()
    if _node is not None:
        _node.enter(_title).run()
