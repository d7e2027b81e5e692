"""Calls of one turn of the event loop that travel as one, for what many tasks of a node do at the same time.

Each stands for itself: it has its own answer or error. Only what belongs to the same call of a handler is joined, so that
metadata and deadline are the same. A call that is alone in its turn goes as it is, and waits for nobody.
"""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from microlite.core.library.caller import Caller
    from microlite.core.library.stream import Transport

A = TypeVar("A")

MOST: Final = 256
"""Calls that travel together; who comes next begins another."""

MOST_BYTES: Final = 256 << 10
"""Bytes that they have together; a larger one goes alone."""


class Joined(Generic[A]):
    """The calls of one turn.

    Args:
        alone: makes the call of a single item.
        together: makes one call of several items, and gives for each its answer or its error.
    """

    __slots__ = ("_alone", "_keep", "_key", "_marks", "_size", "_together", "_turns", "_waiting")

    def __init__(
        self,
        turns: dict[object, Joined[Any]],
        key: object,
        keep: object,
        alone: Callable[[Any], Awaitable[A]],
        together: Callable[[list[Any]], Awaitable[list[A | errors.Error]]],
    ) -> None:
        self._turns = turns
        self._key = key
        self._keep = keep  # what the key names by its identity must not go, or another could have the same
        self._alone = alone
        self._together = together
        self._waiting: list[tuple[Any, asyncio.Future[A]]] = []
        self._marks: set[object] = set()
        self._size = 0

    def takes(self, mark: object) -> bool:
        """Whether an item of this mark can come; if not, nobody comes any more, and the next begins another."""
        if mark is None or mark not in self._marks:
            return True
        self._close()
        return False

    def add(self, item: Any, size: int, mark: object, loop: asyncio.AbstractEventLoop) -> asyncio.Future[A]:
        """Put an item in; the future has what becomes of it."""
        if mark is not None:
            self._marks.add(mark)
        future: asyncio.Future[A] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._leave)
        self._waiting.append((item, future))
        self._size += size
        if len(self._waiting) >= MOST or self._size >= MOST_BYTES:
            self._close()
        return future

    def _close(self) -> None:
        if self._turns.get(self._key) is self:
            del self._turns[self._key]

    def _leave(self) -> None:
        self._close()
        task = asyncio.get_running_loop().create_task(self._send(), name="microlite: joined calls")
        _under_way.add(task)
        task.add_done_callback(_under_way.discard)

    async def _send(self) -> None:
        waiting = self._waiting
        try:
            answers = await self._ask([item for item, _ in waiting])
        except BaseException:  # the node ends, or what carries calls is at fault: nobody must wait for ever
            for _, future in waiting:
                future.cancel()
            raise
        for (_, future), answer in zip(waiting, answers, strict=True):
            if future.done():
                continue  # nobody waits for it any more
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _ask(self, items: list[Any]) -> list[A | Exception]:
        if len(items) > 1:
            try:
                return [*await self._together(items)]
            except (errors.BadRequest, errors.PayloadTooLarge, UnicodeError):
                pass  # one cannot even be written down or read, or they are too large together: none was carried out
            except errors.Error as error:
                return [copy.copy(error) for _ in items]  # one for each: it is raised in several tasks
        return await asyncio.gather(*map(self._ask_alone, items))

    async def _ask_alone(self, item: Any) -> A | Exception:
        try:
            return await self._alone(item)
        except Exception as error:  # noqa: BLE001 - it is raised where the item came from
            return error


_under_way: Final[set[asyncio.Task[None]]] = set()
_turns: Final[WeakKeyDictionary[Transport, dict[object, Joined[Any]]]] = WeakKeyDictionary()


def join(
    caller: Caller,
    endpoint: object,
    item: Any,
    size: int,
    alone: Callable[[Any], Awaitable[A]],
    together: Callable[[list[Any]], Awaitable[list[A | errors.Error]]],
    mark: object = None,
) -> asyncio.Future[A]:
    """Make a call together with the others of this turn.

    Args:
        caller: who calls.
        endpoint: which endpoint, for short, and what else has to be the same.
        item: what `alone` and `together` get of this call.
        size: bytes that it has, about.
        alone: see `Joined`.
        together: see `Joined`.
        mark: of two items with the same one, the second travels behind the first, so that they stay in their order.
    """
    transport, loop, terms, keep = caller.terms()
    turns = _turns.get(transport)
    if turns is None:
        turns = _turns[transport] = {}
    key = (endpoint, terms)
    joined = turns.get(key)
    if joined is None or not joined.takes(mark):
        joined = turns[key] = Joined(turns, key, keep, alone, together)
    return joined.add(item, size, mark, loop)
