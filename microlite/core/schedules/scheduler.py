"""Runs what is due: claims each due time on disk, then has the call made; and what people do with schedules."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import msgspec

from microlite.core import errors
from microlite.core.description.structs import Overlap
from microlite.core.engine.api import Put
from microlite.core.schedules.api import Outcome, Run, Source
from microlite.core.schedules.book import Book
from microlite.core.schedules.claims import claim, claim_now
from microlite.core.schedules.declarations import declared, reconcile
from microlite.core.schedules.ledger import Ledger, changed
from microlite.core.schedules.overview import Overview, due_of, trouble_of
from microlite.core.schedules.planner import Planner, times_of
from microlite.core.schedules.records import OpenRun, Stored, decode_stored
from microlite.core.schedules.runs import AGAIN, Runs
from microlite.core.schedules.timer import DueTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.context import Account, Origin
    from microlite.core.description.structs import ServiceDescription
    from microlite.core.engine.api import Engine
    from microlite.core.schedules.authority import Authority
    from microlite.core.schedules.reach import Reach

TAKERS: Final = 64
"""Schedules that are claimed at the same time: their commits become few."""

log = logging.getLogger("microlite.schedules")


class Scheduler:
    """The schedules of a platform.

    Args:
        engine: keeps them.
        clock: the time.
        reach: the services.
        authority: says with which rights calls are made.
        audit: writes down what is done to schedules of others.

    Attributes:
        planner: plans changes, for a commit or as part of one.
        overview: shows them.
    """

    def __init__(self, engine: Engine, clock: Clock, reach: Reach, authority: Authority, audit: Audit) -> None:
        self._clock = clock
        self._reach = reach
        self._ledger = Ledger(engine)
        self._book = Book(engine, self._ledger, clock, self._on_due_time)
        self._times = DueTimes(clock, self._on_due, self._book.reread)
        self._runs = Runs(self._ledger, reach, clock, authority, self._tell)
        self.planner = Planner(engine, clock, self, authority, audit)
        self.overview = Overview(self._ledger, self._runs, self.planner, reach, clock)
        self._observers: set[Callable[[str, str], object]] = set()
        self._due: dict[tuple[str, str], None] = {}
        """What is due and not claimed, in order."""
        self._absent: dict[tuple[str, str], set[str]] = {}
        """By service, the schedules that are due and wait for a node."""
        self._arrived: dict[tuple[str, str], None] = {}
        self._plain: set[tuple[str, str]] = set()
        """Services whose code declares nothing, as far as was looked at."""
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._takers: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovered = asyncio.Event()
        self._stopped = False
        self._unwatch: Callable[[], None] = lambda: None
        self._arriving: asyncio.Task[None] | None = None

    # -- from start to end ---------------------------------------------------------------------------------------------

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin: what was interrupted is told or run again, what was missed is made up for as declared.

        Args:
            group: ends with a fault when that cannot be read.
        """
        self._unwatch = self._reach.watch(self._on_arrival)
        self._tasks.add(group.create_task(self._recover(), name="microlite: recover schedules"))

    def stop(self) -> None:
        """Begin no more runs. What runs goes on."""
        self._stopped = True
        self._unwatch()
        self._times.close()
        self._due.clear()
        self._runs.stop()

    async def close(self) -> None:
        """Let go of all. A run that has not ended is told as interrupted at the next start."""
        self.stop()
        tasks = [*self._takers, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runs.close()
        await self._book.close()

    async def _recover(self) -> None:
        namespaces = await self._ledger.namespaces()
        for namespace in namespaces:
            for one in await self._ledger.open_runs(namespace):
                if one.run.outcome is Outcome.RUNNING and not one.idempotent:
                    error = "the platform ended while it ran"
                    await self._ledger.end(
                        namespace, changed(one, Outcome.INTERRUPTED, ended=self._clock.now(), error=error)
                    )
                    continue
                self._runs.add(namespace, changed(one, Outcome.WAITING))
        await self._book.begin(namespaces)
        self._recovered.set()

    def _lock(self, namespace: str, name: str) -> asyncio.Lock:
        """Held while it is decided whether a schedule runs, so that two decisions know of each other."""
        key = (namespace, name)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"microlite: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._takers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._stopped:
            log.error("schedules: a fault in %s", task.get_name(), exc_info=error)

    async def settled(self) -> None:
        """Return when the schedules of all services that have come so far are known."""
        while self._arriving is not None and not self._arriving.done():
            await asyncio.wait({self._arriving})

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _on_due_time(self, namespace: str, name: str, due: float) -> None:
        key = (namespace, name)
        if due and not self._stopped:
            self._times.set(key, due)
        else:
            self._times.discard(key)
            self._due.pop(key, None)
        self._tell(namespace, name)

    def _on_due(self, key: tuple[str, str]) -> None:
        if self._stopped:
            return
        self._due[key] = None
        if len(self._takers) < TAKERS:
            taker = asyncio.create_task(self._take_all(), name="microlite: claim schedules")
            self._takers.add(taker)
            taker.add_done_callback(self._on_task_done)

    async def _take_all(self) -> None:
        while self._due and not self._stopped:
            namespace, name = key = next(iter(self._due))
            del self._due[key]
            try:
                async with self._lock(namespace, name):
                    await self._take(namespace, name)
            except errors.Conflict:
                pass  # somebody has changed it, and so it was read again
            except errors.Error as error:
                log.error("the schedule %s could not be run, and is tried again: %s", name, error.detail)
                self._on_due_time(namespace, name, self._clock.now() + AGAIN)

    async def _take(self, namespace: str, name: str) -> None:
        found = await self._ledger.get(namespace, name)
        if found is None:
            return
        stored, revision = found
        if not self._reach.available(namespace, stored.service):
            self._absent.setdefault((namespace, stored.service), set()).add(name)
            self._tell(namespace, name)
            return
        running, waiting = self._runs.count(namespace, name)
        claimed = claim(
            stored,
            self._clock.now(),
            unfinished=running + waiting,
            waiting=waiting,
            new_id=self._clock.new_id,
        )
        if claimed is None:
            if stored.due and not stored.paused:
                self._times.set((namespace, name), stored.due)
            return
        lost = [run for run in claimed.runs if run.outcome is not Outcome.WAITING]
        begun = [_open(stored, run, claimed.order) for run in claimed.runs if run.outcome is Outcome.WAITING]
        begun = [
            self._runs.begun(namespace, one) if self._runs.starts_at_once(namespace, one, ahead) else one
            for ahead, one in enumerate(begun)
        ]
        await self._ledger.claim(namespace, name, revision, claimed.stored, begun, lost)
        for one in begun:
            self._runs.add(namespace, one)

    # -- services that come ---------------------------------------------------------------------------------------------

    def _on_arrival(self, namespace: str, service: str) -> None:
        if self._stopped:
            return
        self._arrived[namespace, service] = None
        if self._arriving is None or self._arriving.done():
            self._arriving = self._spawn(self._receive_all(), "schedules of services that came")

    async def _receive_all(self) -> None:
        await self._recovered.wait()
        while self._arrived and not self._stopped:
            namespace, service = key = next(iter(self._arrived))
            del self._arrived[key]
            description = self._reach.describe(namespace, service)
            if description is not None:
                try:
                    await self._declare(namespace, description)
                except errors.Conflict:
                    self._arrived[key] = None  # somebody was faster: look again
                    continue
                except errors.Error as error:
                    log.error("the schedules of %s could not be kept, which is tried again: %s", service, error.detail)
                    self._clock.call_later(AGAIN, partial(self._on_arrival, namespace, service))
            for name in self._absent.pop(key, ()):
                self._on_due((namespace, name))
            self._runs.arrived(namespace, service)

    async def _declare(self, namespace: str, description: ServiceDescription) -> None:
        wanted = declared(description)
        key = (namespace, description.name)
        if wanted:
            self._plain.discard(key)
            await self._book.prepare(namespace)
        elif key in self._plain:
            return
        names = {*await self._book.declared(namespace, description.name), *wanted}
        if names:
            present = await self._ledger.get_many(namespace, sorted(names))
            for name, (stored, _) in list(present.items()):
                if stored.source is not Source.CODE:
                    del present[name]
            operations = reconcile(namespace, description, present, self._clock.now())
            await self._ledger.commit(namespace, operations)
            for operation in operations:  # the book reads them too; until then no time must pass unseen
                if isinstance(operation, Put):
                    self._on_due_time(namespace, operation.key, due_of(decode_stored(operation.value)))
            for name, (_, every) in wanted.items():
                trouble = trouble_of(every)
                if trouble:
                    log.error("the schedule %s never runs: %s", name, trouble)
        if not wanted:
            self._plain.add(key)

    # -- what the planner asks -----------------------------------------------------------------------------------------

    async def prepare(self, namespace: str) -> None:
        """See `planner.Surroundings`."""
        await self._recovered.wait()
        await self._book.prepare(namespace)

    def describe(self, namespace: str, service: str) -> ServiceDescription | None:
        """See `planner.Surroundings`."""
        return self._reach.describe(namespace, service)

    # -- what people do ------------------------------------------------------------------------------------------------

    def observe(self, observer: Callable[[str, str], object]) -> Callable[[], None]:
        """Call `observer` with namespace and name of each schedule that changes, or a run of which does.

        Returns:
            The way to stop it.
        """
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def _tell(self, namespace: str, name: str) -> None:
        for observer in list(self._observers):
            observer(namespace, name)

    async def pause(self, origin: Origin, account: Account, name: str) -> None:
        """Let its times pass, until `resume`."""
        await self._change(origin, account, name, paused=True)

    async def resume(self, origin: Origin, account: Account, name: str) -> None:
        """Run it at its times again, from the next one on."""
        await self._change(origin, account, name, paused=False)

    async def _change(self, origin: Origin, account: Account, name: str, *, paused: bool) -> None:
        stored, record = await self.planner.find(origin, name)
        entry = self.planner.entry(origin, account, stored, "pause" if paused else "resume")
        if stored.paused == paused:
            return
        due = stored.due
        if not paused and stored.source is not Source.ONCE:
            now = self._clock.now()
            due = due if due > now else times_of(stored).after(now, due or None)
        fresh = msgspec.structs.replace(stored, paused=paused, due=due)
        await self._ledger.put(origin.namespace, fresh, record.revision, *entry)

    async def run(self, origin: Origin, account: Account, name: str, *, wait: bool) -> Run:
        """Run it now, whatever time it is, paused or not.

        Returns its run when that was written down or, with `wait`, has ended.

        Raises:
            NotFound: there is none of this name.
            Forbidden: it is that of somebody else, and who asks is no admin.
            Conflict: one of its runs has not ended, and they may not overlap.
            ServiceUnavailable: no node of its service is there.
        """
        await self._recovered.wait()
        namespace = origin.namespace
        stored, _ = await self.planner.find(origin, name)
        async with self._lock(namespace, stored.name):
            one = await self._run_now(origin, account, stored.name)
        return await self._runs.ended(namespace, one.run) if wait else one.run

    async def _run_now(self, origin: Origin, account: Account, name: str) -> OpenRun:
        namespace = origin.namespace
        stored, record = await self.planner.find(origin, name)
        entry = self.planner.entry(origin, account, stored, "run")
        if not self._reach.expected(namespace, stored.service):
            absence = self._reach.absence(namespace, stored.service)
            raise errors.ServiceUnavailable(f"{stored.name} cannot run: {absence}")
        running, waiting = self._runs.count(namespace, stored.name)
        run, hindrance = claim_now(
            stored,
            self._clock.now(),
            origin.account or origin.service,
            unfinished=running + waiting,
            waiting=waiting,
            id=self._clock.new_id(),
        )
        if hindrance:
            raise errors.Conflict(f"{stored.name} cannot run now: {hindrance}")
        one = _open(stored, run, order=stored.overlap is Overlap.QUEUE)
        if self._runs.starts_at_once(namespace, one):
            one = self._runs.begun(namespace, one)
        single = stored.source is Source.ONCE
        await self._ledger.claim(namespace, stored.name, record.revision, None, [one], keep=not single, beside=entry)
        self._runs.add(namespace, one)
        return one


def _open(stored: Stored, run: Run, order: bool) -> OpenRun:
    return OpenRun(
        run=run,
        service=stored.service,
        endpoint=stored.endpoint,
        payload=stored.payload,
        timeout=stored.timeout,
        retries=stored.retries,
        backoff=stored.backoff,
        account=stored.account,
        order=order,
        single=stored.source is Source.ONCE,
    )
