"""What the service noted down while it was called, line by line, whoever was killed in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

LINGER = 1.0
"""Seconds after which the ack of an endpoint that returned is certainly on disk: nobody waits for it, so it takes some."""


class Notes:
    """Reads on where it stopped.

    Attributes:
        called: how often each scheduled call was made.
        seconds: how often each due time was run.
        handled: by group, the positions of events that were handed out.
        problems: what cannot be: a key's events out of order, an event after its ack.
        kills: when the platform was killed, by the monotonic clock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._keys: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        self._effected: set[int] = set()
        self.called: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.handled: dict[str, set[int]] = defaultdict(set)
        self.problems: list[str] = []
        self.kills: list[float] = []

    def read(self) -> None:
        """Take in what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(*line.decode().split())

    def _take(self, word: str, first: str, key: str = "", at: str = "") -> None:
        match word:
            case "called":
                self.called[first] += 1
            case "second":
                self.seconds[first] += 1
            case "effected":
                self._effected.add(int(first))
            case "plain" | "effects":
                position = int(first)
                if word == "effects" and position in self._effected:
                    self.problems.append(f"event {position} came to effects after its ack was committed")
                if key != "-":
                    self._keep_order(word, key, position, float(at))
                self.handled[word].add(position)

    def _keep_order(self, group: str, key: str, position: int, at: float) -> None:
        """An event comes after those before it of its key, and not again once the next one has come.

        But for a platform that was killed in that very moment: the ack of an endpoint that returned was not on disk yet.
        """
        begun = self._keys[group, key]
        followed = min((since for later, since in begun.items() if later > position), default=None)
        if followed is not None and (
            group == "effects" or not any(followed <= kill <= min(at, followed + LINGER) for kill in self.kills)
        ):
            self.problems.append(f"event {position} of {key} came to {group} after one that follows it")
        if followed is not None:
            begun = self._keys[group, key] = {one: since for one, since in begun.items() if one < position}
        begun.setdefault(position, at)
        for old in sorted(begun)[:-20]:
            del begun[old]
