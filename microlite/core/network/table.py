"""The routing table: for each service the nodes that take its calls, and the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.network.waiting import Waiting
    from microlite.core.rpc.connection import Acceptor, Connection


class Link:
    """The way to one node.

    Attributes:
        connection: open to the node; None before it is dialled, and always for a program that is reached over HTTP.
        address: the path of the node's own socket, or the base URL of a program.
        generation: grows with each start of the same node; a later one supersedes an earlier one.
        idempotent: services and endpoints that may be called again when it is not known whether a first call ran.
        leases: HTTP requests that run on it.
        streams: WebSockets that are open to it, of which no end is to be expected.
        chosen: loop time at which it was last chosen among several.
        ejected_until: loop time up to which it is left out; 0 when it is not.
        ejections: how often in a row it was left out.
    """

    __slots__ = (
        "_hurried",
        "_news",
        "address",
        "chosen",
        "connection",
        "ejected_until",
        "ejections",
        "generation",
        "idempotent",
        "leases",
        "node",
        "streams",
        "version",
    )

    def __init__(
        self,
        node: str,
        *,
        generation: int,
        version: str,
        address: str,
        connection: Connection | None = None,
        idempotent: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.node = node
        self.generation = generation
        self.version = version
        self.address = address
        self.connection = connection
        self.idempotent = idempotent
        self.chosen = 0.0
        self.ejections = 0
        self.ejected_until = 0.0
        self.leases = 0
        self.streams = 0
        self._hurried = False
        self._news: asyncio.Event | None = None

    def release(self) -> None:
        """An HTTP request on this node has ended."""
        self.leases -= 1
        self._tell()

    def begin_stream(self) -> None:
        """An HTTP request on this node has become a WebSocket."""
        self.leases -= 1
        self.streams += 1
        self._tell()

    def end_stream(self) -> None:
        """A WebSocket on this node has ended."""
        self.streams -= 1
        self._tell()

    def hurry(self) -> None:
        """Whoever waits until it is idle waits for WebSockets no longer."""
        self._hurried = True
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    async def idle(self, grace: float, streams: float) -> bool:
        """Wait until no HTTP request runs on it, and for some time until no WebSocket is open.

        Args:
            grace: seconds that requests have.
            streams: seconds that WebSockets have, which are not expected to end by themselves.

        Returns:
            Whether all requests ended in their time.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while self.leases or (self.streams and not self._hurried):
            until = begun + (grace if self.leases else min(grace, streams))
            self._news = asyncio.Event()
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                break
        return not self.leases

    @property
    def load(self) -> int:
        """How many calls or requests wait for an answer from it."""
        return self.connection.load if self.connection is not None else self.leases + self.streams

    def cost(self, now: float) -> float:
        """What a call more would wait here, in seconds, give or take.

        What is known of a node's speed grows old: after ten seconds without a call it counts a hundredth, so that a node
        that was slow once is tried again.
        """
        connection = self.connection
        if connection is None:
            return 0.0
        age = now - self.chosen
        return (connection.load + 1) * connection.latency / (1.0 + age * age)


class Entry:
    """One service of one namespace in the table.

    Attributes:
        links: the nodes that take calls now.
        expected: whether a node is on its way, so that calls wait instead of failing.
        reason: why there is none, in words for the caller.
        parked: calls that wait for a node.
        waiters: HTTP requests that wait for one.
        local: serves the calls in this process; set for built-in services.
    """

    __slots__ = ("expected", "links", "local", "name", "namespace", "parked", "reason", "waiters")

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self.links: list[Link] = []
        self.expected = False
        self.reason = ""
        self.parked: deque[Waiting] = deque()
        self.waiters: list[asyncio.Future[None]] = []
        self.local: Acceptor | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (self.links or self.expected or self.reason or self.parked or self.waiters or self.local)


class Table:
    """All entries, by namespace and service."""

    def __init__(self) -> None:
        self._namespaces: dict[str, dict[str, Entry]] = {}

    def find(self, namespace: str, name: str) -> Entry | None:
        """The entry of a service, if there is one."""
        services = self._namespaces.get(namespace)
        return services.get(name) if services is not None else None

    def ensure(self, namespace: str, name: str) -> Entry:
        """The entry of a service, made where it is missing."""
        services = self._namespaces.setdefault(namespace, {})
        entry = services.get(name)
        if entry is None:
            entry = services[name] = Entry(namespace, name)
        return entry

    def forget_idle(self, namespace: str, name: str) -> None:
        """Drop the entry if nothing hangs on it."""
        services = self._namespaces.get(namespace)
        if services is not None and (entry := services.get(name)) is not None and entry.idle:
            del services[name]

    def entries(self, namespace: str | None = None) -> list[Entry]:
        """All entries of a namespace, or of all."""
        if namespace is not None:
            return list(self._namespaces.get(namespace, {}).values())
        return [entry for services in self._namespaces.values() for entry in services.values()]
