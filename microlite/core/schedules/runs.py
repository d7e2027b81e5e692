"""Makes the calls: each run from its begin to its end, in the order that its schedule wants, and again where it may."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.rpc.call import UnaryCall
from microlite.core.schedules.api import ENDED, Outcome, Run
from microlite.core.schedules.ledger import changed
from microlite.core.schedules.records import run_key
from microlite.core.schedules.timer import DueTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from microlite.core.clock import Clock
    from microlite.core.schedules.authority import Authority
    from microlite.core.schedules.ledger import Ledger
    from microlite.core.schedules.reach import Reach
    from microlite.core.schedules.records import OpenRun

MOST_AT_ONCE: Final = 64
"""Calls of schedules that one service serves at the same time; more wait, in their order."""

LONGEST_BACKOFF: Final = 3600.0
"""Seconds: the longest wait before a run that failed is tried again."""

MOST_INTERRUPTIONS: Final = 10
"""Tries of an idempotent endpoint that may end without an outcome before it is given up."""

AGAIN: Final = 5.0
"""Seconds until what could not be written down is tried again."""

LONGEST_ERROR: Final = 2_000
"""Characters of an error that the history keeps."""

log = logging.getLogger("microlite.schedules")


class Lane:
    """The runs for one service.

    Attributes:
        running: how many calls are under way.
        ready: those that may begin as soon as there is room and a node.
    """

    __slots__ = ("ready", "running")

    def __init__(self) -> None:
        self.running = 0
        self.ready: deque[OpenRun] = deque()


class Runs:
    """All runs that have not ended. Each stands on disk before it is here.

    Args:
        ledger: writes down where each stands.
        reach: the services.
        clock: the time.
        authority: says with which rights the calls are made.
        on_change: is told namespace and schedule whenever a run of it stands elsewhere.
    """

    def __init__(
        self,
        ledger: Ledger,
        reach: Reach,
        clock: Clock,
        authority: Authority,
        on_change: Callable[[str, str], object],
    ) -> None:
        self._ledger = ledger
        self._reach = reach
        self._clock = clock
        self._authority = authority
        self._on_change = on_change
        self._open: dict[tuple[str, str], dict[str, OpenRun]] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._tries = DueTimes(clock, self._try_again, self._look_again)
        self._waiting: dict[tuple[str, str], list[asyncio.Future[Run]]] = {}
        self._lined: set[tuple[str, str]] = set()
        """The runs that stand in a lane: each once."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    # -- what there is -------------------------------------------------------------------------------------------------

    def count(self, namespace: str, schedule: str) -> tuple[int, int]:
        """How many runs of a schedule have begun and not ended, and how many wait."""
        runs = self._open.get((namespace, schedule), {}).values()
        waiting = sum(one.run.outcome is Outcome.WAITING for one in runs)
        return len(runs) - waiting, waiting

    def starts_at_once(self, namespace: str, one: OpenRun, ahead: int = 0) -> bool:
        """Whether a run that is to be added would begin in the same moment.

        Args:
            ahead: how many are added before it that belong to the same service.
        """
        lane = self._lanes.get((namespace, one.service))
        taken = (lane.running + len(lane.ready) if lane is not None else 0) + ahead
        free = taken < MOST_AT_ONCE and self._reach.available(namespace, one.service) and not self._stopped
        return free and not (one.order and (ahead or self._open.get((namespace, one.run.schedule))))

    def begun(self, namespace: str, one: OpenRun) -> OpenRun:
        """The run as it stands when its next try begins."""
        endpoint = self._reach.endpoint(namespace, one.service, one.endpoint)
        fresh = msgspec.structs.replace(one, idempotent=endpoint is not None and endpoint.idempotent)
        return changed(
            fresh, Outcome.RUNNING, started=self._clock.now(), attempt=one.run.attempt + 1, next_try=0.0, error=""
        )

    async def ended(self, namespace: str, run: Run) -> Run:
        """Return a run when it has ended."""
        future: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        if run.id not in self._open.get((namespace, run.schedule), {}):
            return run
        key = (namespace, run_key(run))
        self._waiting.setdefault(key, []).append(future)
        try:
            return await future
        finally:
            waiting = self._waiting.get(key, [])
            if future in waiting:
                waiting.remove(future)

    # -- the way of a run ----------------------------------------------------------------------------------------------

    def add(self, namespace: str, one: OpenRun) -> None:
        """Take over a run that was written down: one that is `RUNNING` there begins now, others when they may."""
        self._open.setdefault((namespace, one.run.schedule), {})[one.run.id] = one
        if one.run.outcome is Outcome.RUNNING:
            lane = self._lane(namespace, one.service)
            lane.running += 1
            self._lined.add((namespace, run_key(one.run)))
            self._spawn(self._perform(namespace, one, lane), one)
        else:
            self._line_up(namespace, one)
        self._on_change(namespace, one.run.schedule)

    def arrived(self, namespace: str, service: str) -> None:
        """A service has nodes: what waits for them begins."""
        lane = self._lanes.get((namespace, service))
        if lane is not None:
            self._pump(namespace, service, lane)

    def stop(self) -> None:
        """Begin no more. What runs goes on."""
        self._stopped = True
        self._tries.close()

    async def close(self) -> None:
        """Give up what still runs: the next start finds it written down as begun, and says so."""
        self.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _line_up(self, namespace: str, one: OpenRun) -> None:
        """Let a run wait for what it has to wait for: its time, those before it, a node, room."""
        key = (namespace, run_key(one.run))
        if key in self._lined:
            return
        if one.run.next_try > self._clock.now():
            self._tries.set(key, one.run.next_try)
        elif not one.order or next(iter(self._open[namespace, one.run.schedule])) == one.run.id:
            lane = self._lane(namespace, one.service)
            lane.ready.append(one)
            self._lined.add(key)
            self._pump(namespace, one.service, lane)

    def _try_again(self, key: tuple[str, str]) -> None:
        namespace, path = key
        schedule, run_id = path.rsplit("/", 1)
        one = self._open.get((namespace, schedule), {}).get(run_id)
        if one is not None:
            self._line_up(namespace, changed(one, Outcome.WAITING, next_try=0.0))

    def _look_again(self) -> None:
        """The clock was set back: what would be tried again only when it has caught up is tried after its pause."""
        now = self._clock.now()
        for (namespace, _), runs in self._open.items():
            for one in runs.values():
                if one.run.next_try > now + LONGEST_BACKOFF:
                    self._tries.set((namespace, run_key(one.run)), now + one.backoff)

    def _pump(self, namespace: str, service: str, lane: Lane) -> None:
        while lane.ready and lane.running < MOST_AT_ONCE and not self._stopped:
            if not self._reach.available(namespace, service):
                return
            one = lane.ready.popleft()
            lane.running += 1
            self._spawn(self._begin(namespace, one, lane), one)
        if not lane.ready and not lane.running:
            self._lanes.pop((namespace, service), None)

    def _lane(self, namespace: str, service: str) -> Lane:
        return self._lanes.setdefault((namespace, service), Lane())

    def _spawn(self, work: Coroutine[Any, Any, None], one: OpenRun) -> None:
        task = asyncio.create_task(work, name=f"microlite: run of {one.run.schedule}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _begin(self, namespace: str, one: OpenRun, lane: Lane) -> None:
        begun = self.begun(namespace, one)
        if not await self._write(self._ledger.note, namespace, begun):
            return
        self._keep(namespace, begun)
        await self._perform(namespace, begun, lane)

    async def _perform(self, namespace: str, one: OpenRun, lane: Lane) -> None:
        after = await self._call(namespace, one)
        if after.run.outcome in ENDED:
            if not await self._write(self._ledger.end, namespace, after):
                return
            self._drop(namespace, after)
        else:
            if not await self._write(self._ledger.note, namespace, after):
                return
            self._keep(namespace, after)
            self._lined.discard((namespace, run_key(after.run)))
            self._line_up(namespace, after)
        lane.running -= 1
        self._pump(namespace, one.service, lane)
        if after.run.outcome in ENDED:
            await self._ledger.prune(namespace, after)

    async def _call(self, namespace: str, one: OpenRun) -> OpenRun:
        """Call the endpoint. Returns the run as it stands then."""
        run = one.run
        try:
            account = await self._authority.account_for(namespace, one)
        except (errors.Forbidden, errors.Unauthorized) as error:
            return changed(one, Outcome.FAILED, ended=self._clock.now(), error=str(error)[:LONGEST_ERROR])
        except errors.Error as error:
            return self._failed(namespace, one, error)
        call = UnaryCall(
            one.service,
            one.endpoint,
            one.payload,
            encoding=Encoding.JSON,
            namespace=namespace,
            timeout=one.timeout,
            account=account,
            metadata={
                "schedule": run.schedule,
                "schedule-run": run.id,
                "schedule-due": datetime.fromtimestamp(run.due, UTC).isoformat(),
                "schedule-attempt": str(run.attempt),
            },
        )
        try:
            await call.run(self._reach.send)
        except errors.Error as error:
            return self._failed(namespace, one, error)
        return changed(one, Outcome.DONE, ended=self._clock.now())

    def _failed(self, namespace: str, one: OpenRun, error: errors.Error) -> OpenRun:
        run, now = one.run, self._clock.now()
        text = str(error)[:LONGEST_ERROR]
        if isinstance(error, errors.OutcomeUnknown):
            if one.idempotent and run.attempt < one.retries + MOST_INTERRUPTIONS:
                return changed(one, Outcome.WAITING, error=text)
            return changed(one, Outcome.INTERRUPTED, ended=now, error=text)
        if isinstance(error, errors.ServiceUnavailable | errors.ServiceNotFound) and not self._reach.available(
            namespace, one.service
        ):
            return changed(one, Outcome.WAITING, attempt=run.attempt - 1, error=text)  # it was never started
        if run.attempt <= one.retries:
            wait = min(one.backoff * 2 ** min(run.attempt - 1, 30), LONGEST_BACKOFF)
            return changed(one, Outcome.WAITING, next_try=now + wait, error=text)
        return changed(one, Outcome.FAILED, ended=now, error=text)

    def _keep(self, namespace: str, one: OpenRun) -> None:
        self._open[namespace, one.run.schedule][one.run.id] = one
        self._on_change(namespace, one.run.schedule)

    def _drop(self, namespace: str, one: OpenRun) -> None:
        run = one.run
        runs = self._open[namespace, run.schedule]
        del runs[run.id]
        self._lined.discard((namespace, run_key(run)))
        if not runs:
            del self._open[namespace, run.schedule]
        for future in self._waiting.pop((namespace, run_key(run)), ()):
            if not future.done():
                future.set_result(run)
        following = next(iter(runs.values()), None)
        if following is not None and following.order and following.run.outcome is Outcome.WAITING:
            self._line_up(namespace, following)
        self._on_change(namespace, run.schedule)

    async def _write(
        self, write: Callable[[str, OpenRun], Coroutine[Any, Any, None]], namespace: str, one: OpenRun
    ) -> bool:
        """Write down where a run stands, until that works. False when the platform stops first."""
        while True:
            try:
                await write(namespace, one)
            except errors.Error as error:
                if self._stopped:
                    return False
                log.error("the run of %s could not be written down: %s", one.run.schedule, error.detail)
                await self._clock.sleep(AGAIN)
            else:
                return True
