"""The groups that are open, each with its leader."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.engine.api import Batch, Delete, Presence, Put
from microlite.core.events import records
from microlite.core.events.api import GroupSettings, check_group, check_topic
from microlite.core.events.leader import Leader, stale
from microlite.core.events.records import ACKS, CURSORS, DEAD, FAILED, GROUPS, group_key, no_group, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Append, Engine, Operation

MAX_OPEN: Final = 2_000
"""Groups that are open at a time; idle ones give way to others."""

IDLE: Final = 60.0
"""Seconds after which a group is closed that nobody uses."""

_Key = tuple[str, str, str]


class Leaders:
    """Opens groups when they are wanted and closes them when they are not.

    Attributes:
        on_open: called with each leader that is opened, as a part of that.
        on_close: called with each that was closed, or closed itself.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._open: dict[_Key, Leader] = {}
        self._locks: dict[_Key, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self.on_open: Callable[[Leader], None] = lambda _: None
        self.on_close: Callable[[Leader], None] = lambda _: None

    def find(self, namespace: str, topic: str, name: str) -> Leader | None:
        """The leader of a group that is open."""
        return self._open.get((namespace, topic, name))

    def all(self) -> list[Leader]:
        """All that are open."""
        return list(self._open.values())

    async def get(
        self,
        namespace: str,
        topic: str,
        name: str,
        *,
        start: str | float = "beginning",
        settings: GroupSettings | None = None,
        entry: Append | None = None,
    ) -> Leader:
        """The leader of a group, which is made and opened if need be.

        Args:
            start: where a group begins that is made: `beginning`, `new`, or a time.
            settings: those that it has from now on; without them, those that it has, or the usual ones.
            entry: of the audit log, for the commit that makes or changes the group, if there is one.
        """
        key = (namespace, topic, name)
        leader = self._open.get(key)
        if leader is not None and not leader.closed and settings in (None, leader.group.settings):
            leader.used = self._clock.monotonic()
            return leader
        check_topic(topic)
        check_group(name)
        if settings is not None:
            check_settings(settings)
        async with self._locked(key):
            leader = self._open.get(key)
            if leader is not None and leader.closed:
                del self._open[key]
                await leader.close()
                leader = None
            if leader is None:
                return await self._make(key, start, settings, entry)
            if settings is not None and settings != leader.group.settings:
                await self._change(leader, settings, entry)
            return leader

    async def private(self, namespace: str, topic: str, start: str | float, settings: GroupSettings) -> Leader:
        """The leader of a new group of which nothing stays; close it by `drop`."""
        check_topic(topic)
        self._make_room()
        head = await self.find_start(namespace, topic, start)
        leader = Leader(
            self._engine,
            self._clock,
            namespace,
            topic,
            f"~{self._clock.new_id()}",
            settings=settings,
            epoch=0,
            revision=0,
            cursor=records.CursorRecord(head),
            cursor_revision=0,
            durable=False,
        )
        self._open[namespace, topic, leader.name] = leader
        await leader.open()
        return leader

    async def drop(self, namespace: str, topic: str, name: str, reason: str = "the group was closed") -> None:
        """Close a group, if it is open."""
        leader = self._open.pop((namespace, topic, name), None)
        if leader is not None:
            await leader.close(reason)
            self.on_close(leader)

    def of_delivery(self, namespace: str, delivery: str) -> tuple[Leader, int]:
        """The leader that handed out a delivery, and the delivery's number there.

        Raises:
            errors.BadRequest: it is no id of a delivery.
            errors.Conflict: it is not under way any more.
        """
        topic, _, rest = delivery.partition("/")
        name, _, ending = rest.partition("/")
        epoch, _, number = ending.partition(".")
        if not (topic and name and epoch.isdecimal() and number.isdecimal() and delivery.isascii()):
            raise errors.BadRequest(f"{delivery[:200]!r} is no id of a delivery; send `delivery` of the event")
        leader = self.find(namespace, topic, name)
        if leader is None or leader.closed or str(leader.epoch) != epoch:
            raise stale(delivery)
        return leader, int(number)

    async def exists(self, namespace: str, topic: str, name: str) -> bool:
        """Whether there is such a group."""
        return await self._engine.get(namespace, GROUPS, group_key(topic, name)) is not None

    async def find_start(self, namespace: str, topic: str, start: str | float) -> int:
        """The position behind which to begin.

        Raises:
            errors.BadRequest: it is none of `beginning`, `new` and a time.
        """
        stream = stream_of(topic)
        if start == "beginning":
            return 0
        if start == "new":
            return (await self._engine.stream_state(namespace, stream)).last
        try:
            at = float(start)
        except ValueError:
            raise errors.BadRequest(
                f"'{start}' is no start: write 'beginning', 'new', or a time in seconds since the Unix epoch"
            ) from None
        return await self._engine.find_position(namespace, stream, at)

    async def reset(self, namespace: str, topic: str, name: str, head: int, entry: Append | None = None) -> None:
        """Let a group begin anew behind a position; `entry`, of the audit log, is on disk with that.

        Raises:
            errors.NotFound: there is no such group.
        """
        key = (namespace, topic, name)
        async with self._locked(key):
            await self.drop(*key, "the group was reset")
            found = await records.read_as(self._engine, namespace, GROUPS, group_key(topic, name), records.decode_group)
            if found is None:
                raise no_group(topic, name)
            record, revision = found
            # From here on no ack of an earlier delivery can be part of a commit.
            fresh = records.GroupRecord(record.settings, record.epoch + 1, record.created)
            place = group_key(topic, name)
            await self._commit(namespace, Put(GROUPS, place, records.encode(fresh), expect=revision), *_beside(entry))
            await self.clear(namespace, FAILED, place + "/")
            await self.clear(namespace, ACKS, place + "/")
            await self._commit(namespace, Put(CURSORS, place, records.encode(records.CursorRecord(head))))

    async def delete(self, namespace: str, topic: str, name: str, entry: Append | None = None) -> None:
        """Remove a group with all that belongs to it; `entry`, of the audit log, is on disk with that.

        Raises:
            errors.NotFound: there is no such group.
        """
        key = (namespace, topic, name)
        async with self._locked(key):
            await self.drop(*key, "the group was deleted")
            place = group_key(topic, name)
            if not await self.exists(namespace, topic, name):
                raise no_group(topic, name)
            await self._commit(namespace, Delete(GROUPS, place), Delete(CURSORS, place), *_beside(entry))
            for bucket in (FAILED, ACKS, DEAD):
                await self.clear(namespace, bucket, place + "/")

    async def clear(self, namespace: str, bucket: str, prefix: str) -> int:
        """Remove all records whose keys have a prefix; return how many there were."""
        count = 0
        while True:
            page = await self._engine.scan(namespace, bucket, prefix=prefix, limit=100, keys_only=True)
            if not page.records:
                return count
            await self._commit(namespace, *(Delete(bucket, record.key) for record in page.records))
            count += len(page.records)

    async def sweep(self) -> None:
        """Close what nobody has used for a while."""
        now = self._clock.monotonic()
        for key, leader in list(self._open.items()):
            if leader.closed or (leader.idle and now - leader.used >= IDLE):
                del self._open[key]
                await leader.close()

    async def close(self) -> None:
        """Close all."""
        self._closed = True
        leaders, self._open = list(self._open.values()), {}
        for leader in leaders:
            await leader.close("the platform is stopping")
        if self._closing:
            await asyncio.wait(self._closing)

    # ------------------------------------------------------------------------------------------------------------------

    def _locked(self, key: _Key) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            if len(self._locks) > 2 * MAX_OPEN:
                self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def _make(
        self, key: _Key, start: str | float, settings: GroupSettings | None, entry: Append | None
    ) -> Leader:
        if self._closed:
            raise errors.ServiceUnavailable("the platform is stopping")
        namespace, topic, name = key
        self._make_room()
        place = group_key(topic, name)
        found = await records.read_as(self._engine, namespace, GROUPS, place, records.decode_group)
        kept = await records.read_as(self._engine, namespace, CURSORS, place, records.decode_cursor)
        if found is None:
            head = await self.find_start(namespace, topic, start)
            cursor, cursor_revision = records.CursorRecord(head), 0
            record = records.GroupRecord(settings or GroupSettings(), 1, self._clock.now())
            expect: int | Presence = Presence.ABSENT
        else:
            old, expect = found
            cursor, cursor_revision = kept if kept is not None else (records.CursorRecord(0), 0)
            record = records.GroupRecord(settings or old.settings, old.epoch + 1, old.created)
        operations: list[Operation] = [Put(GROUPS, place, records.encode(record), expect=expect)]
        if found is None:
            operations.append(Put(CURSORS, place, records.encode(cursor)))
        operations += _beside(entry)
        revision = await self._commit(namespace, *operations)
        leader = Leader(
            self._engine,
            self._clock,
            namespace,
            topic,
            name,
            settings=record.settings,
            epoch=record.epoch,
            revision=revision,
            cursor=cursor,
            cursor_revision=revision if found is None else cursor_revision,
        )
        leader.on_closed = lambda: self._on_closed(key, leader)
        await leader.open()
        self._open[key] = leader
        self.on_open(leader)
        return leader

    async def _change(self, leader: Leader, settings: GroupSettings, entry: Append | None) -> None:
        place = group_key(leader.topic, leader.name)
        found = await records.read_as(self._engine, leader.namespace, GROUPS, place, records.decode_group)
        if found is None:
            raise no_group(leader.topic, leader.name)
        record, revision = found
        fresh = records.GroupRecord(settings, record.epoch, record.created)
        put = Put(GROUPS, place, records.encode(fresh), expect=revision)
        leader.kept.revision = await self._commit(leader.namespace, put, *_beside(entry))
        leader.group.settings = settings

    def _make_room(self) -> None:
        if len(self._open) < MAX_OPEN:
            return
        idle = [(leader.used, key) for key, leader in self._open.items() if leader.idle]
        if not idle:
            raise errors.ServiceUnavailable(f"{MAX_OPEN} groups are being consumed, which is the most; try again later")
        _, key = min(idle)
        self._close_soon(self._open.pop(key))

    def _on_closed(self, key: _Key, leader: Leader) -> None:
        if self._open.get(key) is leader:
            del self._open[key]
        self._close_soon(leader)
        self.on_close(leader)

    def _close_soon(self, leader: Leader) -> None:
        task = asyncio.get_running_loop().create_task(leader.close(), name="microlite: close a group")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _commit(self, namespace: str, *operations: Any) -> int:
        return (await self._engine.commit(Batch(namespace, operations))).revision


def _beside(entry: Append | None) -> tuple[Append, ...]:
    return () if entry is None else (entry,)


def check_settings(settings: GroupSettings) -> None:
    """Raise `errors.BadRequest` for settings that cannot be."""
    if settings.retries < -1:
        raise errors.BadRequest(f"retries: expected a number of 0 or more, or -1 for no limit, got {settings.retries}")
    if not 0 < settings.ack_wait <= 86_400:
        raise errors.BadRequest(f"ack_wait: expected more than 0 and at most 86400 seconds, got {settings.ack_wait:g}")
    if not 0 <= settings.backoff <= settings.max_backoff:
        raise errors.BadRequest("backoff: expected 0 or more seconds, and not more than max_backoff")
    if not 1 <= settings.concurrency <= 500:
        raise errors.BadRequest(f"concurrency: expected 1 to 500, got {settings.concurrency}")
