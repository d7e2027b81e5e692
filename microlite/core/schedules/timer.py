"""One timer for any number of due times."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock, Timer

LOOK: Final = 60.0
"""Most seconds until the clock is looked at again: it may have been set, or the machine asleep, which no timer notices."""

_SLACK: Final = 64

Key = tuple[str, str]


class DueTimes:
    """Says of keys when their time has come. Costs nothing while none is near, however many there are.

    Args:
        clock: the time.
        on_due: is told each key once, in the order of their times, and forgets it then.
        on_set_back: is told when the clock was set back.
    """

    def __init__(
        self, clock: Clock, on_due: Callable[[Key], object], on_set_back: Callable[[], object] = lambda: None
    ) -> None:
        self._clock = clock
        self._on_due = on_due
        self._on_set_back = on_set_back
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._timer: Timer | None = None
        self._wakes = 0.0
        self._looked = clock.now()
        self._closed = False

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: Key, due: float) -> None:
        """Tell the key at this time, in seconds since the Unix epoch, in place of an earlier word about it."""
        if self._due.get(key) == due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(when, other) for other, when in self._due.items()]
            heapq.heapify(self._heap)
        if self._timer is None or due < self._wakes:
            self._arm()

    def discard(self, key: Key) -> None:
        """Tell it no more."""
        self._due.pop(key, None)

    def close(self) -> None:
        """Tell nothing more."""
        self._closed = True
        self._due.clear()
        self._heap.clear()
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._heap and not self._closed:
            now = self._looked = self._clock.now()
            wait = min(max(0.0, self._heap[0][0] - now), LOOK)
            self._wakes = now + wait
            self._timer = self._clock.call_later(wait, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        now = self._clock.now()
        if now < self._looked - 1:
            self._on_set_back()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._on_due(key)
        self._arm()
