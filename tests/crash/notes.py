"""What the service noted down while it was called, line by line, whoever was killed in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path


class Notes:
    """Reads on where it stopped.

    Attributes:
        called: how often each scheduled call was made.
        seconds: how often each due time was run.
        handled: by group, the positions of events that were handed out.
        problems: what cannot be: a key's events out of order, an event after its ack.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._last: dict[tuple[str, str], int] = defaultdict(int)
        self._effected: set[int] = set()
        self.called: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.handled: dict[str, set[int]] = defaultdict(set)
        self.problems: list[str] = []

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

    def _take(self, word: str, first: str, key: str = "", *_: str) -> None:
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
                if key != "-" and position < self._last[word, key]:
                    self.problems.append(
                        f"event {position} of {key} came to {word} after {self._last[word, key]}, which follows it"
                    )
                self._last[word, key] = max(position, self._last[word, key])
                self.handled[word].add(position)
