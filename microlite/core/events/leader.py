"""The one that leads a group: hands out its entries, takes their acks, and brings what must last to disk."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Resync
from microlite.core.events import records
from microlite.core.events.envelope import Envelope, decode_envelope
from microlite.core.events.group import Changes, Group
from microlite.core.events.kept import Kept
from microlite.core.events.reading import Reader
from microlite.core.events.records import ACKS, group_key, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.clock import Clock, Timer
    from microlite.core.engine.api import Engine, Entry, Operation
    from microlite.core.events.api import GroupSettings
    from microlite.core.events.group import Delivery

MAX_ERROR: Final = 2_000
"""Characters of an error that are kept."""

LINGER: Final = 0.005
"""Seconds after which an ack goes to disk that nobody waits for."""

SETTLED_AT_ONCE: Final = 100
"""Such acks that go at once."""

LATER: Final = 0.2
"""Seconds after which a commit that failed is tried again; each further time it is twice as long, up to `LATEST`."""

LATEST: Final = 5.0

LAST_COMMIT: Final = 1.0
"""Seconds that a group which is closed has to bring its last acks to disk."""

log = logging.getLogger("microlite.events")


class Handed(msgspec.Struct, frozen=True, gc=False):
    """A delivery with what is said about its event."""

    delivery: Delivery
    envelope: Envelope
    published: float


class Waiter:
    """Somebody who waits for a delivery."""

    __slots__ = ("ack_wait", "future")

    def __init__(self, future: asyncio.Future[Handed], ack_wait: float | None) -> None:
        self.future = future
        self.ack_wait = ack_wait


class Leader:
    """Leads one group while it is open. All calls are on the loop, and none of them waits but for the disk.

    Args:
        settings: of the group.
        epoch: of this reign; it is in every delivery's id.
        revision: of the group's record in this reign.
        cursor: what was settled before.
        cursor_revision: of its record; 0 where there is none yet.
        durable: whether its state outlives it. A private group's does not.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        namespace: str,
        topic: str,
        name: str,
        *,
        settings: GroupSettings,
        epoch: int,
        revision: int,
        cursor: records.CursorRecord,
        cursor_revision: int,
        durable: bool = True,
    ) -> None:
        self.namespace = namespace
        self.topic = topic
        self.name = name
        self.epoch = epoch
        self.durable = durable
        self.group = Group(settings, cursor.head, cursor.open)
        self.kept = Kept(
            engine,
            clock,
            namespace,
            topic,
            name,
            epoch=epoch,
            revision=revision,
            cursor_revision=cursor_revision,
            durable=durable,
        )
        self.used = clock.monotonic()
        """When somebody last wanted something of it."""
        self.pump: Callable[[], None] | None = None
        """Takes what is ready before those who wait, when the platform delivers to endpoints."""
        self.on_closed: Callable[[], None] | None = None
        """Called when it stops by itself."""
        self.closed = False
        self._engine = engine
        self._clock = clock
        self._reader = Reader(engine, namespace, topic, name, self.group, self.kept)
        self._waiters: deque[Waiter] = deque()
        self._owners: dict[int, Callable[[bool], None]] = {}
        self._saved: dict[int, asyncio.Future[None]] = {}
        self._dirty = asyncio.Event()
        self._roomy = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._timer: Timer | None = None
        self._timer_at: float | None = None
        self._ack_watch: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[Any] | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    # -- life ----------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read what was kept, and begin."""
        if await self.kept.load():
            await self._watch_acks()
        while self.group.missing and self.group.room:
            await self._reader.fill()
        await self._reader.fill()
        self._drop_trimmed()
        self._spawn(self._read_ahead(), "read")
        self._committing = self._spawn(self._keep_committing(), "commit")

    async def close(self, reason: str = "the group was closed") -> None:
        """End. Who waits gets `errors.ServiceUnavailable`; what is under way is delivered again by the next leader."""
        stopped, self.closed = self.closed, True
        if self._timer is not None:
            self._timer.cancel()
        if self._lingering is not None:
            self._lingering.cancel()
        if not stopped and self._committing is not None:
            self._dirty.set()  # what was acknowledged goes to disk before the end
            await asyncio.wait([self._committing], timeout=LAST_COMMIT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        error = errors.ServiceUnavailable(reason)
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(error)
        for future in self._saved.values():
            if not future.done():
                future.set_exception(errors.OutcomeUnknown(reason))
                future.exception()  # the one who waited may be gone
        owners, self._owners = self._owners, {}
        for landed in owners.values():
            landed(False)

    def _spawn(self, work: Any, what: str) -> asyncio.Task[Any]:
        name = f"microlite: {what} {self.topic}/{self.name}"
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.append(task)
        return task

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except errors.ServiceUnavailable:
            self._stopped()  # the engine closes
        except Exception:
            log.exception("the group %s of the topic %s stopped; it is opened anew", self.name, self.topic)
            self._stopped()

    def _stopped(self) -> None:
        was, self.closed = self.closed, True
        if self.on_closed is not None and not was:
            self.on_closed()

    @property
    def idle(self) -> bool:
        """Whether nobody would miss it."""
        return self.group.idle and not (self._waiters or self.kept.is_awaited or self.pump or self._owners)

    # -- handing out ---------------------------------------------------------------------------------------------------

    def take(self, ack_wait: float | None = None, landed: Callable[[bool], None] | None = None) -> Handed | None:
        """Hand out the next entry, if one is ready.

        Args:
            ack_wait: seconds for this delivery, in place of those of the settings.
            landed: called once it is not under way any more, for whatever reason.
        """
        delivery = self.group.take(self._clock.now(), ack_wait)
        if delivery is None:
            return None
        if landed is not None:
            self._owners[delivery.number] = landed
        self._arm()
        return Handed(delivery, decode_envelope(delivery.payload), self.kept.published.get(delivery.position, 0.0))

    async def wait(self, timeout: float | None, ack_wait: float | None = None) -> Handed | None:
        """The next entry, as soon as there is one; None when the time is up.

        Raises:
            errors.ServiceUnavailable: the group is closed.
        """
        self.check_open()
        self.used = self._clock.monotonic()
        if timeout is not None and timeout <= 0:
            return self.take(ack_wait)
        if not self._waiters and (handed := self.take(ack_wait)) is not None:
            return handed
        future: asyncio.Future[Handed] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, ack_wait)
        self._waiters.append(waiter)
        timer = None
        if timeout is not None:
            timer = self._clock.call_later(timeout, lambda: future.cancel("time is up"))
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and not (task is not None and task.cancelling()):
                return None
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result().delivery.number)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self.used = self._clock.monotonic()

    def own(self, number: int, landed: Callable[[bool], None]) -> None:
        """Call `landed` once a delivery is not under way any more, and say whether it was acknowledged."""
        self._owners[number] = landed

    def tell(self) -> None:
        """Something may be ready: hand it to who waits for it."""
        if self.closed:
            return
        if self.pump is not None:
            self.pump()
        while self._waiters:
            waiter = self._waiters[0]
            if waiter.future.done():
                self._waiters.popleft()
                continue
            handed = self.take(waiter.ack_wait)
            if handed is None:
                break
            self._waiters.popleft()
            waiter.future.set_result(handed)
        self._arm()

    # -- taking back ---------------------------------------------------------------------------------------------------

    def ack(self, number: int) -> asyncio.Future[None] | None:
        """A delivery succeeded. The result is done when that is on disk; None where the delivery is not under way."""
        position = self.group.ack(number)
        if position is None:
            return None
        self._landed(number, acked=True)
        return self._save(position)

    def settle(self, number: int) -> None:
        """A delivery succeeded, and nobody waits to hear that this is on disk: it may take a moment to get there.

        So the next event need not wait behind this one's commit. One that is not under way any more is passed over.
        """
        position = self.group.ack(number)
        if position is None:
            return
        self._landed(number, acked=True)
        if self.group.is_awaited or self.group.settled >= SETTLED_AT_ONCE:
            self._dirty.set()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER, self._linger_over)

    def _linger_over(self) -> None:
        self._lingering = None
        self._dirty.set()

    def fail(
        self,
        number: int,
        error: str,
        node: str = "",
        *,
        delay: float | None = None,
        dead: bool = False,
    ) -> asyncio.Future[None] | None:
        """A delivery failed. The result is done when that is on disk; None where the delivery is not under way."""
        if not self.group.holds(number):
            return None
        position = self.group.position_of(number)
        self.group.fail(number, self._clock.now(), error[:MAX_ERROR], node, delay=delay, dead=dead)
        self._landed(number)
        return self._save(position)

    def release(self, number: int, pause: float = 0.0) -> None:
        """A delivery did not take place; it does not count."""
        if self.group.release(number, self._clock.now(), pause):
            self._landed(number)
            self.tell()

    def extend(self, number: int, wait: float) -> bool:
        """Give a delivery `wait` seconds from now on. Returns whether it was under way."""
        known = self.group.extend(number, self._clock.now(), wait)
        self._arm()
        return known

    async def plan_ack(self, number: int) -> tuple[Operation, ...]:
        """The operations that settle a delivery as a part of somebody's batch, unless it was settled or failed meanwhile.

        Raises:
            errors.Conflict: it is not under way any more.
        """
        if not self.group.holds(number):
            raise stale(self.delivery_id(number))
        position = self.group.position_of(number)
        if not self.durable:
            raise errors.BadRequest(
                "a private group leaves nothing behind, so its acks cannot be part of a transaction"
            )
        if self._ack_watch is None:
            await self._watch_acks()
            if not self.group.holds(number):
                raise stale(self.delivery_id(number))
        return self.kept.plan_ack(position)

    def delivery_id(self, number: int) -> str:
        """The id of a delivery, as its event carries it."""
        return f"{self.topic}/{self.name}/{self.epoch}.{number}"

    def check_open(self) -> None:
        """Raise `errors.ServiceUnavailable` if it is closed."""
        if self.closed:
            raise errors.ServiceUnavailable(f"the group {self.name!r} of {self.topic!r} was closed; try again")

    def _landed(self, number: int, *, acked: bool = False) -> None:
        self.used = self._clock.monotonic()
        landed = self._owners.pop(number, None)
        if landed is not None:
            landed(acked)

    def _save(self, position: int) -> asyncio.Future[None]:
        future = self._saved.get(position)
        if future is None:
            future = self._saved[position] = asyncio.get_running_loop().create_future()
        self._dirty.set()
        return future

    # -- time ----------------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self.group.wake(self._clock.now())
        at = self.group.next_time()
        if at is None or (self._timer_at is not None and self._timer_at <= at) or self.closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(max(0.0, at - self._clock.now()), self._on_time)

    def _on_time(self) -> None:
        self._timer = self._timer_at = None
        if self.closed:
            return
        for number in self.group.overdue(self._clock.now()):
            self.fail(number, "it was not acknowledged in time")
        self.tell()

    # -- reading ahead -------------------------------------------------------------------------------------------------

    async def _read_ahead(self) -> None:
        group = self.group
        async with self._engine.tail(self.namespace, stream_of(self.topic), self._take_in) as tail:
            while True:
                if not group.room:
                    self._roomy.clear()
                    await self._roomy.wait()
                elif await self._reader.fill():
                    self._added()
                else:
                    while await tail.moved(group.read_to) <= group.read_to:
                        pass  # taken in already

    def _take_in(self, before: int, entries: Sequence[Entry]) -> None:
        """Entries that were committed just now: they are on their way to their handlers before they could be read."""
        if not self.closed and self._reader.take_in(before, entries):
            self._added()

    def _added(self) -> None:
        self._drop_trimmed()
        self.tell()
        if self.group.dirty:
            self._dirty.set()

    def _drop_trimmed(self) -> None:
        if self.kept.drop_trimmed(self.group.read_to, self.group.missing):
            self._dirty.set()

    # -- acks of transactions ------------------------------------------------------------------------------------------

    async def _watch_acks(self) -> None:
        if self._ack_watch is not None:
            return
        watch = self._engine.watch(self.namespace, ACKS, prefix=group_key(self.topic, self.name) + "/")
        await watch.__aenter__()

        async def follow() -> None:
            try:
                async for change in watch:
                    found = change.records if isinstance(change, Resync) else (change,)
                    for one in found:
                        if one.expires_at is None and one.value:
                            self._on_acked(records.position_of(one.key))
            finally:
                await watch.__aexit__(None, None, None)

        self._ack_watch = self._spawn(follow(), "follow the acks of")

    def _on_acked(self, position: int) -> None:
        number = self.group.number_of(position)
        is_read = self.group.acked(position) or (position <= self.group.read_to and position not in self.group.missing)
        self.kept.note_ack(position, is_read=is_read)
        if number is not None:
            self._landed(number, acked=True)
        self._dirty.set()

    # -- committing ----------------------------------------------------------------------------------------------------

    async def _keep_committing(self) -> None:
        delay = LATER
        while True:
            if not self._has_work:
                if self.closed:
                    return
                self._dirty.clear()
                await self._dirty.wait()
                continue
            changes = self.group.begin_commit()
            try:
                await self.kept.commit(changes)
            except errors.Conflict:
                self.group.abort_commit()
                await self._look_again(changes)
                continue
            except (errors.InsufficientStorage, errors.OutcomeUnknown, errors.ServiceUnavailable) as error:
                self.group.abort_commit()
                if error.status == errors.ServiceUnavailable.status:
                    raise  # the engine closes
                log.warning(
                    "the acks of the group %s of %s: %s; it is tried again", self.name, self.topic, error.detail
                )
                self._refuse(changes, error)
                await self._clock.sleep(delay)
                delay = min(2 * delay, LATEST)
                await self._look_again(changes)
                continue
            delay = LATER
            self._end_commit(changes)

    @property
    def _has_work(self) -> bool:
        return self.group.dirty or self.kept.has_work(self.group.head)

    def _end_commit(self, changes: Changes) -> None:
        self.group.end_commit(changes)
        for position in changes.settled:
            self.kept.forget(position)
            self._resolve(position)
        for position, _ in changes.failed:
            self._resolve(position)
        self._roomy.set()
        self.tell()

    def _resolve(self, position: int) -> None:
        future = self._saved.pop(position, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _refuse(self, changes: Changes, error: errors.Error) -> None:
        for position in (*changes.settled, *(position for position, _ in changes.failed)):
            future = self._saved.pop(position, None)
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # the one who waited may be gone

    async def _look_again(self, changes: Changes) -> None:
        for position in await self.kept.look_again(changes):
            self._on_acked(position)


def stale(delivery: str) -> errors.Conflict:
    """The error for a delivery that is not under way any more."""
    return errors.Conflict(
        f"delivery {delivery} is not under way any more: it was settled, its time was up, or the platform was restarted"
    )
