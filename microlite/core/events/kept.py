"""What of a group is on disk, as its leader knows it: cursor, failures, dead letters, and the acks of transactions."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.engine.api import Batch, Check, Delete, Presence, Put
from microlite.core.events import records
from microlite.core.events.group import COMMIT_CHANGES, Changes
from microlite.core.events.records import ACKS, CURSORS, DEAD, FAILED, GROUPS, entry_key, group_key

if TYPE_CHECKING:
    from collections.abc import Collection

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine, Operation
    from microlite.core.events.group import Dead, Failures

MERGED_ACKS: Final = 600.0
"""Seconds for which an ack of a transaction is kept once the cursor has it: far longer than a commit takes that was planned
before, whose precondition it is that there is none."""

log = logging.getLogger("microlite.events")


class Kept:
    """The records of one group during one reign, and what of them is to be changed with the next commit.

    Args:
        epoch: of the reign.
        revision: of the group's record in it; renewed when its settings change.
        cursor_revision: of the cursor's record; 0 where there is none yet.
        durable: whether there are any. A private group leaves none.

    Attributes:
        published: when the entries in memory were published, by position.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        namespace: str,
        topic: str,
        name: str,
        *,
        epoch: int,
        revision: int,
        cursor_revision: int,
        durable: bool,
    ) -> None:
        self.epoch = epoch
        self.revision = revision
        self.durable = durable
        self.published: dict[int, float] = {}
        self._engine = engine
        self._clock = clock
        self._namespace = namespace
        self._topic = topic
        self._name = name
        self._cursor_revision = cursor_revision
        self._acked: set[int] = set()  # by transactions, before the entries were read
        self._orphans: set[int] = set()  # positions of which failures are kept, and which are gone
        self._merge: set[int] = set()  # acks of transactions to be marked as merged
        self._planned: set[int] = set()  # positions whose ack may come with a transaction
        self._failed_revisions: dict[int, int] = {}
        self._failures: dict[int, bytes] = {}  # of entries that are not read yet

    async def load(self) -> bool:
        """Read what was kept. Returns whether transactions have acknowledged entries that are to be read."""
        if not self.durable:
            return False
        prefix = group_key(self._topic, self._name) + "/"
        async for record in records.scan_all(self._engine, self._namespace, FAILED, prefix):
            position = records.position_of(record.key)
            self._failures[position] = record.value
            self._failed_revisions[position] = record.revision
        async for record in records.scan_all(self._engine, self._namespace, ACKS, prefix):
            if record.expires_at is None:
                self._acked.add(records.position_of(record.key))
        return bool(self._acked)

    @property
    def is_awaited(self) -> bool:
        """Whether a transaction may still acknowledge something, or has done so and the cursor does not have it."""
        return bool(self._planned or self._merge)

    # -- entries are read ----------------------------------------------------------------------------------------------

    def is_acked(self, position: int) -> bool:
        """Whether a transaction has acknowledged an entry before it was read; asked once, when it is."""
        if position not in self._acked:
            return False
        self._acked.discard(position)
        self._merge.add(position)
        return True

    def failures_of(self, position: int) -> Failures | None:
        """What was kept of the earlier deliveries of an entry; asked once, when it is read."""
        kept = self._failures.pop(position, None)
        return records.decode_failures(kept) if kept is not None else None

    def drop_trimmed(self, read_to: int, missing: Collection[int]) -> bool:
        """Give up what was kept of entries that were trimmed before they were read. Returns whether a commit may follow."""
        if not (self._failures or self._acked):
            return False
        passed = {p for p in (*self._failures, *self._acked) if p <= read_to}.difference(missing)
        self._merge.update(passed & self._acked)
        self._acked -= passed
        self._orphans.update(passed & self._failures.keys())
        for position in passed & self._failures.keys():
            del self._failures[position]
        return True

    # -- transactions acknowledge --------------------------------------------------------------------------------------

    def plan_ack(self, position: int) -> tuple[Operation, ...]:
        """The operations that settle an entry as a part of somebody's batch, unless it was settled or failed meanwhile."""
        self._planned.add(position)
        key = entry_key(self._topic, self._name, position)
        return (
            Put(ACKS, key, records.encode(records.AckRecord(self.epoch, self._clock.now())), expect=Presence.ABSENT),
            Check(FAILED, key, self._failed_revisions.get(position, Presence.ABSENT)),
            Check(GROUPS, group_key(self._topic, self._name), self.revision),
        )

    def note_ack(self, position: int, *, is_read: bool) -> None:
        """A transaction has acknowledged an entry."""
        (self._merge if is_read else self._acked).add(position)

    # -- and it all goes to disk ---------------------------------------------------------------------------------------

    def has_work(self, head: int) -> bool:
        """Whether a commit has something to do besides what has changed, where the head is to be on disk."""
        return bool(self._orphans) or any(position <= head for position in self._merge)

    async def commit(self, changes: Changes) -> None:
        """Bring changes to disk.

        Raises:
            errors.Conflict: somebody else has changed the records; see `look_again`.
            errors.Error: as `Engine.commit`.
        """
        merged = self._mergeable(changes)
        orphans = list(self._orphans)[:COMMIT_CHANGES]
        if self.durable:
            operations = self._operations(changes, merged)
            operations += [Delete(FAILED, entry_key(self._topic, self._name, position)) for position in orphans]
            committed = await self._engine.commit(Batch(self._namespace, tuple(operations)))
            self._cursor_revision = committed.revision
            for position, _ in changes.failed:
                self._failed_revisions[position] = committed.revision
        else:
            for dead in changes.dead:
                log.warning("an event of %s failed %d times, and is given up", self._topic, dead.failures.count)
        self._merge.difference_update(merged)
        self._orphans.difference_update(orphans)

    def forget(self, position: int) -> None:
        """An entry is settled on disk."""
        self.published.pop(position, None)
        self._planned.discard(position)
        self._failed_revisions.pop(position, None)

    async def look_again(self, changes: Changes) -> list[int]:
        """After a commit that did not go as it should: what is on disk, as others may have changed it.

        Returns:
            The positions of the changes that a transaction has acknowledged.

        Raises:
            errors.ServiceUnavailable: the group has another leader.
        """
        key = group_key(self._topic, self._name)
        group = await records.read_as(self._engine, self._namespace, GROUPS, key, records.decode_group)
        if group is None or group[0].epoch != self.epoch:
            raise errors.ServiceUnavailable("the group has another leader")
        self.revision = group[1]
        record = await self._engine.get(self._namespace, CURSORS, key)
        self._cursor_revision = record.revision if record is not None else 0
        failed = [position for position, _ in changes.failed]
        acked = []
        for position in (*failed, *(dead.position for dead in changes.dead)):
            if position in self._planned:
                ack = await self._engine.get(self._namespace, ACKS, entry_key(self._topic, self._name, position))
                if ack is not None:
                    acked.append(position)
        return acked

    def _mergeable(self, changes: Changes) -> list[int]:
        """Acks of transactions that this commit makes superfluous: the cursor has them."""
        if not self._merge:
            return []
        still_open = set(changes.open)
        found = (position for position in self._merge if position <= changes.head and position not in still_open)
        return list(itertools.islice(found, COMMIT_CHANGES))

    def _operations(self, changes: Changes, merged: list[int]) -> list[Operation]:
        now = self._clock.now()
        cursor = records.CursorRecord(changes.head, changes.open)
        expect = self._cursor_revision or Presence.ABSENT
        name = group_key(self._topic, self._name)
        operations: list[Operation] = [
            Check(GROUPS, name, self.revision),  # there is no other leader
            Put(CURSORS, name, records.encode(cursor), expect=expect),
        ]
        for position, failures in changes.failed:
            key = entry_key(self._topic, self._name, position)
            operations.append(Put(FAILED, key, records.encode(failures)))
            if position in self._planned:
                operations.append(Check(ACKS, key, Presence.ABSENT))
        operations += [Delete(FAILED, entry_key(self._topic, self._name, position)) for position in changes.cleared]
        for dead in changes.dead:
            key = entry_key(self._topic, self._name, dead.position)
            operations.append(Put(DEAD, key, records.encode(self._dead_letter(dead))))
            if dead.position in self._planned:
                operations.append(Check(ACKS, key, Presence.ABSENT))
        for position in merged:
            key = entry_key(self._topic, self._name, position)
            value = records.encode(records.AckRecord(self.epoch, now))
            operations.append(Put(ACKS, key, value, expires_at=now + MERGED_ACKS))
        return operations

    def _dead_letter(self, dead: Dead) -> records.DeadRecord:
        last = dead.failures.attempts[-1]
        return records.DeadRecord(
            envelope=dead.payload,
            position=dead.position,
            error=last.error,
            kind=records.kind_of(last.error),
            died=last.at,
            published=self.published.get(dead.position, 0.0),
            attempts=dead.failures.attempts,
            deliveries=dead.failures.count,
        )
