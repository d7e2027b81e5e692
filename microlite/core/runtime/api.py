"""The contract of the built-in service `runtime`."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.lines import Line
from microlite.core.runtime.manifest import Reload
from microlite.core.runtime.restarts import Restart
from microlite.core.runtime.sources import Source
from microlite.core.runtime.states import State


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a user wants to run: folders, files or git addresses, of which each may hold several services.

    Attributes:
        sources: absolute paths of folders or files, or addresses in git repositories (`github.com/o/r/path@ref`).
        name: in place of the name that is found; only for a single service.
        version: in place of the one that the code says, and of the ref of an address.
        instances: how many nodes of each; 0 for what the project says, else 1.
        environment: the variables that the nodes see, in place of those of the platform; what the project declares comes
            on top, then `env`.
        env: additional variables.
        metadata: is added to that of the service.
        command: the program to run in the folder instead of what is found there.
        python: the interpreter to use; empty for that of the platform.
        watch: whether saving a file swaps in the new code.
        debug: whether each node listens for a debugger (debugpy).
        debug_port: the port of the first node, or the next one that is free; 0 for 5678 or the next.
        debug_wait: whether a node runs nothing before a debugger has attached.
        isolate: how its nodes are walled in; as the platform is set without it. What the platform demands cannot be
            turned off.
    """

    sources: tuple[str, ...]
    name: str = ""
    version: str = ""
    instances: int = 0
    environment: dict[str, str] = {}
    env: dict[str, str] = {}
    metadata: dict[str, str] = {}
    command: str = ""
    python: str = ""
    watch: bool = True
    debug: bool = False
    debug_port: int = 0
    debug_wait: bool = False
    isolate: Isolation = Isolation.DEFAULT


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """One service that is to run: what the platform keeps across its own restarts, if it is detached.

    Attributes:
        asked: what the user said of this one service; `sources` is the one path or address that leads to it.
        source: the same, completed from the project as it was when it was read last.
        project: the source whose project file names the service; empty if none does.
        owner: the id of the account that wants it.
    """

    asked: RunRequest
    source: Source
    namespace: str = DEFAULT_NAMESPACE
    detached: bool = False
    owner: str = ""
    project: str = ""

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.source.name

    @property
    def key(self) -> str:
        """Name and version: two versions of a service may run side by side."""
        return f"{self.source.name}@{self.asked.version}" if self.asked.version else self.source.name

    @property
    def instances(self) -> int:
        """How many nodes it has; at least one."""
        return max(1, self.asked.instances or self.source.instances)

    @property
    def exclusive(self) -> bool:
        """Whether the old nodes must end before the new ones start: it is declared so, or they need the same port.

        A debugger's port is such a one: editors attach to it again after each change.
        """
        return self.source.reload is Reload.EXCLUSIVE or bool(self.source.port) or self.asked.debug


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One node as `status` shows it. `started` and `healthy` are seconds since the Unix epoch, 0 for not yet.

    A node that waits for another try has no process: its `pid` is null, its `generation` 0. `debugger` is the address on
    which it listens for a debugger, empty if it does not.
    """

    id: str
    generation: int
    state: State
    pid: int | None = None
    started: float = 0.0
    healthy: float = 0.0
    debugger: str = ""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One service as `status` shows it.

    Attributes:
        version: what was asked for, else what the code says; `latest` until it has said so.
        source: the folder or file, or the address in a git repository.
        commit: which commit of the repository that is; empty for a folder or file.
        state: of the service as a whole; one node that serves makes it serve.
        restarts: how often it was started again: after each of its nodes' failures, and with each change of its code. A
            change that did not start is none.
        error: why it, or one of its nodes, does not run, or why the newest code does not; empty when all is well.
        waiting_for: the services that it depends on and that are not healthy yet; it is started when they are.
        updated: when its state or its code changed last, in seconds since the Unix epoch.
        detached: whether it is kept running without a session, and comes back with the platform.
        managed: whether the platform runs it; false for nodes that were started by hand.
        watched: whether saving a file swaps in the new code.
        isolation: how its nodes are walled in: `off`, `uid` or `bwrap`.
        story: the last failures and changes, newest last.
    """

    name: str
    version: str
    source: str = ""
    commit: str = ""
    state: State
    nodes: tuple[NodeStatus, ...] = ()
    restarts: int = 0
    error: str = ""
    waiting_for: tuple[str, ...] = ()
    updated: float = 0.0
    metadata: dict[str, str] = {}
    detached: bool = False
    managed: bool = True
    watched: bool = False
    isolation: Isolation = Isolation.OFF
    story: tuple[Restart, ...] = ()


class Topic(StrEnum):
    """What a `Happening` tells of."""

    STATE = "state"
    """The service reached another state; `text` says why, where that is not plain."""
    PROGRESS = "progress"
    """A line of what is being installed for it."""
    RELOAD = "reload"
    """New code serves; `text` names what changed, `seconds` how long it took from the save."""
    FAILED = "failed"
    """New code, or a node, did not work; `text` says why, `lines` are its last words."""
    LOG = "log"
    """It wrote a line."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a session is told about its services."""

    at: float
    topic: Topic
    service: str
    node: str = ""
    state: State | None = None
    text: str = ""
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    line: Line | None = None
    http: bool = False
    """Whether the service is a program that speaks HTTP by itself."""
