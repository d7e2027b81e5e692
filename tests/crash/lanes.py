"""Where operations come from. A lane makes one after the other, each with the facts that it leads to.

A lane has names of its own, so that what has to be there afterwards is known exactly: the facts before the operation that
was under way, or those after it.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

from tests.crash.operations import ACCOUNTS, Facts, Operation, content

KEYS = 6


class Lane:
    """Makes operations at random.

    Args:
        name: of the lane, a single word.
        rng: where chance comes from.

    Attributes:
        facts: what holds now.
        pause: seconds between two operations.
        drains: whether it goes on when nothing new is to be made.
    """

    pause = 0.0
    drains = False

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng
        self.facts: Facts = {}
        self.revisions: dict[str, int] = {}
        self.number = 0

    def resume(self, facts: Facts) -> None:
        """Go on after a crash, from what is there."""
        self.facts = facts
        self.revisions = {}

    def next(self) -> Operation:
        """The next operation."""
        raise NotImplementedError

    def done(self, op: Operation, result: dict[str, Any]) -> None:
        """It took place."""
        if not result.get("broken"):
            self.facts.update(op["facts"])

    def op(self, kind: str, facts: Facts, **fields: Any) -> Operation:
        return {"kind": kind, "facts": facts, "lane": self.name, "number": self.number, **fields}

    def key(self) -> str:
        return f"{self.name}/{self.rng.randrange(KEYS)}"

    def count(self) -> int:
        self.number += 1
        return self.number


class Records(Lane):
    """Writes and deletes, one or several at once, also by compare-and-set."""

    def next(self) -> Operation:
        number, key = self.count(), self.key()
        there = self.facts.get(f"record/{key}") is not None
        match self.rng.randrange(6):
            case 0 | 1:
                expect: Any = None
                if self.rng.random() < 0.6:
                    expect = self.revisions.get(key, "present") if there else "absent"
                return self.op("write", {f"record/{key}": number}, key=key, value=number, expect=expect)
            case 2:
                expect = self.revisions.get(key, "present") if there and self.rng.random() < 0.5 else None
                return self.op("delete", {f"record/{key}": None}, key=key, expect=expect)
            case 3 | 4:
                keys = {self.key() for _ in range(3)}
                return self.op(
                    "write-many",
                    {f"record/{one}": number for one in keys},
                    items=dict.fromkeys(sorted(keys), number),
                )
            case _:
                keys = {self.key() for _ in range(2)}
                return self.op("delete-many", {f"record/{one}": None for one in keys}, keys=sorted(keys))

    def done(self, op: Operation, result: dict[str, Any]) -> None:
        super().done(op, result)
        for fact, value in op["facts"].items():
            key = fact.removeprefix("record/")
            self.revisions.pop(key, None)
            if value is not None:
                self.revisions[key] = result["revision"]


class Counters(Lane):
    """Increments numbers that all lanes share."""

    def next(self) -> Operation:
        self.count()
        return self.op("increment", {}, counter=f"c{self.rng.randrange(3)}")


class Transfers(Lane):
    """Moves money between accounts that all lanes share; the sum stays."""

    def next(self) -> Operation:
        self.count()
        key = f"{self.name}/transfers"
        accounts = [f"a{one}" for one in self.rng.sample(range(ACCOUNTS), 2)]
        done = self.facts.get(f"record/{key}") or 0
        return self.op(
            "transfer",
            {f"record/{key}": done + 1},
            accounts=accounts,
            amount=self.rng.randrange(1, 100),
            count=key,
        )


class Transactions(Lane):
    """Changes of all kinds at once. One with an id of its own is sent again after a crash."""

    pause = 0.01

    def __init__(self, name: str, rng: random.Random) -> None:
        super().__init__(name, rng)
        self._again: Operation | None = None

    def next(self) -> Operation:
        if self._again is not None:
            return {**self._again, "again": True}
        number, chance = self.count(), self.rng.random
        facts: Facts = {}
        fields: dict[str, Any] = {
            "records": {},
            "count": "",
            "events": [],
            "delayed": [],
            "config": {},
            "calls": [],
            "blobs": {},
            "delivery": "",
            "id": f"{self.name}.{number}" if chance() < 0.4 else "",
        }
        for _ in range(self.rng.randrange(3)):
            key = self.key()
            fields["records"][key] = value = number if chance() < 0.8 else None
            facts[f"record/{key}"] = value
        if chance() < 0.5:
            fields["count"] = key = f"{self.name}/count"
            facts[f"record/{key}"] = (self.facts.get(f"record/{key}") or 0) + 1
        for _ in range(self.rng.randrange(1, 3)):
            number = self.count()
            fields["events"].append((self.name, number))
            facts[f"event/{self.name}/{number}"] = 1
        if chance() < 0.3:
            number = self.count()
            fields["delayed"].append((self.name, number, round(chance(), 3)))
            facts[f"delayed/{self.name}/{number}"] = 1
        for part in self.rng.sample("abc", self.rng.randrange(3)):
            path = f"lanes.{self.name}.{part}"
            fields["config"][path] = facts[f"config/{path}"] = f"s{number}" if part == "c" else number
        if chance() < 0.15:
            call = f"{self.name}-{number}"
            fields["calls"].append((call, round(chance() / 2, 3)))
            facts[f"call/{call}"] = 1
        if chance() < 0.2:
            seed, size = number, self.rng.randrange(1, 400_000)
            name = f"{self.name}/{self.rng.randrange(2)}"
            fields["blobs"][name] = (seed, size)
            facts[f"blob/{name}"] = hashlib.sha256(content(seed, size)).hexdigest()
        op = self.op("tx", facts, **fields)
        if op["id"]:
            self._again = op
        return op

    def done(self, op: Operation, result: dict[str, Any]) -> None:
        super().done(op, result)
        self._again = None

    def resume(self, facts: Facts) -> None:
        super().resume(facts)
        if self._again is not None and self._again["blobs"]:
            self._again = None  # its upload was published, if it took place: it cannot be sent again as it was


class Publisher(Lane):
    """Publishes, one or several at once, with a delay, and with de-duplication: again where it may have been lost."""

    pause = 0.002

    def __init__(self, name: str, rng: random.Random) -> None:
        super().__init__(name, rng)
        self._again: Operation | None = None

    def next(self) -> Operation:
        if self._again is not None and self.rng.random() < 0.5:
            return {**self._again, "again": True}
        self._again = None
        number, kind = self.count(), self.rng.randrange(6)
        if kind == 0:
            numbers = [number, self.count(), self.count()]
            facts = {f"event/{self.name}/{one}": 1 for one in numbers}
            return self.op("publish-many", facts, events=[(self.name, one) for one in numbers])
        delay = round(self.rng.random(), 3) if kind == 1 else 0.0
        deduplication = f"{self.name}.{number}" if kind in (2, 3) else ""
        fact = f"{'delayed' if delay else 'event'}/{self.name}/{number}"
        op = self.op("publish", {fact: 1}, event=(self.name, number), delay=delay, deduplication=deduplication)
        if deduplication:
            self._again = op
        return op


class Puller(Lane):
    """Takes events of a group that all lanes share, and acknowledges them: alone, together, in a transaction, or not."""

    drains = True
    pause = 0.002

    def __init__(self, name: str, rng: random.Random) -> None:
        super().__init__(name, rng)
        self._held: list[list[Any]] = []

    def resume(self, facts: Facts) -> None:
        super().resume(facts)
        if self.rng.random() < 0.5:
            self._held = []  # the others are acknowledged after the crash, if they can be

    def next(self) -> Operation:
        self.count()
        if not self._held:
            return self.op("pull", {}, group="pull", max=self.rng.randrange(1, 12))
        chance = self.rng.random()
        if chance < 0.1:
            return self._one("nack")
        if chance < 0.2:
            op = self._one("ack")
            return {**op, "kind": "forget"}
        if chance < 0.5:
            op = self._one("ack")
            position, delivery = op["positions"][0], op["deliveries"][0]
            empty: dict[str, Any] = {"records": {}, "config": {}, "blobs": {}, "count": "", "id": ""}
            empty |= {"events": [], "delayed": [], "calls": []}
            return {**op, **empty, "kind": "tx", "delivery": delivery, "pulled": str(position)}
        held, self._held = self._held, []
        return self.op("ack", {}, positions=[one[0] for one in held], deliveries=[one[3] for one in held])

    def done(self, op: Operation, result: dict[str, Any]) -> None:
        super().done(op, result)
        if op["kind"] == "pull":
            self._held = result["got"]

    def _one(self, kind: str) -> Operation:
        position, _, _, delivery = self._held.pop(0)
        return self.op(kind, {}, positions=[position], deliveries=[delivery])


class Settings(Lane):
    """Sets and unsets configuration: single values, tables, secrets."""

    pause = 0.01

    def next(self) -> Operation:
        number, top = self.count(), f"lanes.{self.name}"
        match self.rng.randrange(5):
            case 0 | 1:
                path = f"{top}.{self.rng.choice('ab')}"
                return self.op("set", {f"config/{path}": number}, path=path, value=number, secret=False)
            case 2:
                value = {"x": number, "y": [number, "<&>"]}
                facts = {f"config/{top}.t.{leaf}": one for leaf, one in value.items()}
                return self.op("set", facts, path=f"{top}.t", value=value, secret=False)
            case 3:
                path = f"{top}.secret"
                return self.op("set", {f"config/{path}": f"s{number}"}, path=path, value=f"s{number}", secret=True)
            case _:
                path, leaves = self.rng.choice(
                    [("a", ["a"]), ("b", ["b"]), ("secret", ["secret"]), ("t", ["t.x", "t.y"])]
                )
                if self.facts.get(f"config/{top}.{leaves[0]}") is None:
                    return self.op("set", {f"config/{top}.a": number}, path=f"{top}.a", value=number, secret=False)
                return self.op("unset", {f"config/{top}.{leaf}": None for leaf in leaves}, path=f"{top}.{path}")


class Blobs(Lane):
    """Uploads, replaces, deletes; some uploads break off."""

    pause = 0.02

    def next(self) -> Operation:
        number, name = self.count(), f"{self.name}/{self.rng.randrange(3)}"
        if self.rng.random() < 0.2:
            return self.op("delete-blob", {f"blob/{name}": None}, name=name)
        size, broken = self.rng.choice([0, 1, 300_000, self.rng.randrange(2_000_000)]), self.rng.random() < 0.2
        facts = {f"blob/{name}": hashlib.sha256(content(number, size)).hexdigest()}
        return self.op("blob", facts, name=name, seed=number, size=size, broken=broken)


class Calls(Lane):
    """Has the service called once, soon; takes some of it back.

    It does both the same way: a call to come belongs to whoever has planned it.
    """

    pause = 0.1

    def __init__(self, name: str, rng: random.Random) -> None:
        super().__init__(name, rng)
        self._last: tuple[str, bool] | None = None

    def next(self) -> Operation:
        if self._last is not None and self.rng.random() < 0.3:
            (call, through), self._last = self._last, None
            return self.op("cancel", {}, id=call, through=through)
        call, through = f"{self.name}-{self.count()}", self.rng.random() < 0.4
        self._last = call, through
        return self.op("call", {f"call/{call}": 1}, id=call, delay=round(self.rng.random(), 3), through=through)


KINDS: tuple[type[Lane], ...] = (
    *(Records, Records, Counters, Transfers, Transactions, Transactions),
    *(Publisher, Publisher, Puller, Puller, Settings, Blobs, Calls),
)


def lanes(process: int, seed: int) -> list[Lane]:
    """All lanes of one client process."""
    return [
        kind(f"{kind.__name__.lower()}{process}{number}", random.Random(f"{seed}/{process}/{number}"))
        for number, kind in enumerate(KINDS)
    ]
