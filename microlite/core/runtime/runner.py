"""Keeps one service running as it is desired: its nodes, their generations, their failures, their replacement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.runtime.backoff import GiveUp
from microlite.core.runtime.batch import Batch
from microlite.core.runtime.chronicle import Chronicle
from microlite.core.runtime.drains import Drains
from microlite.core.runtime.launch.api import LaunchError
from microlite.core.runtime.node_failure import NodeFailed, failure_of
from microlite.core.runtime.renewal import Overtaken, Renewal
from microlite.core.runtime.rollout import Rollout
from microlite.core.runtime.slot import Slot
from microlite.core.runtime.states import SERVING, Event, State, summarise
from microlite.core.runtime.syntax import syntax_error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable

    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.api import Desired, Happening, ServiceStatus
    from microlite.core.runtime.backoff import Retry
    from microlite.core.runtime.gates import Gates
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.node_run import NodeRun

Prepared = tuple[str, dict[str, str]]
"""The interpreter of a node, and the variables that it sees."""


class Runner:
    """One service.

    One task (`reconcile`) decides all that happens to it. What takes long runs in tasks of their own, which this one owns:
    at most one renewal of the whole service, starts in vacant slots, drains.

    Args:
        desired: what is wanted.
        machinery: what all runners share.
        gates: hold it back until what it depends on is healthy.
        on_happening: is told each thing that a session wants to know.
    """

    def __init__(
        self, desired: Desired, machinery: Machinery, gates: Gates, on_happening: Callable[[Happening], object]
    ) -> None:
        self.desired = desired
        self.stopping = False
        self._end_after: Collection[asyncio.Future[None]] = ()
        self._machinery = machinery
        self._gates = gates
        self._clock = machinery.clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._slots: dict[str, Slot] = {}
        self._adopt(desired)
        self._rollouts: set[Rollout] = set()
        self._batches: set[Batch] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._renewal: Renewal | None = None
        self._failed_renewal: Renewal | None = None
        self._newer = asyncio.Event()
        self._settled = asyncio.Event()
        log = machinery.logs.of(desired.namespace, desired.name)
        self._chronicle = Chronicle(desired, machinery.clock, log, on_happening)
        self._drains = Drains(machinery.patience.drain, self._chronicle.goes_on)
        self.finished: asyncio.Future[None] = self._loop.create_future()

    # -- what others ask ------------------------------------------------------------------------------------------------

    def renew(self, renewal: Renewal) -> None:
        """Start new nodes in place of the present ones. Several requests while one is carried out become one."""
        if self.stopping:
            return
        if self._renewal is not None:
            self._renewal.absorb(renewal)
        else:
            self._renewal = renewal
        self._settled.clear()
        self._newer.set()
        self._wake.set()

    def goes_on(self, text: str) -> None:
        """What is done for it takes long, and this is why."""
        self._chronicle.goes_on(text)

    def stop(self, after: Collection[asyncio.Future[None]] = ()) -> None:
        """Drain and end all nodes; `finished` is set when they are gone. What is being started is given up at once.

        Args:
            after: its nodes serve until these are done: the ends of what depends on it.
        """
        if not self.stopping:
            self._end_after = after
        self.stopping = True
        if self._renewing is not None:
            self._renewing.cancel()
        self._wake.set()

    def abandon(self) -> None:
        """It was never started, and will not be."""
        self.stopping = True
        self._settled.set()
        if not self.finished.done():
            self.finished.set_result(None)

    def look_again(self) -> None:
        """What it waits for may have become healthy, or failed."""
        self._wake.set()

    def cut(self) -> None:
        """Kill all nodes now; what they were doing is lost."""
        for run in self._runs():
            run.kill()

    async def settled(self) -> None:
        """Return when all that was requested was carried out, for better or worse, or the service has ended."""
        await self._settled.wait()

    def claims(self, lease: Lease) -> bool:
        """Whether this registration is one of this service's nodes; if so, it is taken."""
        node = lease.registration.node
        for run in self._runs():
            if run.id == node.id and run.generation == node.generation:
                run.registered(lease)
                return True
        return False

    def node(self, name: str) -> NodeRun | None:
        """The newest node of this id, in whatever state."""
        return max((run for run in self._runs() if run.id == name), key=lambda run: run.generation, default=None)

    def status(self) -> ServiceStatus:
        """The service as `status` shows it."""
        runs = self._runs()
        present = {run.id for run in runs}
        nodes = [run.status() for run in runs]
        if not self.stopping:
            nodes += [slot.status() for slot in self._slots.values() if slot.name not in present]
        status = self._chronicle.status(self.desired, nodes, self._slot_error)
        return msgspec.structs.replace(status, isolation=self._machinery.cells.shown(self.desired))

    def _runs(self) -> list[NodeRun]:
        serving = [slot.run for slot in self._slots.values() if slot.run is not None]
        return [*serving, *(run for rollout in self._rollouts for run in rollout.runs), *self._drains]

    @property
    def _slot_error(self) -> str:
        return next((slot.error for slot in self._slots.values() if slot.error), "")

    @property
    def serves(self) -> bool:
        """Whether one of its nodes takes calls."""
        return any(slot.state in SERVING for slot in self._slots.values())

    @property
    def is_settled(self) -> bool:
        """Whether all that was requested was carried out, for better or worse."""
        return self._settled.is_set()

    # -- the loop -------------------------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Bring what is there to what is wanted, again and again, until `stop`."""
        try:
            self._show()
            await self._until_released()
            while not self.stopping:
                if self._renewal is not None:
                    self._renewing = self._task(self._renew(), "renew")
                    await asyncio.wait({self._renewing})
                    self._renewing = None
                    continue
                self._fill()
                self._settle()
                await self._wake.wait()
                self._wake.clear()
        finally:
            await self._end_all()

    async def _until_released(self) -> None:
        """Wait for what it depends on, once: what happens to that later is no reason to restart this one."""
        try:
            while not self.stopping:
                if self._renewal is not None:
                    await self._redeclare(self._take_renewal())
                held = self._gates.look(self)
                self._chronicle.waits(held)
                if not held.names:
                    return
                if held.stuck:
                    self._settled.set()
                    self._gates.changed()
                await self._wake.wait()
                self._wake.clear()
        finally:
            self._gates.leave(self)

    async def _redeclare(self, renewal: Renewal) -> None:
        """Read the project again before anything was started; the code is read at the start anyway."""
        try:
            if renewal.desired is not None:
                self._adopt(renewal.desired)
            elif renewal.redeclares:
                self._adopt(await self._machinery.finder.again(self.desired))
        except errors.Error as error:
            self._chronicle.goes_on(error.detail)

    def _settle(self) -> None:
        if self._renewal is None and self._renewing is None and not self._batches and not self._settled.is_set():
            self._settled.set()
            self._gates.changed()

    def _adopt(self, desired: Desired) -> list[Slot]:
        """Want this from now on, in as many slots. Returns those that are too many, taken out."""
        self.desired = desired
        policy = self._machinery.patience.retry
        names = node_names(desired)
        surplus = [slot for name, slot in self._slots.items() if name not in names]
        for slot in surplus:
            slot.close()
        self._slots = {name: self._slots.get(name) or Slot(name, self._clock, policy, self._wake.set) for name in names}
        return surplus

    # -- vacant slots ---------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start the nodes that are missing and due."""
        due = [slot for slot in self._slots.values() if slot.due]
        if not due or self.stopping:
            return
        batch = Batch(due)
        self._batches.add(batch)
        batch.task = self._task(self._start(batch), "start")

    async def _start(self, batch: Batch) -> None:
        try:
            prepared = await self._build(self.desired, batch.slots)
            batch.built()
            for slot in batch.slots:
                slot.advance(Event.START)
            self._show()
            await asyncio.gather(*(self._start_one(slot, prepared) for slot in batch.slots))
        except asyncio.CancelledError:
            for slot in batch.slots:
                if slot.run is None:
                    slot.vacate()  # newer code is to be started, or none any more
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the reconcile loop: told and logged
            self._fail(batch.slots, failure_of(error, self._clock.now(), self.desired))
        finally:
            batch.over()
            self._batches.discard(batch)
            self._wake.set()

    async def _start_one(self, slot: Slot, prepared: Prepared) -> None:
        try:
            runs = await self._bring_up(self.desired, [slot.name], prepared)
        except (NodeFailed, LaunchError) as error:
            self._fail([slot], failure_of(error, self._clock.now(), self.desired))
        else:
            self._chronicle.restarts += bool(slot.error)
            self._chronicle.error = ""  # this is the newest code, and it runs
            self._take_over(runs, [])

    async def _build(self, desired: Desired, slots: Iterable[Slot]) -> Prepared:
        """The interpreter and the variables of the nodes, made where they are not there."""

        def progress(text: str) -> None:
            for slot in slots:
                if slot.state is State.PENDING:
                    slot.advance(Event.BUILD)
            self._show()
            self._chronicle.goes_on(text)

        return await self._machinery.environment_of(desired, progress)

    async def _bring_up(
        self, desired: Desired, names: list[str], prepared: Prepared, newer: asyncio.Event | None = None
    ) -> list[NodeRun]:
        """See `Rollout.rise`; gives the nodes, for which the caller finds their place at once."""
        rollout = Rollout(desired, names, self._machinery, self._on_exit, self._show)
        self._rollouts.add(rollout)
        try:
            await rollout.rise(*prepared, newer)
        finally:
            self._rollouts.discard(rollout)
        return rollout.runs

    # -- new code -------------------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        """New nodes beside the old; the old ones go only when the new ones are healthy."""
        renewal = self._take_renewal()
        if self._failed_renewal is not None:
            renewal.inherit(self._failed_renewal)
        try:
            for batch in list(self._batches):
                await batch.call_off(at_once=renewal.declares)
            if self._drains.full:
                self._chronicle.goes_on("waits until calls to earlier code have ended")
                await self._drains.room()
            for slot in self._slots.values():
                slot.reset()
            while True:
                desired = renewal.desired or self.desired
                if renewal.redeclares:
                    desired = await self._machinery.finder.again(desired)
                prepared = await self._build(desired, self._slots.values())
                if self._renewal is None:
                    break
                renewal.absorb(self._take_renewal())  # it came before anything was started: one start does for both
            await self._swap(renewal, desired, prepared)
        except Overtaken:
            pass  # the newer code is next
        except Exception as error:  # noqa: BLE001 - the edge of the reconcile loop: told and logged
            self._renewal_failed(renewal, failure_of(error, self._clock.now(), self.desired))

    def _take_renewal(self) -> Renewal:
        renewal, self._renewal = self._renewal, None
        self._newer.clear()
        assert renewal is not None
        return renewal

    async def _swap(self, renewal: Renewal, desired: Desired, prepared: Prepared) -> None:
        if desired.exclusive and self.serves:
            files = {*renewal.changed, desired.source.entry}
            wrong = await asyncio.to_thread(syntax_error, desired.source.folder, sorted(files))
            if wrong:
                raise errors.Unprocessable(wrong)
            self._chronicle.goes_on("the old code ends before the new one starts; calls wait")
            await self._retire()
        before = max((run.generation for run in self._runs()), default=0)
        if not self.serves:
            self._adopt(desired)  # also if it does not come up: the next try is for this
            for slot in self._slots.values():
                slot.vacate()
                slot.advance(Event.START)
            self._show()
        runs = await self._bring_up(desired, node_names(desired), prepared, self._newer)
        self._failed_renewal = None
        self._take_over(runs, self._adopt(desired))
        self._chronicle.reloaded(renewal, before)

    def _take_over(self, runs: list[NodeRun], surplus: list[Slot]) -> None:
        """Switch the routes to healthy nodes, in one turn of the loop, and let those before finish."""
        leases = [run.lease for run in runs if run.lease is not None]
        old = [slot.run for slot in surplus if slot.run is not None]
        gone = self._machinery.membership.activate(leases, [run.id for run in old])
        for run in runs:
            run.advance(Event.HEALTHY)
            before = self._slots[run.id].occupy(run)
            if before is not None:
                old.append(before)
            if run.lease is not None and not self.desired.asked.version:
                self._chronicle.version = run.lease.registration.service.version
        self._drains.begin(old, gone)
        self._show()

    # -- failures -------------------------------------------------------------------------------------------------------

    def _on_exit(self, run: NodeRun, failure: NodeFailed) -> None:
        """A node that took calls ended by itself."""
        slot = self._slots.get(run.id)
        if slot is not None and slot.run is run:
            self._fail([slot], failure)

    def _fail(self, slots: list[Slot], failure: NodeFailed) -> None:
        """These slots have no node because of this; try again later, or no more."""
        reason = str(failure)
        verdicts = [slot.fail(reason, final=failure.final) for slot in slots]
        text = _outcome(reason, verdicts[0])  # what is said of one holds for all
        self._chronicle.failed(failure, text, slots[0].name if len(slots) == 1 else "")
        self._show()

    def _renewal_failed(self, renewal: Renewal, failure: NodeFailed) -> None:
        self._failed_renewal = renewal
        story = msgspec.structs.replace(failure.story, changed=tuple(sorted(renewal.changed)))
        failure = NodeFailed(str(failure), story, final=failure.final)
        vacant = [slot for slot in self._slots.values() if slot.run is None]
        if self.serves:
            self._chronicle.error = str(failure)
            self._chronicle.failed(failure, f"{failure}; the code before serves on")
            for slot in vacant:
                slot.vacate()
            self._show()
        else:
            self._chronicle.error = ""
            self._fail(vacant, failure)

    # -- the end --------------------------------------------------------------------------------------------------------

    async def _retire(self, *, hurry: bool = False) -> None:
        """Take all nodes out of the routes, and return when they have finished and are gone."""
        runs = [slot.run for slot in self._slots.values() if slot.run is not None]
        desired = self.desired
        gone = self._machinery.membership.retire(desired.namespace, desired.name, [run.id for run in runs])
        for slot in self._slots.values():
            slot.vacate()
        self._drains.begin(runs, gone, hurry=hurry)
        self._show()
        await self._drains.over()

    async def _end_all(self) -> None:
        self.stopping = True
        try:
            if self._end_after:
                await asyncio.wait(self._end_after)
            work = {batch.task for batch in self._batches}
            if self._renewing is not None:
                work.add(self._renewing)
            for task in work:
                task.cancel()
            if work:
                await asyncio.wait(work)
            self._chronicle.reached(State.DRAINING)
            self._machinery.expectations.forget(self.desired.namespace, self.desired.name, self.desired.key)
            self._drains.hurry()
            await self._retire(hurry=True)
        finally:
            for slot in self._slots.values():
                slot.close()
                self._machinery.debug_ports.forget(self.desired.namespace, slot.name)
            self._chronicle.reached(State.STOPPED)
            self._settled.set()
            if not self.finished.done():
                self.finished.set_result(None)

    # -- what is shown --------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Tell the router and the sessions how it stands now."""
        if self.stopping:
            return
        slots = self._slots.values()
        state = summarise((slot.state for slot in slots), wanted=len(slots))
        expected = any(slot.state is not State.ERROR for slot in slots)
        reason = "" if self.serves else self._chronicle.error or self._slot_error
        desired = self.desired
        self._machinery.expectations.say(desired.namespace, desired.name, desired.key, expected=expected, reason=reason)
        self._chronicle.reached(state, reason)
        self._gates.changed()

    def _task(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._loop.create_task(work, name=f"microlite: {what} {self.desired.key}")


def node_names(desired: Desired) -> list[str]:
    """The ids of a service's nodes, which stay the same over restarts and reloads."""
    return [f"{desired.key}-{number}" for number in range(1, desired.instances + 1)]


def _outcome(reason: str, verdict: Retry | GiveUp) -> str:
    if isinstance(verdict, GiveUp):
        return verdict.reason
    return f"{reason}; next try in {verdict.delay:.1f} s"
