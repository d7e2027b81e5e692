"""What the clients said that they do, and what they were told that was done: all that a checker may rely on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.crash.operations import Facts, Operation


class Violation(AssertionError):
    """Something does not hold that was promised."""


@dataclass
class LaneState:
    """What a lane relies on.

    Attributes:
        facts: that hold, as far as is known; None for what is gone.
        doubt: the operation of which it is not known whether it took place.
        revisions: of records, as their writes were acknowledged.
    """

    facts: Facts = field(default_factory=dict)
    doubt: Operation | None = None
    revisions: dict[str, int] = field(default_factory=dict)


@dataclass
class Bounds:
    """How often a shared number was increased, at least and at most."""

    acknowledged: int = 0
    attempted: int = 0


class Journal:
    """All lines of all clients, in what they mean.

    Attributes:
        lanes: by name.
        counters: shared numbers.
        delivered: by group, the time and position of each event that was taken.
        acknowledged: by group and position, when the ack was acknowledged.
        effects: positions acknowledged by a transaction: True where that was acknowledged itself, else False.
        canceled: calls that were taken back before they were made.
        changes: revisions of the configuration that were acknowledged, with their paths.
        outcomes: how many operations ended how.
        kinds: acknowledged operations by kind.
    """

    def __init__(self) -> None:
        self.lanes: dict[str, LaneState] = defaultdict(LaneState)
        self.counters: dict[str, Bounds] = defaultdict(Bounds)
        self.delivered: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.acknowledged: dict[tuple[str, int], float] = {}
        self.effects: dict[int, bool] = {}
        self.canceled: set[str] = set()
        self.changes: dict[int, str] = {}
        self.outcomes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self._sums: set[tuple[str, int]] = set()
        self._begun: dict[str, float] = {}

    def note(self, line: dict[str, Any]) -> None:
        """Take a line of a client in.

        Raises:
            Violation: what it says cannot be.
        """
        match line["t"]:
            case "begin":
                self._begin(line["op"], line["at"])
            case "end":
                self._end(line)
            case "got":
                self._deliver(line["group"], line["at"], line["got"])
            case "surprise":
                raise Violation(f"a client did not expect this:\n{line['error']}")

    def _begin(self, op: Operation, at: float) -> None:
        lane = self.lanes[op["lane"]]
        if lane.doubt is not None:
            raise Violation(f"{op['lane']} goes on in doubt")  # that would be a mistake of the load
        lane.doubt = op
        self._begun[op["lane"]] = at
        if op["kind"] == "increment":
            self.counters[op["counter"]].attempted += 1
        if op["kind"] == "tx" and op["delivery"]:
            self.effects.setdefault(op["positions"][0], False)

    def _end(self, line: dict[str, Any]) -> None:
        lane = self.lanes[line["lane"]]
        op = lane.doubt
        if op is None or op["number"] != line["number"]:
            raise Violation(f"{line} ends nothing")
        self.outcomes[line["outcome"]] += 1
        if line["outcome"] == "unknown":
            return
        lane.doubt = None
        if line["outcome"] == "refused":
            return
        self.kinds[op["kind"]] += 1
        result = line["result"]
        if not result.get("broken"):
            lane.facts.update(op["facts"])
        match op["kind"]:
            case "write" | "write-many" | "delete" | "delete-many" | "tx" | "transfer":
                for fact, value in op["facts"].items():
                    lane.revisions.pop(fact, None)
                    if value is not None and "revision" in result:
                        lane.revisions[fact] = result["revision"]
            case "increment":
                counter = op["counter"], result["value"]
                if counter in self._sums:
                    raise Violation(f"{counter}: two increments have the same sum")
                self._sums.add(counter)
                self.counters[op["counter"]].acknowledged += 1
            case "pull":
                self._deliver(op["group"], self._begun[op["lane"]], result["got"])
            case "cancel":
                if result["canceled"]:
                    self.canceled.add(op["id"])
            case "set" | "unset":
                if result["changed"]:  # unsetting what is not there makes no revision
                    self.changes[result["revision"]] = op["path"]
        if op["kind"] == "ack" or (op["kind"] == "tx" and op["delivery"]):
            group = op["lane"] if op["lane"].startswith("stream") else "pull"
            for position in op["positions"]:
                self.acknowledged.setdefault((group, position), line["at"])
                if op["kind"] == "tx":
                    self.effects[position] = True

    def _deliver(self, group: str, at: float, got: list[list[Any]]) -> None:
        for one in got:
            self.delivered[group].append((at, one[0]))
