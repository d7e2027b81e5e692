"""Keeps one service running as it is desired: its nodes, their generations, their failures, their replacement."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.runtime import restarts
from microlite.core.runtime.api import Desired, Happening, NodeStatus, ServiceStatus, Topic
from microlite.core.runtime.backoff import Backoff, GiveUp
from microlite.core.runtime.launch.api import LaunchError
from microlite.core.runtime.manifest import Reload
from microlite.core.runtime.node_run import NodeFailed, NodeRun
from microlite.core.runtime.states import SERVING, Event, State, summarise

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.restarts import Restart

DRAIN_GRACE: Final = 30.0
"""Seconds that a replaced node has for its unary calls."""

MAX_DRAINING: Final = 2
"""Generations that may drain at a time; the next change waits for the oldest of them."""

PATIENCE_WHEN_SUPERSEDED: Final = 1.0
"""Seconds that starting nodes have to become healthy although newer code has come meanwhile."""

log = logging.getLogger(__name__)


class Superseded(Exception):
    """What is being started is no longer wanted."""


class Renewal:
    """A reason to start new nodes in place of the present ones."""

    __slots__ = ("cause", "changed", "since")

    def __init__(self, cause: restarts.Cause, changed: tuple[str, ...], since: float) -> None:
        self.cause = cause
        self.changed = changed
        self.since = since


class Runner:
    """One service. All that happens to it is done by one task, in turn: `reconcile`.

    Args:
        desired: what is wanted; `update` replaces it.
        machinery: what all runners share.
        on_happening: is told each thing that a session wants to know.
    """

    def __init__(self, desired: Desired, machinery: Machinery, on_happening: Callable[[Happening], None]) -> None:
        self.desired = desired
        self._machinery = machinery
        self._on_happening = on_happening
        self._clock = machinery.clock
        self._nodes: dict[str, NodeRun] = {}
        self._starting: list[NodeRun] = []
        self._draining: dict[NodeRun, asyncio.Task[None]] = {}
        self._generation = 0
        self._renewal: Renewal | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._retry: asyncio.TimerHandle | None = None
        self._story = restarts.Story()
        self._backoff = Backoff(self._clock)
        self._error = ""
        self._state = State.PENDING
        self._updated = self._clock.now()
        self._settled = asyncio.Event()
        self._log = machinery.logs.of(desired.namespace, desired.name)
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- what others ask ------------------------------------------------------------------------------------------------

    def renew(self, cause: restarts.Cause, changed: tuple[str, ...] = (), since: float = 0.0) -> None:
        """Start new nodes from the source as it is now. Several requests while one is being carried out become one."""
        if self._renewal is not None:
            changed = tuple(sorted({*self._renewal.changed, *changed}))
            since = self._renewal.since
        self._renewal = Renewal(cause, changed, since or self._clock.now())
        self._settled.clear()
        self._wake.set()

    def stop(self) -> None:
        """Drain and end all nodes; `finished` is set when they are gone."""
        self._stopping = True
        self._wake.set()

    async def settled(self) -> None:
        """Return when the newest request was carried out, for better or worse."""
        await self._settled.wait()

    def claims(self, lease: Lease) -> bool:
        """Whether this registration is one of this service's nodes; if so, it is taken."""
        node = lease.registration.node
        for run in (*self._nodes.values(), *self._draining, *self._starting):
            if run.id == node.id and run.generation == node.generation:
                run.registered(lease)
                return True
        return False

    def status(self) -> ServiceStatus:
        """The service as `status` shows it."""
        nodes = [*self._nodes.values(), *self._starting, *self._draining]
        version = self.desired.version
        if not version:
            registered = [run.lease.registration.service.version for run in nodes if run.lease is not None]
            version = registered[-1] if registered else "latest"
        source = self.desired.source
        return ServiceStatus(
            name=self.desired.name,
            version=version,
            source=source.folder
            if not source.entry or source.entry == "main.py"
            else f"{source.folder}/{source.entry}",
            state=self._state,
            nodes=tuple(
                NodeStatus(
                    id=run.id,
                    generation=run.generation,
                    state=run.state,
                    pid=run.pid,
                    started=run.started,
                    healthy=run.healthy_at,
                )
                for run in nodes
            ),
            restarts=self._story.count,
            error=self._error,
            updated=self._updated,
            metadata=self.desired.metadata,
            detached=self.desired.detached,
            watched=self.desired.watch,
            story=self._story.all(),
        )

    # -- the loop -------------------------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Bring what is there to what is wanted, again and again, until `stop`."""
        try:
            self._expect(True)
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._stopping:
                    return
                if self._renewal is not None:
                    renewal, self._renewal = self._renewal, None
                    await self._renew(renewal)
                elif self._state is not State.ERROR and self._retry is None:
                    await self._fill()
                if self._renewal is None:
                    self._settled.set()
        finally:
            await self._end_all()

    async def _fill(self) -> None:
        """Start the nodes that are missing."""
        wanted = max(1, self.desired.instances)
        missing = [name for name in self._names(wanted) if name not in self._nodes]
        if not missing:
            return
        self._set_state(State.STARTING)
        runs = await self._bring_up(missing)
        if runs:
            self._take_over(runs, [])

    async def _renew(self, renewal: Renewal) -> None:
        """New nodes beside the old; the old ones go only when the new ones are healthy."""
        self._cancel_retry()
        self._backoff.reset()
        while len({run.generation for run in self._draining}) >= MAX_DRAINING and not self._stopping:
            oldest = min(self._draining, key=lambda run: run.generation)
            await asyncio.wait([self._draining[oldest]])
        old = list(self._nodes.values())
        serving = any(run.state in SERVING for run in old)
        self._story.add(
            restarts.Restart(
                at=self._clock.now(),
                cause=renewal.cause,
                generation=max((run.generation for run in old), default=self._generation),
                changed=renewal.changed,
            )
        )
        if self.desired.source.reload is Reload.EXCLUSIVE and old:
            self._expect(True)
            await asyncio.gather(*(self._retire(run) for run in self._pop_all()))
            old = []
        names = self._names(max(1, self.desired.instances))
        runs = await self._bring_up(names, keep_serving=serving)
        if not runs:
            return
        self._take_over(runs, old)
        seconds = self._clock.now() - renewal.since
        changed = ", ".join(renewal.changed[:3]) + (" …" if len(renewal.changed) > 3 else "")
        self._tell(Topic.RELOAD, text=changed or renewal.cause.value, seconds=seconds)

    def _names(self, wanted: int) -> list[str]:
        return [f"{self.desired.key}-{number}" for number in range(1, wanted + 1)]

    async def _bring_up(self, names: list[str], *, keep_serving: bool = False) -> list[NodeRun]:
        """Start nodes and wait until all are healthy. Returns none if one failed; then none of them is left."""
        self._generation = self._machinery.next_generation()
        runs: list[NodeRun] = []
        self._starting = runs
        try:
            python, environment = await self._build(keep_serving=keep_serving)
            for name in names:
                runs.append(NodeRun(self.desired, name, self._generation, self._machinery, self._on_exit))
                await runs[-1].start(python, environment, self._log)
            if not keep_serving:
                self._set_state(State.STARTING)
            await self._all_healthy(runs)
        except Superseded:
            await asyncio.gather(*(run.end(0) for run in runs))
            self._starting = []
            return []
        except (NodeFailed, LaunchError, errors.Error) as error:
            await asyncio.gather(*(run.end(0) for run in runs))
            self._starting = []
            self._failed(error, runs, keep_serving=keep_serving)
            return []
        except asyncio.CancelledError:
            await asyncio.gather(*(run.end(0) for run in runs))
            raise
        self._starting = []
        return runs

    async def _all_healthy(self, runs: list[NodeRun]) -> None:
        """Return when all are healthy.

        Raises:
            NodeFailed: one is not, and will not be.
            Superseded: newer code came meanwhile, and these had their second; or nothing is wanted any more.
        """
        tasks = [asyncio.ensure_future(run.healthy()) for run in runs]
        superseded = asyncio.ensure_future(self._superseded())
        try:
            pending = set(tasks)
            while pending:
                done, _ = await asyncio.wait({*pending, superseded}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                pending -= done
        finally:
            for task in (*tasks, superseded):
                task.cancel()
            await asyncio.gather(*tasks, superseded, return_exceptions=True)

    async def _superseded(self) -> None:
        await asyncio.sleep(PATIENCE_WHEN_SUPERSEDED)
        while self._renewal is None and not self._stopping:
            self._wake.clear()
            await self._wake.wait()
        self._wake.set()
        raise Superseded

    async def _build(self, *, keep_serving: bool) -> tuple[str, dict[str, str]]:
        if self.desired.source.requirements:
            if not keep_serving:
                self._set_state(State.BUILDING)

            def progress(text: str) -> None:
                self._log.say(text)
                self._tell(Topic.PROGRESS, text=text)

            return await self._machinery.environment_of(self.desired, progress)
        return await self._machinery.environment_of(self.desired, lambda _: None)

    def _take_over(self, runs: list[NodeRun], old: list[NodeRun]) -> None:
        """Switch the routes to the new nodes, in one turn of the loop, and let the old ones finish."""
        leases = [run.lease for run in runs if run.lease is not None]
        assert leases, "a healthy node is registered"
        names = {run.id for run in runs}
        gone = self._machinery.membership.activate(leases, [run.id for run in old if run.id not in names])
        links = {(link.node, link.generation): link for link in gone}
        for run in old:
            self._nodes.pop(run.id, None)
        for run in runs:
            run.advance(Event.HEALTHY)
            self._nodes[run.id] = run
        for run in old:
            run.link = links.get((run.id, run.generation))
            run.advance(Event.STOP)
            self._start_draining(run)
        self._backoff.healthy()
        self._error = ""
        self._set_state(State.RUNNING)

    def _start_draining(self, run: NodeRun) -> None:
        task = asyncio.get_running_loop().create_task(run.drain(DRAIN_GRACE), name=f"microlite: drain {run.id}")
        self._draining[run] = task
        task.add_done_callback(lambda _: self._draining.pop(run, None))

    def _failed(self, error: Exception, runs: list[NodeRun], *, keep_serving: bool) -> None:
        lines = error.lines if isinstance(error, NodeFailed) else ()
        cause = error.cause if isinstance(error, NodeFailed) else restarts.Cause.BUILD
        text = str(error) if not isinstance(error, errors.Error) else error.detail
        detail = restarts.Restart(
            at=self._clock.now(), cause=cause, generation=self._generation, detail=text, lines=tuple(lines)
        )
        self._error = text
        if keep_serving:
            self._tell(Topic.FAILED, text=f"{text}; the code before serves on", lines=lines)
            self._log.say(f"new code did not start: {text}; the code before serves on")
            return
        self._after_failure(text, detail)

    def _after_failure(self, text: str, story: Restart) -> None:
        self._story.add(story)
        verdict = self._backoff.failed(text)
        if isinstance(verdict, GiveUp):
            self._error = verdict.reason
            self._expect(False, verdict.reason)
            self._set_state(State.ERROR, verdict.reason)
            self._tell(Topic.FAILED, text=verdict.reason, lines=story.lines)
            self._log.say(verdict.reason)
        else:
            self._error = text
            self._expect(True, text)
            self._set_state(State.BACKOFF, text)
            self._tell(Topic.FAILED, text=f"{text}; next try in {verdict.delay:.1f} s", lines=story.lines)
            self._retry = asyncio.get_running_loop().call_later(verdict.delay, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._wake.set()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _on_exit(self, run: NodeRun, story: Restart) -> None:
        """A node's process ended without being asked to."""
        if self._nodes.get(run.id) is not run:
            return
        del self._nodes[run.id]
        if not self._nodes:
            self._after_failure(story.reason(), story)
        else:
            self._story.add(story)
            self._error = story.reason()
            self._tell(Topic.FAILED, node=run.id, text=f"{run.id} {story.reason()}", lines=story.lines)
            self._wake.set()

    # -- the end --------------------------------------------------------------------------------------------------------

    def _pop_all(self) -> list[NodeRun]:
        runs = list(self._nodes.values())
        self._nodes.clear()
        return runs

    async def _retire(self, run: NodeRun) -> None:
        links = self._machinery.membership.retire(self.desired.namespace, self.desired.name, [run.id])
        run.link = links[0] if links else None
        run.advance(Event.STOP)
        self._start_draining(run)
        await asyncio.wait([self._draining[run]])

    async def _end_all(self) -> None:
        self._cancel_retry()
        if self._state is not State.ERROR:
            self._set_state(State.DRAINING)
        self._expect(False)
        await asyncio.gather(*(run.end(0) for run in self._starting))
        tasks = [self._retire(run) for run in self._pop_all()]
        await asyncio.gather(*tasks)
        if self._draining:
            await asyncio.wait(list(self._draining.values()))
        self._set_state(State.STOPPED)
        self._settled.set()
        if not self.finished.done():
            self.finished.set_result(None)

    def cut(self) -> None:
        """Kill all nodes now; what they were doing is lost."""
        for run in (*self._nodes.values(), *self._starting, *self._draining):
            run.kill()

    def _expect(self, expected: bool, reason: str = "") -> None:
        self._machinery.membership.expect(self.desired.namespace, self.desired.name, expected, reason)

    def _set_state(self, state: State, text: str = "") -> None:
        if state is not self._state:
            self._state = state
            self._updated = self._clock.now()
            self._tell(Topic.STATE, state=state, text=text)

    def _tell(
        self,
        topic: Topic,
        *,
        text: str = "",
        node: str = "",
        state: State | None = None,
        lines: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> None:
        self._on_happening(
            Happening(
                at=self._clock.now(),
                topic=topic,
                service=self.desired.name,
                node=node,
                state=state,
                text=text,
                lines=lines,
                seconds=seconds,
                http=bool(self.desired.source.command),
            )
        )

    def summary(self) -> State:
        """The state of all nodes together."""
        return summarise((run.state for run in (*self._nodes.values(), *self._draining)), wanted=self.desired.instances)
