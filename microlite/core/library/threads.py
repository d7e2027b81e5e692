"""Plain functions in threads, with the streams between them and the loop."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from microlite.core.library.context import Context

MAX_THREADS: Final = 32
"""Plain functions that run at a time in one node; further calls wait."""


class Threads:
    """Runs the plain functions of one service. No thread is started before the first call."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread. Who cancels this gives up what the function waits for through `ctx.sync`."""
        return await self._outcome(context, self._submit(contextvars.copy_context(), function, *arguments))

    async def iterate(self, context: Context, iterable: Any) -> AsyncIterator[Any]:
        """The items of an iterator that blocks. It is closed in a thread too, once it has come to its next item."""
        variables = contextvars.copy_context()
        iterator = iter(iterable)
        close = getattr(iterator, "close", None)
        running: Future[Any] | None = None
        try:
            while True:
                running = self._submit(variables, next, iterator, _END)
                item = await self._outcome(context, running)
                if item is _END:
                    return
                yield item
        finally:
            if close is not None:
                if running is None or running.done():
                    await asyncio.wrap_future(self._submit(variables, close))
                else:
                    running.add_done_callback(lambda _: close())

    def blocking(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        """The items of an asynchronous iterator of the loop, for a function in a thread."""

        async def following() -> Any:
            return await anext(items, _END)

        while True:
            item = asyncio.run_coroutine_threadsafe(following(), self._loop).result()
            if item is _END:
                return
            yield item

    def close(self) -> None:
        """Start nothing more. Functions that run go on to their end: a thread cannot be stopped from outside."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, variables: contextvars.Context, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix=self._name)
        return self._pool.submit(variables.run, _call, function, arguments)

    async def _outcome(self, context: Context, running: Future[Any]) -> Any:
        try:
            return await asyncio.wrap_future(running, loop=self._loop)
        except asyncio.CancelledError:
            context.give_up()
            raise


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except StopIteration as error:  # no future can carry it
        raise RuntimeError(f"{getattr(function, '__qualname__', function)} raised StopIteration") from error


_END: Final = object()
