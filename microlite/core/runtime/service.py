"""The built-in service `runtime`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.runtime.api import Happening, NodeStatus, RunRequest, ServiceStatus
from microlite.core.runtime.lines import Line
from microlite.core.runtime.preparation import Preparation
from microlite.core.runtime.session import Session
from microlite.core.runtime.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microlite.core.audit.audit import Audit
    from microlite.core.audit.entries import Value
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.logs import Log, Logs
    from microlite.core.runtime.runtime import Runtime

_USER: Final = re.compile(r"//[^/@]*@")


def runtime_service(runtime: Runtime, registry: Registry, logs: Logs, audit: Audit) -> Service:
    """Make the service over what one platform runs."""
    service = Service("runtime", doc="Runs services: starts, reloads, watches and ends their processes.", built_in=True)

    @service.endpoint(role=Role.PLATFORM)
    async def run(ctx: Context, request: RunRequest) -> list[ServiceStatus]:
        """Run services detached: until they are killed, across restarts of the platform.

        Returns when each is running or has failed for the first time; `status` and `error` say which.

        Args:
            request: what to run, and how.
        """
        wanted = await runtime.finder.find(request, ctx.namespace, detached=True, owner=_owner(ctx))
        await audit.note(ctx.origin, "runtime.run", _resource(wanted), **_ran(request, wanted))
        runners = await runtime.run(wanted)
        await asyncio.gather(*(runner.settled() for runner in runners))
        return [runner.status() for runner in runners]

    @service.endpoint(role=Role.PLATFORM)
    async def session(ctx: Context, request: RunRequest) -> AsyncIterator[Happening]:
        """Run services for as long as this stream is read, and tell what happens to them: states, reloads, log lines.

        Args:
            request: what to run, and how.
        """
        find = partial(runtime.finder.find, request, ctx.namespace, detached=False, owner=_owner(ctx))
        finding = Preparation(find, runtime.clock)
        async with finding as happenings:
            async for happening in happenings:
                yield happening
        await audit.note(ctx.origin, "runtime.session", _resource(finding.found), **_ran(request, finding.found))
        async with Session(runtime, logs, finding.found, find if request.watch else None) as happenings:
            async for happening in happenings:
                yield happening

    @service.endpoint(role=Role.ADMIN)
    async def update(ctx: Context, service: str, version: str = "", instances: int = 0) -> list[ServiceStatus]:
        """Load the code of a service anew; the old nodes serve until the new ones do.

        Returns when that is done or has failed: then `error` says why.

        Args:
            service: its name.
            version: only this version of it.
            instances: how many nodes it has from now on; 0 for as many as before.
        """
        runtime.check_runs(ctx.namespace, service, version)
        await audit.note(ctx.origin, "runtime.update", f"service:{service}", version=version, instances=instances)
        return await runtime.update(ctx.namespace, service, version, instances)

    @service.endpoint(role=Role.ADMIN)
    async def kill(ctx: Context, services: list[str]) -> list[str]:
        """Drain and end services; returns their names when their processes are gone.

        Args:
            services: names, each with an optional `@version`.
        """
        for name, _, version in (one.partition("@") for one in services):
            runtime.check_runs(ctx.namespace, name, version)
        for one in services:
            await audit.note(ctx.origin, "runtime.kill", f"service:{one}")
        return await runtime.kill(ctx.namespace, services)

    @service.endpoint(role=Role.ADMIN, reads=True)
    async def status(ctx: Context, service: str = "", version: str = "") -> list[ServiceStatus]:
        """List what runs: states, nodes, restarts and the reasons for them.

        Args:
            service: only this one; all without it.
            version: only this version of it.
        """
        found = _statuses(runtime, registry, ctx.namespace, service, version)
        if service and not found:
            raise errors.ServiceNotFound(f'Service "{service}" not found')
        return found

    @service.endpoint(role=Role.ADMIN, reads=True)
    async def watch(ctx: Context, service: str = "") -> AsyncIterator[list[ServiceStatus]]:
        """Stream what runs: the list as `status` gives it, now and after each change; changes that come together make one.

        Args:
            service: only this one; all without it. A service that is gone leaves the list empty.
        """
        changed = asyncio.Event()

        def on_change(namespace: str, name: str) -> None:
            if namespace == ctx.namespace and service in ("", name):
                changed.set()

        stops = [
            runtime.observe(on_change),
            registry.watch(lambda namespace, event: on_change(namespace, event.service.name)),
        ]
        try:
            while True:
                changed.clear()
                yield _statuses(runtime, registry, ctx.namespace, service)
                await changed.wait()
        finally:
            for stop in stops:
                stop()

    @service.endpoint(role=Role.SERVICE, name="breakpoint")
    async def hold(ctx: Context, service: str, node: str) -> AsyncIterator[bool]:
        """Say that a node stands at a breakpoint, for as long as this stream is read: its silence is no failure then.

        The first item says that it is known.

        Args:
            service: its name.
            node: the id of the node.
        """
        if ctx.account is not None and ctx.account.is_service and ctx.account.id != service:
            raise errors.Forbidden(f"{ctx.account.id} can say this of its own nodes, and not of those of {service}")
        runs = [run for runner in runtime.matching(ctx.namespace, service) if (run := runner.node(node)) is not None]
        if not runs:
            raise errors.NotFound(f"{node} is no node of {service} that this platform runs")
        with runs[0].at_breakpoint():
            yield True
            await asyncio.Event().wait()

    @service.endpoint(role=Role.ADMIN, reads=True, name="logs")
    async def read_logs(
        ctx: Context, service: str, lines: int = 15, follow: bool = False, since: float = 0.0, node: str = ""
    ) -> AsyncIterator[Line]:
        """Stream the log of a service: its last lines, and with `follow` each further one.

        Args:
            service: its name.
            lines: so many of the last ones at most; with `since`, 0 for all.
            follow: whether to go on with what comes.
            since: seconds since the Unix epoch; nothing older.
            node: only the lines of this node.
        """
        if lines < 0:
            raise errors.BadRequest(f"lines: expected a number of 0 or more, got {lines}")
        if service not in logs.known(ctx.namespace) and not runtime.matching(ctx.namespace, service):
            registry.get(ctx.namespace, service)  # no such service at all: says so
            raise errors.NotFound(
                f"Logs not found for service {service}: it was started by hand, and writes to its own terminal"
            )
        log = logs.of(ctx.namespace, service)
        if node:
            await _check_node(node, log, service, _statuses(runtime, registry, ctx.namespace, service))
        last = lines if lines or not since else None
        if not follow:
            found = await log.since(since, last=last, node=node) if since else await log.tail(lines, node=node)
            for line in found:
                yield line
            return
        async with log.follow(last=last, since=since or None, node=node) as following:
            async for line in following:
                yield line

    return service


def _statuses(
    runtime: Runtime, registry: Registry, namespace: str, service: str = "", version: str = ""
) -> list[ServiceStatus]:
    """What the platform runs, and what was started by hand, by name and version."""
    found = [runner.status() for runner in runtime.matching(namespace, service, version)]
    managed = {node.id for status in found for node in status.nodes}
    for record in registry.services(namespace):
        if service in ("", record.name) and version in ("", record.version):
            nodes = tuple(
                NodeStatus(
                    id=node.id,
                    generation=node.generation,
                    state=State.RUNNING,
                    pid=node.pid or None,
                    started=node.started,
                    healthy=node.started,
                )
                for node in record.nodes
                if node.id not in managed
            )
            if nodes:
                found.append(
                    ServiceStatus(
                        name=record.name,
                        version=record.version,
                        state=State.RUNNING,
                        nodes=nodes,
                        updated=max(node.started for node in nodes),
                        metadata=record.metadata,
                        managed=False,
                    )
                )
    return sorted(found, key=lambda status: (status.name, status.version))


async def _check_node(node: str, log: Log, service: str, statuses: list[ServiceStatus]) -> None:
    """Raise NotFound for a node that is none of the service and has written nothing into its log."""
    running = {one.id for status in statuses for one in status.nodes}
    if node in running:
        return
    written = {line.node for line in await log.since(0.0)} - {""}
    if node not in written:
        known = ", ".join(sorted(running | written)) or "none"
        raise errors.NotFound(f"service {service} has no node {node!r}; its nodes are: {known}")


def _resource(wanted: Sequence[Desired]) -> str:
    return f"service:{wanted[0].key if len(wanted) == 1 else ''}"


def _ran(request: RunRequest, wanted: Sequence[Desired]) -> dict[str, Value]:
    """What the audit log says of services that are started; neither variables nor what stands in an address before @."""
    return {
        "services": [one.key for one in wanted],
        "sources": [_USER.sub("//", source) for source in request.sources],
        "command": bool(request.command) or None,
        "debug": request.debug or None,
    }


def _owner(ctx: Context) -> str:
    return ctx.account.id if ctx.account is not None else ""
