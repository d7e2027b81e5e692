"""Counts of what there may be many of, so that whoever looks again and again does not count again and again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")

SMALL: Final = 1_000
"""Records that are counted anew each time."""

SHARE: Final = 0.02
"""Of the time, the part that counting one thing may take: what took a second is good for the next 49 of them."""

LONGEST: Final = 60.0
"""The most seconds that a count is good for."""

LEAST: Final = 2.0
"""The fewest seconds that a count of more than a few is good for."""

MOST: Final = 1_000
"""Counts that are kept."""


class _Kept(NamedTuple):
    answer: Any
    until: float


class Tallies:
    """Answers that are exact while they are of few records, and of many at most `LONGEST` seconds old.

    Whoever takes many away by itself says so by `forget`.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._forgotten = 0

    async def get(self, what: Hashable, count: Callable[[], Awaitable[tuple[T, int]]]) -> T:
        """The answer to a question.

        Args:
            what: which question.
            count: finds the answer, and of how many records it is.
        """
        loop = asyncio.get_running_loop()
        kept = self._kept.get(what)
        if kept is not None and loop.time() < kept.until:
            answer: T = kept.answer
            return answer
        forgotten, began = self._forgotten, loop.time()
        answer, size = await count()
        self._kept.pop(what, None)
        if size > SMALL and forgotten == self._forgotten:
            now = loop.time()
            self._kept[what] = _Kept(answer, now + min(max((now - began) / SHARE, LEAST), LONGEST))
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return answer

    def forget(self) -> None:
        """All is to be counted anew."""
        self._forgotten += 1
        self._kept.clear()
