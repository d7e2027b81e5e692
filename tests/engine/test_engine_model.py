"""Property of every engine: whatever is done to it, it answers as a dictionary with revisions and a few lists would."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import (
    Append,
    Batch,
    Change,
    ChangeKind,
    Check,
    Committed,
    Delete,
    Engine,
    Entry,
    Expectation,
    Operation,
    Presence,
    Put,
    Record,
    Resync,
    StreamState,
)
from tests.engine.engine_parts import ENGINES

KEYS = st.sampled_from(["a", "a/1", "a/2", "a0", "b", "ä", "\U0001f600", "z￿"])
BUCKETS = st.sampled_from(["x", "y"])
PREFIXES = st.sampled_from(["", "a", "a/", "ä", "z", "none"])
SUFFIXES = st.sampled_from(["", "1", "a"])
VALUES = st.binary(max_size=3)
LIVES = st.one_of(st.none(), st.integers(-1, 5))
EXPECTATIONS = st.one_of(st.none(), st.sampled_from([*Presence, "current", "stale"]))
STEPS = st.tuples(st.sampled_from(["put", "delete", "check"]), BUCKETS, KEYS, VALUES, LIVES, EXPECTATIONS)
RECORDS = st.lists(STEPS, max_size=4, unique_by=lambda step: (step[1], step[2]))
STREAMS = st.sampled_from(["s", "t"])
APPENDS = st.lists(st.builds(Append, STREAMS, VALUES), max_size=3)
BATCHES = st.tuples(RECORDS, APPENDS)
Step = tuple[str, str, str, bytes, int | None, Presence | str | None]


@dataclass
class Log:
    """A stream as the model has it: all that was ever in it, and up to which position it is trimmed."""

    entries: list[Entry] = field(default_factory=list)
    trimmed: int = 0
    dropped: bool = False

    @property
    def last(self) -> int:
        return self.entries[-1].position if self.entries else 0

    @property
    def left(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.position > self.trimmed]

    @property
    def state(self) -> StreamState:
        left = self.left
        first = left[0].position if left else self.last + 1
        return StreamState(first, self.last, len(left), sum(len(entry.value) for entry in left))


class Model(RuleBasedStateMachine):
    """An engine beside a dictionary that gets the same operations; and a mirror that follows a watch."""

    name = ""
    """Of the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.records: dict[tuple[str, str], Record] = {}
        self.revision = 0
        self.mirror: dict[str, bytes] = {}
        self.streams = {"s": Log(), "t": Log()}

    @initialize()
    def begin(self) -> None:
        self.engine = self.runner.run(self.open())
        self.watch = self.engine.watch("n", "x", prefix="a", from_revision=0)
        self.runner.run(self.watch.__aenter__())

    async def open(self) -> Engine:
        self.opened = ENGINES[self.name](Path(self.folder.name), self.clock)
        return await self.opened.__aenter__()

    def teardown(self) -> None:
        if hasattr(self, "watch"):
            self.runner.run(self.watch.__aexit__(None, None, None))
            self.runner.run(self.opened.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    def alive(self, bucket: str, key: str) -> Record | None:
        record = self.records.get((bucket, key))
        if record is None or (record.expires_at is not None and record.expires_at <= self.clock.now()):
            return None
        return record

    def listed(self, bucket: str, prefix: str = "", suffix: str = "") -> list[Record]:
        keys = sorted(
            key for of, key in self.records if of == bucket and key.startswith(prefix) and key.endswith(suffix)
        )
        return [record for key in keys if (record := self.alive(bucket, key)) is not None]

    def operation(self, step: Step) -> Operation:
        kind, bucket, key, value, life, wish = step
        record = self.alive(bucket, key)
        expect: Expectation = wish if isinstance(wish, Presence) else None
        if isinstance(wish, str):
            current = record.revision if record is not None else self.revision + 1
            expect = current if wish == "current" else current + 1_000
        if kind == "put":
            return Put(bucket, key, value, None if life is None else self.clock.now() + life, expect)
        if kind == "delete":
            return Delete(bucket, key, expect)
        return Check(bucket, key, Presence.PRESENT if expect is None else expect)

    def apply(self, operations: tuple[Operation, ...], outcome: Committed | BaseException) -> None:
        """Judge what the engine answered, and do the same to the dictionary and the lists."""
        records = [one for one in operations if not isinstance(one, Append)]
        appends = [one for one in operations if isinstance(one, Append)]
        before = {(one.bucket, one.key): self.alive(one.bucket, one.key) for one in records}
        refused = [one for one in records if not self.holds(one.expect, before[one.bucket, one.key])]
        if refused:
            assert isinstance(outcome, errors.Conflict), (outcome, refused)
            assert any(f"{one.bucket}/{one.key}" in outcome.detail for one in refused)
            return
        assert isinstance(outcome, Committed), outcome
        changing = [
            one for one in records if isinstance(one, Put) or (isinstance(one, Delete) and before[one.bucket, one.key])
        ]
        assert outcome.revision > self.revision if changing or appends else outcome.revision >= self.revision
        self.revision = outcome.revision
        for one in changing:
            if isinstance(one, Put):
                self.records[one.bucket, one.key] = Record(one.key, one.value, self.revision, one.expires_at)
            else:
                self.records.pop((one.bucket, one.key), None)
        assert len(outcome.positions) == len(appends)
        for position, append in zip(outcome.positions, appends, strict=True):
            stream = self.streams[append.stream]
            assert position > stream.last
            stream.entries.append(Entry(position, self.clock.now(), append.value))
            stream.dropped = False

    @staticmethod
    def holds(expect: Expectation, record: Record | None) -> bool:
        if expect is None:
            return True
        if isinstance(expect, Presence):
            return (expect is Presence.PRESENT) == (record is not None)
        return record is not None and record.revision == expect

    def operations(self, steps: tuple[list[Step], list[Append]]) -> tuple[Operation, ...]:
        return (*map(self.operation, steps[0]), *steps[1])

    @rule(steps=BATCHES)
    def commit(self, steps: tuple[list[Step], list[Append]]) -> None:
        operations = self.operations(steps)
        self.apply(operations, *self.together([operations]))

    @rule(batches=st.lists(BATCHES, min_size=2, max_size=4))
    def commit_together(self, batches: list[tuple[list[Step], list[Append]]]) -> None:
        """Batches that wait together are judged one after the other, each on what those before it left."""
        several = [self.operations(steps) for steps in batches]
        for operations, outcome in zip(several, self.together(several), strict=True):
            self.apply(operations, outcome)

    def together(self, several: list[tuple[Operation, ...]]) -> list[Committed | BaseException]:
        async def commit() -> list[Committed | BaseException]:
            commits = (self.engine.commit(Batch("n", operations)) for operations in several)
            return list(await asyncio.gather(*commits, return_exceptions=True))

        return self.runner.run(commit())

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.revision)
    @rule()
    def restart(self) -> None:
        async def restart() -> Engine:
            await self.watch.__aexit__(None, None, None)
            await self.opened.__aexit__(None, None, None)
            self.engine = await self.open()
            self.watch = self.engine.watch("n", "x", prefix="a", from_revision=self.watch.revision)
            await self.watch.__aenter__()
            return self.engine

        self.runner.run(restart())

    @rule(bucket=BUCKETS, keys=st.lists(KEYS, max_size=4))
    def read(self, bucket: str, keys: list[str]) -> None:
        found = self.runner.run(self.engine.get_many("n", bucket, keys))
        assert found == tuple(self.alive(bucket, key) for key in keys)
        for key in keys:
            assert self.runner.run(self.engine.get("n", bucket, key)) == self.alive(bucket, key)

    @rule(bucket=BUCKETS, prefix=PREFIXES, suffix=SUFFIXES, limit=st.integers(1, 4), reverse=st.booleans())
    def scan(self, bucket: str, prefix: str, suffix: str, limit: int, reverse: bool) -> None:
        async def scan() -> list[Record]:
            found: list[Record] = []
            after: str | None = ""
            while after is not None:
                page = await self.engine.scan(
                    "n", bucket, prefix=prefix, suffix=suffix, after=after, limit=limit, reverse=reverse
                )
                found += page.records
                after = page.cursor
            return found

        wanted = self.listed(bucket, prefix, suffix)
        assert self.runner.run(scan()) == (wanted[::-1] if reverse else wanted)
        assert self.runner.run(self.engine.count("n", bucket, prefix=prefix, suffix=suffix)) == len(wanted)

    @rule(name=STREAMS, through=st.integers(0, 12), drop=st.booleans())
    def trim(self, name: str, through: int, drop: bool) -> None:
        stream = self.streams[name]
        if drop:
            self.runner.run(self.engine.drop_stream("n", name))
            stream.trimmed, stream.dropped = stream.last, True
        else:
            self.runner.run(self.engine.trim("n", name, through))
            stream.trimmed = max(stream.trimmed, min(through, stream.last))

    @rule(name=STREAMS, after=st.integers(0, 12), limit=st.integers(1, 4), reverse=st.booleans())
    def read_stream(self, name: str, after: int, limit: int, reverse: bool) -> None:
        left = self.streams[name].left
        if reverse:
            wanted = [entry for entry in left if not after or entry.position < after][::-1][:limit]
        else:
            wanted = [entry for entry in left if entry.position > after][:limit]
        found = self.runner.run(self.engine.read("n", name, after=after, limit=limit, reverse=reverse))
        assert (list(found.entries), found.more) == (wanted, False)

    @rule(name=STREAMS, after=st.integers(0, 12), age=st.integers(-1, 8))
    def look_at_stream(self, name: str, after: int, age: int) -> None:
        stream = self.streams[name]
        left, at = stream.left, self.clock.now() - age
        assert self.runner.run(self.engine.stream_state("n", name)) == stream.state
        backlog = self.runner.run(self.engine.backlog("n", name, after))
        assert backlog == len([entry for entry in left if entry.position > after])
        found = self.runner.run(self.engine.find_position("n", name, at))
        assert [entry for entry in left if entry.position > found] == [entry for entry in left if entry.at >= at]

    @rule()
    def follow(self) -> None:
        """After a change that it waits for, the mirror holds what the bucket holds."""
        end = Put("x", "a-end", b"%d" % self.revision)
        self.apply((end,), *self.together([(end,)]))

        async def follow() -> None:
            while self.watch.revision < self.revision:
                self.take(await anext(self.watch))

        self.runner.run(follow())
        expected = {record.key: record.value for record in self.listed("x", "a")}
        # What has expired by the clock may not have been announced yet; beyond that, both are equal.
        unannounced = {key for key in self.mirror if self.alive("x", key) is None and ("x", key) in self.records}
        assert {key: value for key, value in self.mirror.items() if key not in unannounced} == expected

    def take(self, item: Change | Resync) -> None:
        if isinstance(item, Resync):
            self.mirror = {record.key: record.value for record in item.records}
        elif item.kind is ChangeKind.PUT:
            self.mirror[item.key] = item.value
        else:
            self.mirror.pop(item.key, None)

    @invariant()
    def buckets_are_those_in_use(self) -> None:
        if hasattr(self, "watch"):
            wanted = tuple(bucket for bucket in ("x", "y") if self.listed(bucket))
            assert self.runner.run(self.engine.buckets("n")) == wanted
            listed = tuple(name for name, stream in self.streams.items() if stream.entries and not stream.dropped)
            assert self.runner.run(self.engine.streams("n")) == listed


SETTINGS = settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", ENGINES)
def test_whatever_is_done_it_answers_as_the_model(name: str) -> None:
    run_state_machine_as_test(type("Named", (Model,), {"name": name}), settings=SETTINGS)
