"""What it takes to start a process, and what comes back: the contract of every launcher.

A launcher starts each process as the leader of a session and process group of its own, hands on what it prints, and
sees to it that no member of the group outlives the process, and that no process outlives the platform.
"""

from __future__ import annotations

import enum
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PRELOAD = ("microlite.core.library.rehearsal", "asyncio", "uvloop", "msgspec")
"""What a fork server imports before its first fork; each of them is optional."""

MARKER = "MICROLITE_LAUNCH"
"""The variable that every launched process carries besides `LaunchSpec.env`: it tells whose process it is."""


_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")


class LaunchError(Exception):
    """No process was started: its interpreter is missing or broken, or the machine has no room for it.

    What goes wrong later, a missing script say, is told by the process itself: on stderr, and by its exit code.
    """


class Kind(enum.StrEnum):
    """What a spec starts."""

    SCRIPT = "script"
    """A Python file, as `python script argv…` would run it."""
    COMMAND = "command"
    """Any program."""


class Stream(enum.StrEnum):
    """Where a process printed."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """Walls around a process: there before its first line, and for good.

    Attributes:
        uid: the user id, and group id, that it has; 0 for those of the platform.
        sandbox: the command line of bubblewrap up to the program, empty to do without.
        bootstrap: the path of the bootstrap within the walls.
    """

    uid: int = 0
    sandbox: tuple[str, ...] = ()
    bootstrap: str


class LaunchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One process to start.

    Attributes:
        name: the service's name, shown by `ps` and `top`.
        kind: whether `script` or `argv` says what runs.
        cwd: the working directory, absolute.
        env: the whole environment of the process; nothing of the platform's own is added but `MARKER`.
        script: the Python file, absolute; for `Kind.SCRIPT` only.
        argv: the arguments after the script, or the words of the command. A command may be one string: it is split as
            a shell would, and `$NAME` in it is replaced from `env`, where it is known. No shell is started.
        python: the interpreter, absolute: a venv's own `bin/python` for code that lives in a venv.
        preload: the modules that the fork server imports beforehand. One that is missing is left out.
        library: a folder that holds microlite and what it needs, for an interpreter that has not got them. It goes to
            the end of `sys.path`, so that the user's own pins win.
        root: the service's folder, whose modules are compiled from source each time; else the folder of the script.
        path: further folders whose modules are compiled so; they come on `sys.path` behind that of the script.
        last: folders like these, for the end of `sys.path`, behind all that is installed.
        debugger: the process will be under a debugger, so it must be an ordinary one, started by exec.
        confinement: the walls around it; None for none. What is confined is started by exec.
    """

    name: str
    cwd: str
    env: dict[str, str]
    kind: Kind = Kind.SCRIPT
    script: str = ""
    argv: tuple[str, ...] | str = ()
    python: str = ""
    preload: tuple[str, ...] = PRELOAD
    library: str | None = None
    root: str | None = None
    path: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    debugger: bool = False
    confinement: Confinement | None = None

    def words(self) -> tuple[str, ...]:
        """`argv` as separate words.

        Raises:
            LaunchError: a quotation in the string is not closed, or a command has no words.
        """
        words = self.argv
        if isinstance(words, str):
            try:
                words = tuple(_VARIABLE.sub(self._value, word) for word in shlex.split(words))
            except ValueError as error:
                raise LaunchError(f"the command of {self.name} cannot be split into words: {error}") from error
        if self.kind is Kind.COMMAND and not words:
            raise LaunchError(f"the command of {self.name} is empty")
        return words

    def _value(self, found: re.Match[str]) -> str:
        return self.env.get(found[1] or found[2], found[0])


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a process; just one of `code` and `signal` is set.

    Attributes:
        pid: the process that ended.
        code: what it returned, 0 to 255.
        signal: the number of the signal that killed it.
        at: when, in seconds since the Unix epoch.
        lived: seconds from its start to its end.
    """

    pid: int
    code: int | None = None
    signal: int | None = None
    at: float
    lived: float


OnOutput = Callable[[Stream, bytes], object]
"""Takes what a process prints, as it comes: called on the loop, with whole lines or with parts of them.

It must keep up, in a ring if need be: the pipe is always read, so that no process ever waits for its reader.
"""


class Process(Protocol):
    """A process that was started. Its end is always told, and by then all that it printed was handed on."""

    @property
    def pid(self) -> int:
        """The process, and its process group and session too."""
        ...

    @property
    def exit(self) -> Exit | None:
        """How it ended, or None while it runs."""
        ...

    async def wait(self) -> Exit:
        """Return when the process has ended and its process group is empty. Any number may wait."""
        ...

    def terminate(self) -> None:
        """Ask it to end, by SIGTERM: the script alone, who minds its children, but every process of a command."""
        ...

    def kill(self) -> None:
        """End it and its whole process group, by SIGKILL."""
        ...


class Launcher(Protocol):
    """Starts processes, and ends all that are left when it is closed."""

    async def start(self, spec: LaunchSpec, on_output: OnOutput | None = None) -> Process:
        """Start a process and return as soon as it exists.

        Args:
            spec: what to start.
            on_output: what gets its output; nothing that it prints is lost. None discards it.

        Raises:
            LaunchError: there is no process.
        """
        ...

    async def stop(self, process: Process, grace: float) -> Exit:
        """Ask the process to end, and kill its group when it has not after `grace` seconds."""
        ...

    async def close(self) -> None:
        """Kill what still runs and return when it is gone. May be called twice."""
        ...

    async def __aenter__(self) -> Self:
        """Return itself; leaving closes."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
