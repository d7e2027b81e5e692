"""A platform and services in the process of a test."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.app import Platform
from microlite.core.auth.passwords import CHEAP
from microlite.core.clock import Clock, ManualClock
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE, Origin
from microlite.core.library.caller import Caller
from microlite.core.library.peers import RefuseCalls
from microlite.core.library.placement import Hidden
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.core.settings import ServerOptions
from microlite.testing.faults import Faults
from microlite.testing.served import InProcess, Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from microlite.core.library.service import Service
    from microlite.core.library.state.events import Events
    from microlite.core.library.stream import Stream
    from microlite.core.network.table import Link
    from microlite.core.rpc.call import Call
    from microlite.core.rpc.connection import Connection

Api = TypeVar("Api")

_SELF = Origin(PLATFORM_NAMESPACE)

DRAIN_GRACE = 30.0
"""Seconds that the old node has for its calls after a restart, as with a reload."""


@contextlib.asynccontextmanager
async def platform(
    *, clock: Clock | None = None, dashboard: bool = False, namespaces: Iterable[str] = ()
) -> AsyncIterator[RunningPlatform]:
    """Boot a platform in this process: all built-in services, a database, sockets and HTTP, in a folder of its own.

    Any number can run side by side. On leaving, services are ended at once and everything is removed.

    Args:
        clock: the time that the platform and its services see. Without it a `ManualClock`, which stands still until
            the test moves it (`p.advance(60)`); sockets and the deadlines of calls run by real time in either case.
        dashboard: whether to start the dashboard too; it answers a moment after this has returned.
        namespaces: those that there are besides `default`. `serve` makes the one that it names.
    """
    home = Path(tempfile.mkdtemp(prefix="ml-"))  # short, since paths of sockets are limited
    try:
        async with contextlib.AsyncExitStack() as stack:
            used = clock if clock is not None else ManualClock()
            booted = await stack.enter_async_context(
                Platform(ServerOptions(home=home, port=0, dashboard=dashboard), used, cost=CHEAP)
            )
            for namespace in namespaces:
                await booted.state.namespaces.create(_SELF, namespace)
            client = await dial(str(platform_socket(home)), RefuseCalls(), role="client")
            stack.push_async_callback(_close, client)
            running = RunningPlatform(booted, client)
            stack.push_async_callback(running.end)
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


class RunningPlatform:
    """What a test works with; comes from `platform()`.

    Attributes:
        clock: the time of the platform and its services.
        faults: makes things go wrong.
        home: the platform's folder.
        http: the base URL of the gateway, `http://127.0.0.1:…`.
        dashboard: the base URL of the dashboard; empty unless it was asked for.
        token: the admin's token, for built-in endpoints over HTTP (`Authorization: Bearer …`).
    """

    BRIDGED = True

    def __init__(self, booted: Platform, client: Connection) -> None:
        self.clock = booted.clock
        self.faults = Faults(booted.clock, self._break_connections)
        self.home = booted.options.home
        self.http = booted.gateway.url
        self.dashboard = booted.dashboard_url
        self.token = booted.token
        self._booted = booted
        self._caller = Caller(_Through(client))
        self._served: list[Served] = []
        self._draining: set[asyncio.Task[None]] = set()
        for entry in booted.router.table.entries(""):
            if entry.local is not None:
                entry.local = self.faults.front(entry.local)

    # -- services ------------------------------------------------------------------------------------------------------

    async def serve(
        self,
        service: Service,
        *,
        node: str = "",
        namespace: str = DEFAULT_NAMESPACE,
        metadata: Mapping[str, str] | None = None,
    ) -> Served:
        """Run a node of a service in this process, and return when it takes calls.

        Serving it again runs a further node.

        Args:
            service: the service; its start hooks run.
            node: the id of the node; `<service>-1` and so on without it.
            namespace: where it is found; made, if there is none of this name.
            metadata: added to the service's own.

        Raises:
            Error: it could not start, as when a start hook failed.
        """
        known = self._booted.state.namespaces
        if namespace not in (one.name for one in known.all()):
            await known.create(_SELF, namespace)
        number = 1 + sum(served.name == service.name for served in self._served)
        placement = InProcess(
            home=self.home,
            namespace=namespace,
            node=node or f"{service.name}-{number}",
            metadata=dict(metadata or {}),
        )
        return await self._start(service, placement)

    async def restart(self, service: Service | str, replacement: Service | None = None) -> None:
        """Replace all nodes of a service as a reload does: new ones beside the old, a switch, then the old ones drain.

        Returns when the new ones take the calls. What the old ones were doing goes on meanwhile: calls for 30 s of the
        clock at most, streams for 10.

        Args:
            service: which, or its name.
            replacement: the new code; the same without it.

        Raises:
            Error: the new code could not start; then the old nodes serve on.
        """
        replaced = self._nodes(service)
        fresh: list[Served] = []
        try:
            for old in replaced:
                placement = self._next(old)
                fresh.append(await self._start(replacement or old.service, placement))
        except BaseException:
            for new in fresh:
                self._served.remove(new)
                await new.cancel()
            raise
        links = {link.node: link for link in self._activate(fresh)}
        await self._booted.state.scheduler.settled()
        for old in replaced:
            self._served.remove(old)
            drain = asyncio.get_running_loop().create_task(
                self._drain(old, links.get(old.node)), name=f"microlite: drain {old.node}"
            )
            self._draining.add(drain)
            drain.add_done_callback(self._draining.discard)

    async def drained(self) -> None:
        """Return when no replaced node is left."""
        while self._draining:
            await asyncio.wait(self._draining)

    async def stop(self, service: Service | str) -> None:
        """End all nodes of a service as SIGTERM does, and return when they have finished what they were doing."""
        for served in self._nodes(service):
            self._served.remove(served)
            await served.stop()

    async def kill(self, service: Service | str) -> None:
        """End all nodes of a service at once, as a crash does: their calls have no known outcome."""
        for served in self._nodes(service):
            self._served.remove(served)
            await served.kill()

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def call(self, target: str, request: object = None, /, **fields: object) -> Any:
        """Call an endpoint, as an admin, through the platform; see `Context.call`."""
        return await self._caller.call(target, request, **fields)

    def stream(self, target: str, request: object = None, /, **fields: object) -> Stream:
        """Call an endpoint that streams; see `Context.stream`."""
        return self._caller.stream(target, request, **fields)

    def client(self, api: Callable[..., Api], service: str | None = None) -> Api:
        """A typed client; see `Context.client`."""
        return self._caller.client(api, service)

    @property
    def events(self) -> Events:
        """Durable topics; see `Context.events`."""
        return self._caller.events

    def options(
        self, *, timeout: float | None = None, metadata: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> Caller:
        """A caller with settings of its own; see `Context.options`."""
        return self._caller.options(timeout=timeout, metadata=metadata, namespace=namespace)

    def advance(self, seconds: float) -> None:
        """Move the time on: what falls due on the way happens.

        Raises:
            TypeError: the platform was given a clock that moves by itself.
        """
        if not isinstance(self.clock, ManualClock):
            raise TypeError("this platform was booted with a clock that moves by itself")
        self.clock.advance(seconds)

    # -- the inside ----------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """End all services at once."""
        for drain in list(self._draining):
            drain.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)
        served, self._served = self._served, []
        await asyncio.gather(*(one.cancel() for one in served))

    async def _start(self, service: Service, placement: InProcess) -> Served:
        served = Served(service, placement, self.clock, lambda target: self.faults.front(target, placement.node))
        await served.start()
        self._served.append(served)
        await self._booted.state.scheduler.settled()
        return served

    def _activate(self, nodes: list[Served]) -> list[Link]:
        """Let nodes take the calls, in one turn of the loop. Returns the ways to those whose place they take."""
        gone: list[Link] = []
        for namespace in {one.placement.namespace for one in nodes}:
            found = [self._booted.registry.find(namespace, one.node) for one in nodes]
            gone += self._booted.membership.activate([lease for lease in found if lease is not None], [])
        return gone

    def _next(self, old: Served) -> InProcess:
        """The place of the next generation of a node, with a ticket as the runtime gives it."""
        placement, generation = old.placement, old.generation + 1
        ticket = self._booted.nodes.tickets.start(placement.namespace, old.name, old.node, generation)
        return msgspec.structs.replace(placement, generation=generation, ticket=Hidden(ticket))

    async def _drain(self, old: Served, link: Link | None) -> None:
        try:
            if link is not None:
                await self._booted.membership.drain(link, DRAIN_GRACE)
                await old.ended()
        finally:
            await old.cancel()
            self._booted.nodes.tickets.end(old.placement.namespace, old.node, old.generation)

    async def _break_connections(self, service: str) -> None:
        nodes = self._nodes(service)
        await asyncio.gather(*(served.come_back() for served in nodes))
        self._activate([served for served in nodes if served.generation])

    def _nodes(self, service: Service | str) -> list[Served]:
        name = service if isinstance(service, str) else service.name
        found = [served for served in self._served if served.name == name]
        if not found:
            raise errors.ServiceNotFound(f'Service "{name}" is not served by this test')
        return found


class _Through:
    """The transport of the test's own calls: each goes through the platform, so that what it does to them shows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.loop = asyncio.get_running_loop()

    def send(self, call: Call) -> None:
        """See `Transport`."""
        self._connection.start(call)


async def _close(client: Connection) -> None:
    client.close()
    await client.closed
