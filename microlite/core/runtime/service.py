"""The built-in service `runtime`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.runtime.api import Happening, NodeStatus, RunRequest, ServiceStatus, Topic
from microlite.core.runtime.lines import Line
from microlite.core.runtime.states import State

if TYPE_CHECKING:
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.logs import Logs
    from microlite.core.runtime.runtime import Runtime

MAX_WAITING: Final = 5_000
"""Happenings that wait for a session that does not read; then its log lines are dropped, and nothing else is."""


def runtime_service(runtime: Runtime, registry: Registry, logs: Logs) -> Service:
    """Make the service over what one platform runs."""
    service = Service("runtime", doc="Runs services: starts, reloads, watches and ends their processes.", built_in=True)

    @service.endpoint(role=Role.ADMIN)
    async def run(ctx: Context, request: RunRequest) -> list[ServiceStatus]:
        """Run services detached: until they are killed, across restarts of the platform.

        Returns when each is running or has failed for the first time; `status` and `error` say which.

        Args:
            request: what to run, and how.
        """
        wanted = await asyncio.to_thread(runtime.find, request, ctx.namespace, detached=True, owner=_owner(ctx))
        runners = await runtime.run(wanted)
        await asyncio.gather(*(runner.settled() for runner in runners))
        return [runner.status() for runner in runners]

    @service.endpoint(role=Role.ADMIN)
    async def session(ctx: Context, request: RunRequest) -> AsyncIterator[Happening]:
        """Run services for as long as this stream is read, and tell what happens to them: states, reloads, log lines.

        Args:
            request: what to run, and how.
        """
        wanted = await asyncio.to_thread(runtime.find, request, ctx.namespace, detached=False, owner=_owner(ctx))
        happenings: asyncio.Queue[Happening | None] = asyncio.Queue()
        runners = await runtime.run(wanted)
        stops = [runtime.listen(runner, happenings.put_nowait) for runner in runners]
        tasks = [
            asyncio.get_running_loop().create_task(
                _forward_log(logs, ctx.namespace, name, happenings), name=f"microlite: session log of {name}"
            )
            for name in dict.fromkeys(runner.desired.name for runner in runners)
        ]
        left = len(runners)

        def on_finished(_: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            if not left:
                happenings.put_nowait(None)

        for runner in runners:
            runner.finished.add_done_callback(on_finished)
        try:
            while (happening := await happenings.get()) is not None:
                yield happening
        finally:
            for stop in stops:
                stop()
            for task in tasks:
                task.cancel()
            for runner in runners:
                runner.stop()  # the runner's own task sees to the rest, whether or not this one is canceled

    @service.endpoint(role=Role.ADMIN)
    async def update(ctx: Context, service: str, version: str = "") -> list[ServiceStatus]:
        """Load the code of a service anew; the old nodes serve until the new ones do.

        Args:
            service: its name.
            version: only this version of it.
        """
        return await runtime.update(ctx.namespace, service, version)

    @service.endpoint(role=Role.ADMIN)
    async def kill(ctx: Context, services: list[str]) -> list[str]:
        """Drain and end services; returns their names when their processes are gone.

        Args:
            services: names, each with an optional `@version`.
        """
        return await runtime.kill(ctx.namespace, services)

    @service.endpoint(role=Role.ADMIN, reads=True)
    async def status(ctx: Context, service: str = "", version: str = "") -> list[ServiceStatus]:
        """List what runs: states, nodes, restarts and the reasons for them.

        Args:
            service: only this one; all without it.
            version: only this version of it.
        """
        found = [runner.status() for runner in runtime.matching(ctx.namespace, service, version)]
        managed = {node.id for status in found for node in status.nodes}
        for record in registry.services(ctx.namespace):
            if service in ("", record.name) and version in ("", record.version):
                nodes = tuple(
                    NodeStatus(
                        id=node.id,
                        generation=node.generation,
                        state=State.RUNNING,
                        pid=node.pid,
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
        if service and not found:
            raise errors.ServiceNotFound(f'Service "{service}" not found')
        return sorted(found, key=lambda status: (status.name, status.version))

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


async def _forward_log(logs: Logs, namespace: str, name: str, happenings: asyncio.Queue[Happening | None]) -> None:
    dropped = 0
    async with logs.of(namespace, name).follow() as following:
        async for line in following:
            if happenings.qsize() >= MAX_WAITING:
                dropped += 1
                continue
            if dropped:
                text = f"… {dropped} lines dropped here: they came faster than they were read"
                happenings.put_nowait(Happening(at=line.at, topic=Topic.PROGRESS, service=name, text=text))
                dropped = 0
            happenings.put_nowait(Happening(at=line.at, topic=Topic.LOG, service=name, node=line.node, line=line))


def _owner(ctx: Context) -> str:
    return ctx.account.id if ctx.account is not None else ""
