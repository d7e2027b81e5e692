"""Keeps one service running as it is desired: its nodes, their generations, their failures, their replacement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.runtime import restarts
from microlite.core.runtime.api import Desired, Happening, NodeStatus, ServiceStatus, Topic
from microlite.core.runtime.backoff import GiveUp
from microlite.core.runtime.desired import read_again
from microlite.core.runtime.drains import Drains
from microlite.core.runtime.launch.api import LaunchError
from microlite.core.runtime.node_failure import NodeFailed, failure_of
from microlite.core.runtime.renewal import Overtaken, Renewal
from microlite.core.runtime.rollout import PATIENCE_WHEN_OVERTAKEN, Rollout
from microlite.core.runtime.slot import Slot
from microlite.core.runtime.states import SERVING, Event, State, summarise
from microlite.core.runtime.syntax import syntax_error

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.node_run import NodeRun

Prepared = tuple[str, dict[str, str]]
"""The interpreter of a node, and the variables that it sees."""


class _Batch:
    """Starts that are under way together, in slots that have no node.

    Attributes:
        built: the environment is there, or will not be.
        launched: loop time of that; 0 before.
    """

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.built = asyncio.Event()
        self.launched = 0.0
        self.task: asyncio.Task[None]


class Runner:
    """One service.

    One task (`reconcile`) decides all that happens to it. What takes long runs in tasks of their own, which this one owns:
    at most one renewal of the whole service, starts in vacant slots, drains.

    Args:
        desired: what is wanted.
        machinery: what all runners share.
        on_happening: is told each thing that a session wants to know.
    """

    def __init__(self, desired: Desired, machinery: Machinery, on_happening: Callable[[Happening], object]) -> None:
        self.desired = desired
        self.stopping = False
        self._machinery = machinery
        self._on_happening = on_happening
        self._clock = machinery.clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._slots: dict[str, Slot] = {}
        self._adopt(desired)
        self._rollouts: set[Rollout] = set()
        self._drains = Drains(machinery.patience.drain)
        self._batches: set[_Batch] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._renewal: Renewal | None = None
        self._failed_renewal: Renewal | None = None
        self._newer = asyncio.Event()
        self._settled = asyncio.Event()
        self._story = restarts.Story()
        self._restarts = 0
        self._version = desired.asked.version or "latest"
        self._reload_error = ""
        self._state = State.PENDING
        self._updated = self._clock.now()
        self._log = machinery.logs.of(desired.namespace, desired.name)
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

    def stop(self) -> None:
        """Drain and end all nodes; `finished` is set when they are gone. What is being started is given up at once."""
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

    def status(self) -> ServiceStatus:
        """The service as `status` shows it."""
        source = self.desired.source
        runs = self._runs()
        present = {run.id for run in runs}
        return ServiceStatus(
            name=self.desired.name,
            version=self._version,
            source=source.folder if source.entry in ("", "main.py") else f"{source.folder}/{source.entry}",
            state=self._state,
            nodes=(
                *(_node_status(run) for run in runs),
                *(
                    NodeStatus(id=slot.name, generation=0, state=slot.state)
                    for slot in self._slots.values()
                    if slot.name not in present and not self.stopping
                ),
            ),
            restarts=self._restarts,
            error=self._error,
            updated=self._updated,
            metadata=self.desired.asked.metadata,
            detached=self.desired.detached,
            watched=self.desired.asked.watch,
            story=self._story.all(),
        )

    def _runs(self) -> list[NodeRun]:
        serving = [slot.run for slot in self._slots.values() if slot.run is not None]
        return [*serving, *(run for rollout in self._rollouts for run in rollout.runs), *self._drains]

    @property
    def _error(self) -> str:
        return self._reload_error or next((slot.error for slot in self._slots.values() if slot.error), "")

    @property
    def _serves(self) -> bool:
        return any(slot.state in SERVING for slot in self._slots.values())

    # -- the loop -------------------------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Bring what is there to what is wanted, again and again, until `stop`."""
        try:
            self._show()
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

    def _settle(self) -> None:
        if self._renewal is None and self._renewing is None and not self._batches:
            self._settled.set()

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
        batch = _Batch(due)
        self._batches.add(batch)
        for slot in due:
            slot.taken = True
        batch.task = self._task(self._start(batch), "start")

    async def _start(self, batch: _Batch) -> None:
        try:
            prepared = await self._build(self.desired, batch.slots)
            batch.launched = self._loop.time()
            batch.built.set()
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
            batch.built.set()
            for slot in batch.slots:
                slot.taken = False
            self._batches.discard(batch)
            self._wake.set()

    async def _start_one(self, slot: Slot, prepared: Prepared) -> None:
        try:
            runs = await self._bring_up(self.desired, [slot.name], prepared)
        except (NodeFailed, LaunchError) as error:
            self._fail([slot], failure_of(error, self._clock.now(), self.desired))
        else:
            self._restarts += bool(slot.error)
            self._reload_error = ""  # this is the newest code, and it runs
            self._take_over(runs, [])

    async def _build(self, desired: Desired, slots: Iterable[Slot]) -> Prepared:
        """The interpreter and the variables of the nodes, made where they are not there."""

        def progress(text: str) -> None:
            for slot in slots:
                if slot.state is State.PENDING:
                    slot.advance(Event.BUILD)
            self._show()
            self._log.say(text)
            self._tell(Topic.PROGRESS, text=text)

        return await self._machinery.environment_of(desired, progress)

    async def _bring_up(
        self, desired: Desired, names: list[str], prepared: Prepared, newer: asyncio.Event | None = None
    ) -> list[NodeRun]:
        """See `Rollout.rise`; gives the nodes, for which the caller finds their place at once."""
        rollout = Rollout(desired, names, self._machinery, self._on_exit)
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
            await self._call_off_starts(renewal)
            await self._drains.room()
            for slot in self._slots.values():
                slot.reset()
            while True:
                desired = renewal.desired or self.desired
                if renewal.redeclares:
                    desired = await asyncio.to_thread(read_again, desired)
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

    async def _call_off_starts(self, renewal: Renewal) -> None:
        """Let what is being started come up if it does so at once, else end it: its code is old.

        An installation goes on, unless it is the requirements that have changed.
        """
        for batch in list(self._batches):
            if not renewal.declares:
                await batch.built.wait()
            patience = batch.launched + PATIENCE_WHEN_OVERTAKEN - self._loop.time() if batch.launched else 0.0
            await asyncio.wait({batch.task}, timeout=max(0.0, patience))
            batch.task.cancel()
            await asyncio.wait({batch.task})

    async def _swap(self, renewal: Renewal, desired: Desired, prepared: Prepared) -> None:
        if desired.exclusive and self._serves:
            files = {*renewal.changed, desired.source.entry}
            wrong = await asyncio.to_thread(syntax_error, desired.source.folder, sorted(files))
            if wrong:
                raise errors.Unprocessable(wrong)
            self._log.say("the old code ends before the new one starts; calls wait")
            await self._retire()
        before = max((run.generation for run in self._runs()), default=0)
        if not self._serves:
            self._adopt(desired)  # also if it does not come up: the next try is for this
            for slot in self._slots.values():
                slot.vacate()
                slot.advance(Event.START)
            self._show()
        runs = await self._bring_up(desired, node_names(desired), prepared, self._newer)
        self._restarts += 1
        self._story.add(
            restarts.Restart(
                at=self._clock.now(), cause=renewal.cause, generation=before, changed=tuple(sorted(renewal.changed))
            )
        )
        self._reload_error = ""
        self._failed_renewal = None
        self._updated = self._clock.now()
        self._take_over(runs, self._adopt(desired))
        self._tell(Topic.RELOAD, text=renewal.text, seconds=max(0.0, self._clock.now() - renewal.since))

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
                self._version = run.lease.registration.service.version
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
        self._story.add(failure.story)
        verdicts = [slot.fail(reason, final=failure.final) for slot in slots]
        for verdict in verdicts[:1]:  # what is said of one holds for all
            given_up = isinstance(verdict, GiveUp)
            text = verdict.reason if given_up else f"{reason}; next try in {verdict.delay:.1f} s"
            node = slots[0].name if len(slots) == 1 else ""
            self._log.say(text, node=node)
            self._tell(Topic.FAILED, node=node, text=text, lines=failure.lines)
        self._show()

    def _renewal_failed(self, renewal: Renewal, failure: NodeFailed) -> None:
        story = msgspec.structs.replace(failure.story, changed=tuple(sorted(renewal.changed)))
        self._failed_renewal = renewal
        vacant = [slot for slot in self._slots.values() if slot.run is None]
        if not self._serves:
            self._reload_error = ""
            self._fail(vacant, NodeFailed(str(failure), story, final=failure.final))
            return
        self._story.add(story)
        self._reload_error = str(failure)
        text = f"{failure}; the code before serves on"
        self._log.say(text)
        self._tell(Topic.FAILED, text=text, lines=failure.lines)
        for slot in vacant:
            slot.vacate()
        self._show()

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
            work = {batch.task for batch in self._batches}
            if self._renewing is not None:
                work.add(self._renewing)
            for task in work:
                task.cancel()
            if work:
                await asyncio.wait(work)
            self._set_state(State.DRAINING)
            self._machinery.expectations.forget(self.desired.namespace, self.desired.name, self.desired.key)
            self._drains.hurry()
            await self._retire(hurry=True)
        finally:
            for slot in self._slots.values():
                slot.close()
            self._set_state(State.STOPPED)
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
        reason = "" if self._serves else self._error
        desired = self.desired
        self._machinery.expectations.say(desired.namespace, desired.name, desired.key, expected=expected, reason=reason)
        self._set_state(state, reason)

    def _set_state(self, state: State, text: str = "") -> None:
        if state is not self._state:
            self._state = state
            self._updated = self._clock.now()
            self._tell(Topic.STATE, state=state, text=text)

    def _tell(self, topic: Topic, **fields: Any) -> None:
        desired = self.desired
        self._on_happening(
            Happening(
                at=self._clock.now(),
                topic=topic,
                service=desired.name,
                http=bool(desired.source.command),
                **fields,
            )
        )

    def _task(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._loop.create_task(work, name=f"microlite: {what} {self.desired.key}")


def node_names(desired: Desired) -> list[str]:
    """The ids of a service's nodes, which stay the same over restarts and reloads."""
    return [f"{desired.key}-{number}" for number in range(1, desired.instances + 1)]


def _node_status(run: NodeRun) -> NodeStatus:
    return NodeStatus(
        id=run.id,
        generation=run.generation,
        state=run.state,
        pid=run.pid,
        started=run.started,
        healthy=run.healthy_at,
    )
