"""Proves, with the platform that came back, that the journal is right about it."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.crash.journal import Journal, LaneState, Violation
from tests.crash.notes import Notes
from tests.crash.operations import ACCOUNTS, BALANCE, DATABASE, TOPIC, Facts, key_of

UNSEEN = ("delayed", "call")
"""Facts that are looked for in other ways than by reading a state."""


def lane_of(fact: str) -> str:
    """The lane whose fact it is."""
    kind, _, rest = fact.partition("/")
    if kind == "config":
        return rest.split(".")[1]
    return rest.split("-" if kind == "call" else "/")[0]


class Checker:
    """Compares, after each start of the platform, what is there with the journal, and settles what was in doubt.

    Attributes:
        checked: how many facts were compared, by kind.
        consuming: whether clients still take events while this checks; nothing else changes then.
    """

    def __init__(self, journal: Journal, notes: Path) -> None:
        self.journal = journal
        self.notes = Notes(notes)
        self.checked: Counter[str] = Counter()
        self.consuming = False
        self.events: dict[tuple[str, int], int] = {}
        self.keys: dict[str, int] = {}
        self._coming: dict[tuple[str, int], bool] = {}
        self._read = {TOPIC: 0, "effects": 0}
        self._last: dict[str, int] = defaultdict(int)
        self._effects: set[tuple[str, int]] = set()
        self._config: tuple[int, Facts] = (0, {})
        self._blobs: dict[str, int] = {}
        self._new: set[tuple[str, int]] = set()
        self._strangers: list[tuple[str, int]] = []
        self._delivered: dict[str, set[int]] = defaultdict(set)
        self._calls: dict[str, bool] = {}
        self._taken_back: set[str] = set()  # perhaps
        self.pending: set[str] = set()
        self._runs: dict[str, dict[str, Any]] = {}
        self._singles: dict[str, dict[str, Any]] = {}

    async def check(self, m: Any) -> None:
        """Everything that must hold now.

        Raises:
            Violation: it does not, and what.
        """
        self.notes.read()
        actual, revisions = await self._facts(m)
        new = await self._new_events(m)
        actual.update({f"event/{lane}/{number}": 1 for lane, number in new})
        for name in {*self.journal.lanes, *map(lane_of, actual)}:
            lane = self.journal.lanes[name]
            own = {fact: value for fact, value in actual.items() if lane_of(fact) == name}
            self._settle(name, lane, own, revisions)
        if strangers := [one for one in self._strangers if one not in self._coming]:
            raise Violation(f"delayed events came that were refused, or were never published: {strangers}")
        await self._check_shared(m)
        await self._check_config(m)
        await self._check_calls(m)
        self._check_deliveries()
        await self._check_effects(m)

    # -- what a lane alone changes ------------------------------------------------------------------------------------

    async def _facts(self, m: Any) -> tuple[Facts, dict[str, int]]:
        store = m.store.database(DATABASE)
        facts: Facts = {}
        revisions: dict[str, int] = {}
        async for record in store.table("facts").scan():
            facts[f"record/{record.key}"] = record.value
            revisions[f"record/{record.key}"] = record.revision
        for one in await m.call("config.explain", path="lanes", secret=True):
            facts[f"config/{one['setting']['path']}"] = _plain(one["setting"]["value"])
        async for blob in store.blobs.scan():
            facts[f"blob/{blob.name}"] = blob.digest
            if self._blobs.get(blob.name) != blob.revision:
                size = 0
                async for piece in store.blobs.read(blob.name):  # which compares the digest
                    size += len(piece)
                if size != blob.size:
                    raise Violation(f"blob {blob.name} has {size} bytes, not {blob.size}")
                self._blobs[blob.name] = blob.revision
                self.checked["blobs read"] += 1
        return facts, revisions

    async def _new_events(self, m: Any) -> list[tuple[str, int]]:
        """Those that were not there at the last check, but for delayed ones."""
        new: list[tuple[str, int]] = []
        self._strangers.clear()
        for event in await self._pages(m, TOPIC):
            one = (event.payload["lane"], event.payload["number"])
            if one in self.events:
                raise Violation(f"event {one} is there twice, at {self.events[one]} and {event.position}")
            self.events[one] = event.position
            if event.key:
                if event.key != key_of(*one):
                    raise Violation(f"event {one} has the key {event.key}")
                self.keys[event.key] = self.keys.get(event.key, 0) + 1
                if self._last[one[0]] > one[1]:
                    raise Violation(f"event {one} stands behind {self._last[one[0]]}, which was published later")
                self._last[one[0]] = one[1]
                new.append(one)
            else:
                self._strangers.append(one)
        self._new = set(new)
        return new

    async def _pages(self, m: Any, topic: str) -> list[Any]:
        found: list[Any] = []
        while page := await m.events.read(topic, after=self._read[topic], limit=500):
            found += page
            self._read[topic] = page[-1].position
        return found

    def _settle(self, name: str, lane: LaneState, actual: Facts, revisions: dict[str, int]) -> None:
        """The facts of a lane are those before the operation in doubt, or those after it."""
        before = self._left(lane.facts)
        after = before if lane.doubt is None else self._left({**lane.facts, **lane.doubt["facts"]})
        if _seen(after) == actual and (after is before or _seen(after) != _seen(before)):
            took_place = True
        elif _seen(before) == actual:
            took_place = False
        else:
            raise Violation(
                f"{name}: what is there is neither what was acknowledged nor that with the operation in doubt\n"
                f"  missing: {_less(_seen(before), actual)}\n  too much: {_less(actual, _seen(before))}\n"
                f"  in doubt: {lane.doubt}"
            )
        for fact, revision in lane.revisions.items():
            if (
                fact in actual
                and revisions.get(fact) != revision
                and not (lane.doubt and fact in lane.doubt["facts"] and took_place)
            ):
                raise Violation(f"{fact} is at revision {revisions.get(fact)}, and {revision} was acknowledged")
        for fact in actual:
            self.checked[fact.partition("/")[0]] += 1
        settled = after if took_place else before
        self._expect(settled, sure=True)
        if lane.doubt is not None and not took_place and lane.doubt["kind"] in ("publish", "call"):
            self._expect(lane.doubt["facts"], sure=False)  # nothing else tells whether it took place
        if lane.doubt is not None and lane.doubt["kind"] == "cancel":
            self._taken_back.add(lane.doubt["id"])
        # Events do not change any more, and what comes is remembered above.
        lane.facts = {fact: value for fact, value in settled.items() if fact.partition("/")[0] in _LASTING}
        if not self.consuming:
            lane.doubt = None
        lane.revisions = {fact: revisions[fact] for fact in lane.revisions if fact in actual and fact in revisions}

    def _left(self, facts: Facts) -> Facts:
        """What is to be found: without what is gone, and events that were found before."""
        found = {}
        for fact, value in facts.items():
            if value is None:
                continue
            if fact.startswith("event/"):
                _, lane, number = fact.split("/")
                one = (lane, int(number))
                if one in self.events and one not in self._new:
                    continue
            found[fact] = value
        return found

    def _expect(self, facts: Facts, *, sure: bool) -> None:
        """Remember what is to come later."""
        for fact in facts:
            kind, _, rest = fact.partition("/")
            if kind == "delayed":
                lane, _, number = rest.partition("/")
                one = (lane, int(number))
                self._coming[one] = sure or self._coming.get(one, False)
            elif kind == "call":
                self._calls[rest] = sure or self._calls.get(rest, False)

    # -- what all lanes change ------------------------------------------------------------------------------------------

    async def _check_shared(self, m: Any) -> None:
        store = m.store.database(DATABASE)
        for name, bounds in self.journal.counters.items():
            value = await store.table("counters").read(name, int, default=0)
            if not bounds.acknowledged <= value <= bounds.attempted:
                raise Violation(f"{name} is {value}, not between {bounds.acknowledged} and {bounds.attempted}")
            bounds.acknowledged = bounds.attempted = value
            self.checked["counters"] += 1
        balances = [record.value async for record in store.table("accounts").scan()]
        if len(balances) != ACCOUNTS or sum(balances) != ACCOUNTS * BALANCE:
            raise Violation(f"the accounts have {sum(balances)} together: {balances}")
        self.checked["accounts"] += 1

    async def _check_config(self, m: Any) -> None:
        """The history leads from the last state to this one, and knows each change that was acknowledged."""
        entries: list[dict[str, Any]] = []
        since, state = self._config
        while True:
            page = await m.call("config.history", limit=200, before=entries[-1]["revision"] if entries else 0)
            entries += [entry for entry in page if entry["revision"] > since]
            if not page or page[-1]["revision"] <= since + 1:
                break
        numbers = [entry["revision"] for entry in reversed(entries)]
        if numbers != list(range(since + 1, since + 1 + len(numbers))):
            raise Violation(f"the history of the configuration has the revisions {numbers} after {since}")
        by_revision = {entry["revision"]: entry for entry in entries}
        for revision, path in self.journal.changes.items():
            entry = by_revision.get(revision)
            if entry is None or not _tells(entry, path):
                raise Violation(f"revision {revision} of the configuration, of {path}, is not in the history")
        self.journal.changes.clear()
        now: Facts = {}
        for one in await m.call("config.explain", path=""):
            if one["setting"]["layer"] == "store":
                now[one["setting"]["path"]] = one["setting"]["value"]
        led = dict(state)
        for entry in reversed(entries):
            for change in entry["changes"]:
                if change["has"]:
                    led[change["path"]] = change["new"]
                else:
                    led.pop(change["path"], None)
        if led != now:
            raise Violation(f"the history leads to {_less(led, now)}, and there is {_less(now, led)}")
        self._config = (numbers[-1] if numbers else since, now)
        self.checked["changes of the configuration"] += len(entries)

    # -- schedules --------------------------------------------------------------------------------------------------------

    async def _check_calls(self, m: Any) -> None:
        """Each call that was acknowledged is to come, under way, made or interrupted; none is made twice."""
        deadline = time.monotonic() + 5
        while True:
            self.notes.read()
            listed = await self._gather_calls(m)
            known = {*listed, *self._singles, *self.notes.called, *self.journal.canceled, *self._taken_back}
            lost = [name for name, sure in self._calls.items() if sure and name not in known]
            if not lost:
                break
            if time.monotonic() > deadline:
                raise Violation(f"calls that were acknowledged are nowhere: {lost}")
            await asyncio.sleep(0.05)  # one that has just begun is in neither list
        self.pending = listed
        for name, count in self.notes.called.items():
            if count > 1:
                raise Violation(f"the call {name} was made {count} times")
            if name in self.journal.canceled:
                raise Violation(f"the call {name} was made although it was canceled")
            if name not in self._calls:
                raise Violation(f"the call {name} was made although it was refused, or never asked for")
        for due, count in self.notes.seconds.items():
            if count > 1:
                raise Violation(f"the due time {due} was run {count} times")
        self.checked["calls"] = len(self.notes.called)

    async def _gather_calls(self, m: Any) -> set[str]:
        """Names of calls to come; runs that there were are added to those that are known."""
        listed = set()
        after = ""
        while page := await m.call("schedules.list", after=after, limit=1000):
            listed |= {_id(one["name"]) for one in page if one["source"] == "once"}
            after = page[-1]["name"]
        for run in await m.call("schedules.history", limit=1000):
            self._singles[_id(run["schedule"])] = run
        for run in await m.call("schedules.history", name="work.second", limit=1000):
            self._runs[run["id"]] = run
        return listed

    def check_seconds(self) -> None:
        """No due time was lost or claimed twice."""
        dues = sorted(run["due"] for run in self._runs.values() if not run["by"])
        for earlier, later in itertools.pairwise(dues):
            if not math.isclose(later - earlier, 1.0, abs_tol=0.01):
                raise Violation(f"after the due time {earlier} comes {later}")
        noted = {round(datetime.fromisoformat(due).timestamp(), 3) for due in self.notes.seconds}
        for run in self._runs.values():
            if run["outcome"] == "done" and round(run["due"], 3) not in noted:
                raise Violation(f"the run of {run['due']} is said to be done, and was not made")
        self.checked["due times"] += len(dues)

    # -- deliveries -------------------------------------------------------------------------------------------------------

    def _check_deliveries(self) -> None:
        """Nothing comes after its ack was acknowledged."""
        for group, deliveries in self.journal.delivered.items():
            for at, position in deliveries:
                acked = self.journal.acknowledged.get((group, position), math.inf)
                if at > acked:
                    raise Violation(f"event {position} came to {group} again, {at - acked:.3f} s after its ack")
                self.checked["deliveries"] += 1
            self._delivered[group] |= {position for _, position in deliveries}
            deliveries.clear()
        if self.notes.problems:
            raise Violation("\n".join(self.notes.problems[:5]))

    async def _check_effects(self, m: Any) -> None:
        """No effect took place twice; one that was acknowledged did."""
        for event in await self._pages(m, "effects"):
            one = (event.payload["lane"], event.payload["number"])
            if one in self._effects:
                raise Violation(f"the effect of event {one} took place twice")
            self._effects.add(one)
            self.checked["effects"] += 1
        store = m.store.database(DATABASE)
        settled = [position for position, acked in self.journal.effects.items() if acked]
        pulled = {int(record.key): record.value async for record in store.table("pulled").scan()}
        if twice := [position for position, count in pulled.items() if count > 1]:
            raise Violation(f"events {twice} were acknowledged twice by transactions")
        if lost := [position for position in settled if position not in pulled]:
            raise Violation(f"acks by transactions are lost: {lost}")

    async def is_drained(self, m: Any) -> list[str]:
        """What is still to come: groups that lag, delayed events, calls."""
        left = [f"{one.name} lags by {one.lag}: {one}" for one in await m.events.groups(TOPIC) if one.lag]
        if not left:
            await self.check(m)
            left = [f"delayed event {one}" for one, sure in self._coming.items() if sure and one not in self.events]
            left += [f"call {name}" for name in self.pending]
            if not left and any(one.lag for one in await m.events.groups(TOPIC)):
                left = ["events have just come"]
        return left

    async def check_end(self, m: Any) -> None:
        """What must hold when all was consumed."""
        await self.check(m)
        every = set(self.events.values())
        for group in ("pull", "stream0", "stream1"):
            if lost := every - self._delivered[group]:
                raise Violation(f"{len(lost)} events never came to {group}: {sorted(lost)[:20]}")
        for group in ("plain", "effects"):
            if lost := every - self.notes.handled[group]:
                raise Violation(f"{len(lost)} events never came to {group}: {sorted(lost)[:20]}")
        if self._effects != set(self.events):
            raise Violation(f"effects without event or events without effect: {self._effects ^ set(self.events)}")
        table = m.store.database(DATABASE).table("effects")
        totals = {record.key: record.value async for record in table.scan()}
        if totals != self.keys:
            raise Violation(f"effects by key are {_less(totals, self.keys)}, and events {_less(self.keys, totals)}")
        self.check_seconds()
        self.checked["events, each to five groups"] = len(every)


_LASTING = ("record", "config", "blob")


def _seen(facts: Facts) -> Facts:
    return {fact: _plain(value) for fact, value in facts.items() if fact.partition("/")[0] not in UNSEEN}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _id(name: str) -> str:
    """What the load named a call; the service puts its own name before it."""
    return name.partition(":")[2] or name


def _less(one: Facts, other: Facts) -> Facts:
    return {name: value for name, value in one.items() if name not in other or other[name] != value}


def _tells(entry: dict[str, Any], path: str) -> bool:
    return any(change["path"] == path or change["path"].startswith(f"{path}.") for change in entry["changes"])
