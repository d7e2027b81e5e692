"""The state machine of a group does what a plain model says, whatever happens in whatever order, crashes included."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from microlite.core.events.api import GroupSettings
from microlite.core.events.group import Changes, Delivery, Failures, Group

RETRIES = 2
SETTINGS = GroupSettings(retries=RETRIES, ack_wait=30.0, backoff=1.0, max_backoff=4.0)
WINDOW = 12


@dataclass
class Disk:
    """What a commit leaves behind."""

    head: int = 0
    open: tuple[int, ...] = ()
    failed: dict[int, Failures] = field(default_factory=dict)
    dead: dict[int, Failures] = field(default_factory=dict)

    def write(self, changes: Changes) -> None:
        self.head, self.open = changes.head, changes.open
        self.failed.update(dict(changes.failed))
        for position in changes.cleared:
            del self.failed[position]
        for one in changes.dead:
            assert one.position not in self.dead, "an event dies once"
            self.dead[one.position] = one.failures

    def settled(self, position: int) -> bool:
        return position <= self.head and position not in self.open


class GroupMachine(RuleBasedStateMachine):
    """A group, its disk, and a model of what has to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.keys: dict[int, str] = {}
        self.skipped: set[int] = set()
        self.last = 0
        self.disk = Disk()
        self.group = Group(SETTINGS, window=WINDOW)
        self.flying: dict[int, Delivery] = {}
        self.deadlines: dict[int, float] = {}
        self.failures: dict[int, int] = {}  # of this life, and what was on disk at its beginning
        self.due: dict[int, float] = {}
        self.acked: set[int] = set()  # by this life
        self.given_up: set[int] = set()
        self.committing: Changes | None = None
        self.elsewhere: set[int] = set()  # acknowledged by a transaction

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from(["", "a", "b"]), gap=st.integers(0, 2), skip=st.booleans())
    def publish(self, key: str, gap: int, skip: bool) -> None:
        self.last += 1 + gap
        self.keys[self.last] = key
        if skip and not key:
            self.skipped.add(self.last)

    @rule()
    def read(self) -> None:
        while self.group.room:
            missing = self.group.missing
            later = [position for position in self.keys if position > self.group.read_to]
            position = missing[0] if missing else min(later, default=0)
            if not position:
                return
            self._add(position)

    def _add(self, position: int) -> None:
        if position in self.skipped or position in self.elsewhere:
            self.group.skip(position)
        else:
            self.group.add(position, self.keys[position], b"%d" % position, self.disk.failed.get(position))

    @rule(wait=st.sampled_from([None, 5.0]))
    def take(self, wait: float | None) -> None:
        delivery = self.group.take(self.now, wait)
        if delivery is None:
            self._nothing_was_ready()
            return
        position = delivery.position
        assert delivery.number not in self.flying
        assert delivery.payload == b"%d" % position
        assert position not in {other.position for other in self.flying.values()}, "under way twice"
        assert position not in self.acked | self.given_up | self.elsewhere | self.skipped, "settled, and delivered"
        assert not self.disk.settled(position), "settled on disk, and delivered"
        assert self.due.get(position, 0.0) <= self.now, "too early"
        assert delivery.attempt == self.failures.get(position, 0) + 1
        assert delivery.attempt <= RETRIES + 1, "more often than allowed"
        kept = self.disk.failed.get(position)
        assert (kept.count if kept else 0) == self.failures.get(position, 0), "delivered again before that was on disk"
        for other, key in self.keys.items():
            if other < position and key and key == self.keys[position]:
                assert self.disk.settled(other) or other in self.elsewhere, "overtook one with its key"
        self.flying[delivery.number] = delivery
        self.deadlines[delivery.number] = self.now + (SETTINGS.ack_wait if wait is None else wait)

    def _nothing_was_ready(self) -> None:
        """Whatever could be delivered is held up by something that a plain look finds too."""
        under_way = {delivery.position for delivery in self.flying.values()}
        heads: set[str] = set()
        for position in sorted(self.keys):
            key = self.keys[position]
            if position > self.group.read_to or position in self.group.missing or self.disk.settled(position):
                continue
            if position in self.skipped:
                continue
            if key and key in heads:
                continue  # behind an earlier one
            if key:
                heads.add(key)
            settled = position in self.acked | self.given_up | self.elsewhere
            kept = self.disk.failed.get(position)
            unsaved = (kept.count if kept else 0) != self.failures.get(position, 0)
            early = self.due.get(position, 0.0) > self.now
            assert position in under_way or settled or unsaved or early, f"{position} was ready"

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.flying)))
        delivery = self._land(number)
        assert self.group.ack(number) == delivery.position
        assert self.group.ack(number) is None
        self.acked.add(delivery.position)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), delay=st.sampled_from([None, 0.0, 10.0]), dead=st.booleans())
    def fail(self, data: st.DataObject, delay: float | None, dead: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.flying)))
        assert self.group.fail(number, self.now, "no", "n", delay=delay, dead=dead)
        assert not self.group.fail(number, self.now, "no")
        self._failed(number, delay, dead=dead)

    def _failed(self, number: int, delay: float | None, *, dead: bool = False) -> None:
        position = self._land(number).position
        count = self.failures[position] = self.failures.get(position, 0) + 1
        if dead or count > RETRIES:
            self.given_up.add(position)
        else:
            self.due[position] = self.now + (min(2.0 ** (count - 1), 4.0) if delay is None else delay)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.flying)))
        assert self.group.release(number, self.now, 1.0)
        self.due[self._land(number).position] = self.now + 1.0

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.flying)))
        assert self.group.extend(number, self.now, 50.0)
        self.deadlines[number] = self.now + 50.0

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def settle_elsewhere(self, data: st.DataObject) -> None:
        """A transaction acknowledged what is under way."""
        if not self.flying:
            return
        number = data.draw(st.sampled_from(sorted(self.flying)))
        position = self._land(number).position
        self.elsewhere.add(position)
        assert self.group.number_of(position) == number
        assert self.group.acked(position)
        assert not self.group.acked(position)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        times = [*self.deadlines.values(), *(self.due[p] for p in self._resting())]
        told = self.group.next_time()
        assert (told is None) == (not times)
        if told is not None:
            assert told == min(times)
        self.now += seconds
        self.group.wake(self.now)
        later = self.group.next_time()
        assert later is None or later > self.now or later in self.deadlines.values(), "it would be woken for ever"
        overdue = {number for number, deadline in self.deadlines.items() if deadline <= self.now}
        assert set(self.group.overdue(self.now)) == overdue
        for number in overdue:
            assert self.group.fail(number, self.now, "late")
            self._failed(number, None)

    def _resting(self) -> set[int]:
        """What waits for its time, and for nothing else."""
        entries = self.group._entries
        return {position for position, entry in entries.items() if entry.stage.name == "RESTING"}

    @precondition(lambda self: self.committing is None and self.group.dirty)
    @rule()
    def begin_commit(self) -> None:
        self.committing = self.group.begin_commit()

    @precondition(lambda self: self.committing is not None)
    @rule(fails=st.booleans())
    def end_commit(self, fails: bool) -> None:
        assert self.committing is not None
        changes, self.committing = self.committing, None
        if fails:
            self.group.abort_commit()
            assert self.group.dirty
            return
        self.disk.write(changes)
        self.group.end_commit(changes)

    @rule(written=st.booleans())
    def crash(self, written: bool) -> None:
        """The process ends at once; a commit under way may have come to disk, or not."""
        if self.committing is not None and written:
            self.disk.write(self.committing)
        self.committing = None
        self.flying.clear()
        self.deadlines.clear()
        self.acked.clear()
        self.given_up = set(self.disk.dead)
        self.failures = {position: kept.count for position, kept in self.disk.failed.items()}
        self.due = {position: kept.due for position, kept in self.disk.failed.items()}
        self.group = Group(SETTINGS, self.disk.head, self.disk.open, window=WINDOW)

    def _land(self, number: int) -> Delivery:
        del self.deadlines[number]
        return self.flying.pop(number)

    # -- what holds ----------------------------------------------------------------------------------------------------

    @invariant()
    def what_is_on_disk_is_what_was_settled(self) -> None:
        for position in self.disk.dead:
            assert self.disk.settled(position)
            assert self.disk.dead[position].count <= RETRIES + 1
        for position in self.disk.failed:
            assert not self.disk.settled(position) or position in self.elsewhere

    @invariant()
    def the_window_is_bounded(self) -> None:
        assert len(self.group._entries) + len(self.group._settled) <= WINDOW
        assert self.group.flying == len(self.flying)

    def teardown(self) -> None:
        """Everything is settled in the end, if consumers succeed."""
        if self.committing is not None:
            self.end_commit(fails=False)
        for _ in range(20 * (len(self.keys) + 2)):
            self.read()
            while self.group.dirty:
                self.begin_commit()
                self.end_commit(fails=False)
            self.now += 60.0
            for number in self.group.overdue(self.now):
                self.group.fail(number, self.now, "late")
                self._failed(number, None)
            while (delivery := self.group.take(self.now)) is not None:
                self.group.ack(delivery.number)
        assert all(self.disk.settled(position) for position in self.keys)
        assert not self.disk.failed
        assert self.group.unsettled == 0


GroupMachine.TestCase.settings = hypothesis_settings(max_examples=100, stateful_step_count=50, deadline=None)
TestGroup = GroupMachine.TestCase


def group_of(*keys: str, **options: float) -> Group:
    group = Group(GroupSettings(**options))  # type: ignore[arg-type]  # numbers
    for position, key in enumerate(keys, 1):
        group.add(position, key, b"")
    return group


def commit(group: Group) -> Changes:
    changes = group.begin_commit()
    group.end_commit(changes)
    return changes


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_an_event_is_delivered_once_more_than_it_is_retried(retries: int) -> None:
    group = group_of("", retries=retries, backoff=0.0)
    deliveries = 0
    while (delivery := group.take(0.0)) is not None:
        deliveries += 1
        assert delivery.attempt == deliveries
        group.fail(delivery.number, 0.0, f"error {deliveries}", "node-1")
        changes = commit(group)
    assert deliveries == retries + 1
    (dead,) = changes.dead
    assert [attempt.error for attempt in dead.failures.attempts] == [f"error {n}" for n in range(1, deliveries + 1)]
    assert {attempt.node for attempt in dead.failures.attempts} == {"node-1"}


def test_without_a_limit_an_event_never_dies() -> None:
    group = group_of("", retries=-1, backoff=0.0)
    for _ in range(100):
        delivery = group.take(0.0)
        assert delivery is not None
        group.fail(delivery.number, 0.0, "no")
        assert not commit(group).dead


def test_each_wait_is_twice_as_long_up_to_the_longest() -> None:
    group = group_of("", retries=-1, backoff=1.0, max_backoff=5.0)
    now, waits = 0.0, []
    for _ in range(5):
        delivery = group.take(now)
        assert delivery is not None
        group.fail(delivery.number, now, "no")
        commit(group)
        due = group.next_time()
        assert due is not None
        assert group.take(due - 0.001) is None
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_key_waits_for_the_disk_and_others_do_not() -> None:
    group = group_of("a", "a", "b", "")
    first = group.take(0.0)
    assert first is not None
    assert [group.take(0.0), group.take(0.0), group.take(0.0)][2] is None
    group.ack(first.number)
    assert group.take(0.0) is None
    commit(group)
    second = group.take(0.0)
    assert second is not None
    assert second.position == 2


def test_a_dead_event_lets_the_next_of_its_key_go_on() -> None:
    group = group_of("a", "a")
    first = group.take(0.0)
    assert first is not None
    group.fail(first.number, 0.0, "never", dead=True)
    assert [dead.position for dead in commit(group).dead] == [1]
    second = group.take(0.0)
    assert second is not None
    assert second.position == 2


def test_an_ack_within_a_transaction_takes_back_a_death_that_was_not_committed() -> None:
    group = group_of("")
    delivery = group.take(0.0)
    assert delivery is not None
    group.fail(delivery.number, 0.0, "no", dead=True)
    assert not group.acked(1)
    changes = commit(group)
    assert changes.settled == (1,)
    assert not changes.dead


def test_the_bytes_of_a_window_are_bounded() -> None:
    group = Group(GroupSettings())
    for position in range(1, 100):
        if not group.room:
            break
        group.add(position, "", bytes(1 << 20))
    assert position == 9
    while (delivery := group.take(0.0)) is not None:
        group.ack(delivery.number)
    commit(group)
    assert group.room == 1_000
