"""Blocking use of what is asynchronous, from another thread, by one generic bridge."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


class Bridge:
    """The same attributes and methods as `target`, but a coroutine is run on `loop` and waited for.

    An asynchronous iterator becomes an iterator, an asynchronous context manager a context manager; everything else passes
    through. For use in threads other than that of the loop.
    """

    __slots__ = ("_loop", "_target")

    def __init__(self, target: object, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._wrap_function(value) if callable(value) else value

    def __enter__(self) -> Any:
        return self._convert(self._wait(self._target.__aenter__()))  # type: ignore[attr-defined]  # a bridge to any object

    def __exit__(self, *exc_info: object) -> Any:
        return self._wait(self._target.__aexit__(*exc_info))  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(self._target.__aiter__())  # type: ignore[attr-defined]

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def blocking(*args: object, **kwargs: object) -> Any:
            self._refuse_own_thread()
            return self._convert(function(*args, **kwargs))

        return blocking

    def _convert(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            return self._convert(self._wait(value))
        if hasattr(value, "__aiter__") or hasattr(value, "__aenter__"):
            return Bridge(value, self._loop)
        return value

    def _iterate(self, iterator: AsyncIterator[Any]) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._convert(self._wait(iterator.__anext__()))
                except StopAsyncIteration:
                    return
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                self._wait(close())

    def _wait(self, awaitable: Awaitable[Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(_run(awaitable), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _refuse_own_thread(self) -> None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if running is self._loop:
            raise RuntimeError("the blocking form was used on the event loop: write `await` and leave `.sync` out")


async def _run(awaitable: Any) -> Any:
    return await awaitable
