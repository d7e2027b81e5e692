"""What a group of consumers does with the entries of its topic, without I/O: a state machine that is told the time.

An entry comes in (`add`), waits its turn, is handed out (`take`), and is settled: by an ack, or by dying after its last
attempt. What of this must outlive a crash is gathered (`begin_commit`) into one commit at a time; an entry is only really
settled, a failed one only delivered again, and a key's next entry only handed out, when that commit is on disk
(`end_commit`). So what a crash leaves is always a state in which all these orders hold.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.events.api import Attempt, GroupSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = 1_000
"""Entries of a group that are in memory and not settled on disk: being handled, waiting to be, or failed."""

WINDOW_BYTES: Final = 8 << 20
"""Bytes of those entries, beyond which no more are read ahead."""

KEPT_ATTEMPTS: Final = 20
"""Failed attempts of an entry that are remembered in full; of more, the latest."""

COMMIT_CHANGES: Final = 150
"""Entries whose failures and deaths go into one commit; each is up to three operations of the engine."""

COMMIT_BYTES: Final = 3 << 20
"""Bytes of dead entries and of errors in one commit, beyond one entry."""


class Stage(Enum):
    """Where an entry of the window stands."""

    BLOCKED = "behind an earlier one with its key"
    READY = "to be handed out"
    FLYING = "handed out"
    FAILED = "failed, and that is not on disk yet"
    RESTING = "to be handed out when its time has come"
    SETTLED = "acknowledged or dead, and that is not on disk yet"


class Failures(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of an entry that failed.

    Attributes:
        count: how many deliveries failed.
        due: when it may be delivered again, in seconds since the Unix epoch.
        attempts: the last of them.
    """

    count: int
    due: float
    attempts: tuple[Attempt, ...]


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """An entry that is handed out.

    Attributes:
        number: unlike that of any other delivery of this group since it was opened.
        attempt: which delivery of the entry this is, from 1.
        payload: the entry.
    """

    number: int
    position: int
    attempt: int
    payload: bytes


class Dead(msgspec.Struct, frozen=True):
    """An entry that is given up."""

    position: int
    payload: bytes
    failures: Failures


class Changes(msgspec.Struct, frozen=True):
    """What one commit has to bring to disk.

    Attributes:
        head: the highest position that is settled; none above it is.
        open: the positions below it that are not settled, ascending.
        failed: entries that failed, with all that is known of their failures.
        settled: positions that are settled by this commit.
        cleared: those of them for which failures were kept before.
        dead: those of them that died.
    """

    head: int
    open: tuple[int, ...]
    failed: tuple[tuple[int, Failures], ...]
    settled: tuple[int, ...]
    cleared: tuple[int, ...]
    dead: tuple[Dead, ...]


class _Entry:
    __slots__ = (
        "attempts",
        "awaited",
        "count",
        "dead",
        "deadline",
        "due",
        "kept",
        "key",
        "number",
        "payload",
        "position",
        "stage",
    )

    def __init__(self, position: int, key: str, payload: bytes) -> None:
        self.position = position
        self.key = key
        self.payload = payload
        self.stage = Stage.BLOCKED
        self.count = 0
        self.attempts: tuple[Attempt, ...] = ()
        self.due = 0.0
        self.deadline = 0.0
        self.number = 0
        self.kept = False  # whether its failures are on disk
        self.dead = False
        self.awaited = False  # whether another one waited for it when it was settled


class Group:
    """The state of one group. All times are in seconds since the Unix epoch, as its caller tells them.

    Args:
        settings: how to handle entries; may be replaced at any time.
        head: the highest position that was settled.
        unsettled: the positions below it that were not. Their entries have to be added first, in order.
    """

    def __init__(
        self, settings: GroupSettings, head: int = 0, unsettled: Iterable[int] = (), *, window: int = WINDOW
    ) -> None:
        self.settings = settings
        self.head = head
        self.read_to = head
        """The highest position that was added, or settled before."""
        self.flying = 0
        """Deliveries that are under way."""
        self._window = window
        self._missing = set(unsettled)  # not settled, and not added yet
        self._entries: dict[int, _Entry] = {}  # not settled, in the order of their positions
        self._settled: dict[int, _Entry] = {}  # settled, and not on disk yet
        self._failed: dict[int, _Entry] = {}  # failed, and that is not on disk yet
        self._keys: dict[str, deque[int]] = {}
        self._ready: list[int] = []
        self._resting: list[tuple[float, int]] = []
        self._deadlines: list[tuple[float, int]] = []
        self._deliveries: dict[int, _Entry] = {}
        self._numbers = itertools.count(1)
        self._bytes = 0
        self._awaited = 0
        self._moved = False  # whether the head or the holes below it are other than on disk

    # -- entries come in -----------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more entries may be added now."""
        if self._bytes >= WINDOW_BYTES:
            return 0
        return max(0, self._window - len(self._entries) - len(self._settled))

    @property
    def missing(self) -> list[int]:
        """The positions, ascending, whose entries have to be added before any other."""
        return sorted(self._missing)

    def add(self, position: int, key: str, payload: bytes, failures: Failures | None = None) -> None:
        """Take an entry in, in the order of positions.

        Args:
            failures: what was kept of its earlier deliveries.
        """
        if position in self._missing:
            self._missing.discard(position)
        elif position <= self.read_to:
            return
        self.read_to = max(self.read_to, position)
        entry = self._entries[position] = _Entry(position, key, payload)
        self._bytes += len(payload)
        if failures is not None:
            entry.count, entry.due, entry.attempts, entry.kept = failures.count, failures.due, failures.attempts, True
        if key:
            line = self._keys.get(key)
            if line is None:
                self._keys[key] = deque((position,))
            else:
                line.append(position)
                return
        self._begin(entry)

    def skip(self, position: int) -> None:
        """An entry that this group has nothing to do with, or that is gone, counts as settled."""
        if position in self._missing:
            self._missing.discard(position)
            self._moved = True
        elif position > self.read_to:
            self.read_to = position
            self.head = max(self.head, position)
            self._moved = True

    # -- and are handed out --------------------------------------------------------------------------------------------

    def take(self, now: float, ack_wait: float | None = None) -> Delivery | None:
        """Hand out the next entry whose turn it is, if there is one.

        Args:
            ack_wait: seconds for this delivery, in place of those of the settings.
        """
        self.wake(now)
        while self._ready:
            entry = self._entries.get(heapq.heappop(self._ready))
            if entry is None or entry.stage is not Stage.READY:
                continue
            entry.stage = Stage.FLYING
            entry.number = next(self._numbers)
            entry.deadline = now + (self.settings.ack_wait if ack_wait is None else ack_wait)
            heapq.heappush(self._deadlines, (entry.deadline, entry.number))
            self._deliveries[entry.number] = entry
            self.flying += 1
            return Delivery(entry.number, entry.position, entry.count + 1, entry.payload)
        return None

    def wake(self, now: float) -> None:
        """Let what has rested until its time be ready, so that `next_time` says when the next one is."""
        while self._resting and self._resting[0][0] <= now:
            due, position = heapq.heappop(self._resting)
            entry = self._entries.get(position)
            if entry is not None and entry.stage is Stage.RESTING and entry.due == due:
                entry.stage = Stage.READY
                heapq.heappush(self._ready, position)

    def next_time(self) -> float | None:
        """When `take` or `overdue` will have something to do, should nothing happen before."""
        while self._deadlines:
            deadline, number = self._deadlines[0]
            entry = self._deliveries.get(number)
            if entry is not None and entry.deadline == deadline:
                break
            heapq.heappop(self._deadlines)
        while self._resting:
            due, position = self._resting[0]
            entry = self._entries.get(position)
            if entry is not None and entry.stage is Stage.RESTING and entry.due == due:
                break
            heapq.heappop(self._resting)
        times = [heap[0][0] for heap in (self._deadlines, self._resting) if heap]
        return min(times) if times else None

    def overdue(self, now: float) -> list[int]:
        """The numbers of deliveries whose time for an ack has passed, each once: the caller lets them fail."""
        numbers = []
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, number = heapq.heappop(self._deadlines)
            entry = self._deliveries.get(number)
            if entry is not None and entry.deadline == deadline:
                entry.deadline = math.inf  # one that was extended twice may stand there twice
                numbers.append(number)
        return numbers

    # -- and come back -------------------------------------------------------------------------------------------------

    def holds(self, number: int) -> bool:
        """Whether a delivery is under way."""
        return number in self._deliveries

    def position_of(self, number: int) -> int:
        """The position of the entry of a delivery that is under way."""
        return self._deliveries[number].position

    def number_of(self, position: int) -> int | None:
        """The number of the delivery of an entry that is under way, or None."""
        entry = self._entries.get(position)
        return entry.number if entry is not None and entry.stage is Stage.FLYING else None

    def ack(self, number: int) -> int | None:
        """A delivery has succeeded. Returns the position of its entry, or None where it is not under way any more."""
        entry = self._land(number)
        if entry is None:
            return None
        self._settle(entry)
        return entry.position

    def acked(self, position: int) -> bool:
        """An entry was settled on disk by somebody else, as a part of a transaction. Returns whether that is news."""
        entry = self._entries.get(position)
        if entry is None:
            if position in self._settled:
                self._settled[position].dead = False
            return False
        if entry.stage is Stage.FLYING:
            self._land(entry.number)
        self._failed.pop(position, None)
        self._settle(entry)
        return True

    def fail(
        self,
        number: int,
        now: float,
        error: str,
        node: str = "",
        *,
        delay: float | None = None,
        dead: bool = False,
    ) -> bool:
        """A delivery has failed: it is delivered again later, or dies if it was the last one that is allowed.

        Args:
            delay: seconds until then, in place of the backoff.
            dead: whether to give the entry up at once.

        Returns:
            Whether the delivery was under way.
        """
        entry = self._land(number)
        if entry is None:
            return False
        settings = self.settings
        entry.count += 1
        entry.attempts = (*entry.attempts, Attempt(at=now, error=error, node=node))[-KEPT_ATTEMPTS:]
        if dead or 0 <= settings.retries < entry.count:
            entry.dead = True
            self._settle(entry)
            return True
        if delay is None:
            delay = min(settings.backoff * 2.0 ** min(entry.count - 1, 60), settings.max_backoff)
        entry.due = now + max(0.0, delay)
        entry.stage = Stage.FAILED
        self._failed[entry.position] = entry
        return True

    def release(self, number: int, now: float, pause: float = 0.0) -> bool:
        """A delivery did not take place: it does not count, and its entry is handed out again.

        Args:
            pause: seconds until then.

        Returns:
            Whether the delivery was under way.
        """
        entry = self._land(number)
        if entry is None:
            return False
        entry.due = now + pause
        self._rest(entry)
        return True

    def extend(self, number: int, now: float, wait: float) -> bool:
        """Give a delivery more time: `wait` seconds from now on. Returns whether it was under way."""
        entry = self._deliveries.get(number)
        if entry is None:
            return False
        entry.deadline = now + wait
        heapq.heappush(self._deadlines, (entry.deadline, number))
        return True

    # -- and to disk ---------------------------------------------------------------------------------------------------

    @property
    def dirty(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._settled or self._failed or self._moved)

    def begin_commit(self) -> Changes:
        """What a commit has to write now. Only one at a time: `end_commit` follows, or, when it failed, `abort_commit`."""
        self._moved = False
        settled: list[_Entry] = []
        size = 0
        deaths = 0
        for entry in self._settled.values():
            if entry.dead:
                deaths += 1
                size += len(entry.payload) + _weight(entry)
                if deaths > COMMIT_CHANGES or (size > COMMIT_BYTES and deaths > 1):
                    break
            elif entry.kept:
                deaths += 1
                if deaths > COMMIT_CHANGES:
                    break
            settled.append(entry)
        failed: list[_Entry] = []
        for entry in self._failed.values():
            size += _weight(entry)
            if len(failed) + deaths >= COMMIT_CHANGES or (size > COMMIT_BYTES and failed):
                break
            failed.append(entry)
        late = set(self._settled)
        late.difference_update(entry.position for entry in settled)
        head = max(self.head, max((entry.position for entry in settled), default=0))
        return Changes(
            head=head,
            open=self._holes(head, late),
            failed=tuple((entry.position, Failures(entry.count, entry.due, entry.attempts)) for entry in failed),
            settled=tuple(entry.position for entry in settled),
            cleared=tuple(entry.position for entry in settled if entry.kept),
            dead=tuple(
                Dead(entry.position, entry.payload, Failures(entry.count, entry.due, entry.attempts))
                for entry in settled
                if entry.dead
            ),
        )

    def end_commit(self, changes: Changes) -> None:
        """The commit is on disk."""
        self.head = max(self.head, changes.head)
        for position in changes.settled:
            entry = self._settled.pop(position)
            self._bytes -= len(entry.payload)
            self._awaited -= entry.awaited
            if entry.key:
                self._free_key(entry.key)
        for position, _ in changes.failed:
            failed = self._failed.pop(position, None)
            if failed is not None:
                failed.kept = True
                self._rest(failed)
            elif position in self._settled:  # acknowledged by a transaction meanwhile
                self._settled[position].kept = True

    def abort_commit(self) -> None:
        """The commit failed: what it should have written is written by the next one."""
        self._moved = True

    # -- what is there -------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> int:
        """How many entries are settled, and not on disk yet."""
        return len(self._settled)

    @property
    def is_awaited(self) -> bool:
        """Whether an entry waits for one with its key that is settled, and not on disk yet."""
        return self._awaited > 0

    @property
    def retrying(self) -> int:
        """How many entries failed, and are to be delivered again."""
        return sum(1 for entry in self._entries.values() if entry.count and entry.stage is not Stage.FLYING)

    @property
    def unsettled(self) -> int:
        """How many entries up to `read_to` are not settled."""
        return len(self._entries) + len(self._missing)

    @property
    def first_unsettled(self) -> int:
        """The lowest position that is not settled, or will be the next."""
        candidates = [*self._missing, *itertools.islice(self._entries, 1)]
        return min(candidates, default=self.read_to + 1)

    @property
    def idle(self) -> bool:
        """Whether nothing of it is under way or waits for the disk."""
        return not (self.flying or self._settled or self._failed)

    def _holes(self, head: int, late: set[int]) -> tuple[int, ...]:
        """The positions below `head` that are not settled; those of `late` are, but not in this commit."""
        holes = [position for position in self._missing if position < head]
        holes.extend(position for position in late if position < head)
        for position in self._entries:
            if position > head:
                break
            holes.append(position)
        holes.sort()
        return tuple(holes)

    def _begin(self, entry: _Entry) -> None:
        """It is the first of its key, or has none."""
        if entry.due:
            self._rest(entry)
        else:
            entry.stage = Stage.READY
            heapq.heappush(self._ready, entry.position)

    def _rest(self, entry: _Entry) -> None:
        entry.stage = Stage.RESTING
        heapq.heappush(self._resting, (entry.due, entry.position))

    def _land(self, number: int) -> _Entry | None:
        entry = self._deliveries.pop(number, None)
        if entry is not None:
            self.flying -= 1
        return entry

    def _settle(self, entry: _Entry) -> None:
        entry.stage = Stage.SETTLED
        if entry.key and len(self._keys[entry.key]) > 1:
            self._awaited += 1
            entry.awaited = True
        del self._entries[entry.position]
        self._settled[entry.position] = entry

    def _free_key(self, key: str) -> None:
        line = self._keys[key]
        line.popleft()
        if not line:
            del self._keys[key]
            return
        self._begin(self._entries[line[0]])


def _weight(entry: _Entry) -> int:
    """About how many bytes what is kept of an entry's failures has, at most."""
    return sum(4 * len(attempt.error) for attempt in entry.attempts)
