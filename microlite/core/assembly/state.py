"""What the state services are over: store, events, broker, config, schedules and tx, all on one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.assembly.configuration import assemble_configuration
from microlite.core.audit.audit import Audit
from microlite.core.audit.retention import Keep, Retention
from microlite.core.broker.broker import Broker
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.core.events.consumers import Consumers
from microlite.core.events.events import Events
from microlite.core.schedules.authority import Authority
from microlite.core.schedules.reach import Reach
from microlite.core.schedules.scheduler import Scheduler
from microlite.core.settings import DATABASE
from microlite.core.store.blobs import Blobs
from microlite.core.store.records import Records
from microlite.core.tx.gate import CallGate
from microlite.core.tx.plans import Planners
from microlite.core.tx.transactions import Transactions

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from contextlib import AsyncExitStack
    from pathlib import Path

    from microlite.core.clock import Clock
    from microlite.core.network.membership import Membership
    from microlite.core.network.router import Router
    from microlite.core.policy.permits import Permits
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.runtime import Runtime
    from microlite.core.runtime.watcher import Watcher
    from microlite.core.schedules.authority import Resolve
    from microlite.core.settings import ServerOptions


class State:
    """The logic of the state services of one platform. Making it opens nothing; `open` comes first, then `complete`.

    Args:
        home: holds the database, and the key of secrets.
        clock: stamps what is kept, and says when things are due.
        registry: tells what services declare.
        router: makes calls.
        membership: tells which nodes are there.
        permits: the rules of all namespaces.
        resolve: an account as it is now, by namespace, id and type.

    Attributes:
        configuration, configuration_views, scheduler, transactions: from `complete` on.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock,
        registry: Registry,
        router: Router,
        membership: Membership,
        permits: Permits,
        resolve: Resolve | None = None,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._router = router
        self._membership = membership
        self.permits = permits
        self.resolve = resolve
        self.engine = SQLiteEngine(home / DATABASE, clock)
        self.audit = Audit(self.engine)
        self.records = Records(self.engine, clock)
        self.blobs = Blobs(self.engine, clock)
        self.events = Events(self.engine, clock)
        self.broker = Broker(self.engine, membership, clock)

    async def open(self, stack: AsyncExitStack) -> None:
        """Open the database, and have events delivered from here on; the stack ends that."""
        await stack.enter_async_context(self.engine)
        await stack.enter_async_context(self.blobs)
        await stack.enter_async_context(self.events)
        consumers = Consumers(self.events, self._membership, self._router.send, self.permits)
        self.events.run_beside(consumers.run(), "deliver events")

    async def complete(
        self,
        options: ServerOptions,
        environ: Mapping[str, str],
        watcher: Watcher,
        runtime: Runtime,
        group: asyncio.TaskGroup,
        stack: AsyncExitStack,
    ) -> None:
        """Make what needs to know the projects that run; see `assemble_configuration`. Starts no schedule yet."""
        self.configuration, self.configuration_views = await assemble_configuration(
            self.engine, self.audit, self._registry, self._clock, options, environ, watcher, runtime, group, stack
        )
        keep = Keep(age=options.audit_days * 86_400.0, size=options.audit_size << 20)
        retention = Retention(self.engine, self._clock, self.audit, keep)
        task = group.create_task(retention.run(), name="microlite: look after the audit log")
        stack.callback(task.cancel)
        reach = Reach(self._membership, self._router, self._registry)
        self.scheduler = Scheduler(
            self.engine, self._clock, reach, Authority(self.permits, reach.endpoint, self.resolve), self.audit
        )
        stack.push_async_callback(self.scheduler.close)
        planners = Planners(self.records, self.blobs, self.events, self.configuration, self.scheduler.planner)
        self.transactions = Transactions(
            self.engine, self._clock, planners, CallGate(self.permits, self._registry.built_in)
        )
