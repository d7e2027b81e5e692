"""Blocking use of what is asynchronous, from another thread, by one generic bridge."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_TURN: Final = 0.5
"""Seconds of a wait after which Python can run the handlers of signals. A signal that comes just before the wait begins, or
that the system hands to another thread, does not end it: Ctrl-C would be lost."""


class Waits:
    """What threads wait for on behalf of one call, so that it can be given up with the call."""

    __slots__ = ("_futures", "_over")

    def __init__(self) -> None:
        self._futures: set[concurrent.futures.Future[Any]] = set()
        self._over = False

    def add(self, future: concurrent.futures.Future[Any]) -> None:
        """A thread begins to wait."""
        self._futures.add(future)
        if self._over:
            future.cancel()

    def discard(self, future: concurrent.futures.Future[Any]) -> None:
        """It no longer waits."""
        self._futures.discard(future)

    def cancel(self) -> None:
        """Let everything that waits, or will, end with `Canceled`."""
        self._over = True
        for future in list(self._futures):
            future.cancel()


class Bridge:
    """The same attributes and methods as `target`, but everything runs on `loop` and is waited for.

    An asynchronous iterator becomes an iterator, an asynchronous context manager a context manager, and what is made for
    calls (a typed client, a caller with other options) is bridged too; everything else passes through. For use in threads
    other than that of the loop.
    """

    __slots__ = ("_loop", "_target", "_waits")

    def __init__(self, target: object, loop: asyncio.AbstractEventLoop, waits: Waits | None = None) -> None:
        self._target = target
        self._loop = loop
        self._waits = waits if waits is not None else Waits()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._wrap_function(value) if callable(value) else self._convert(value)

    def __enter__(self) -> Any:
        return self._convert(self._wait(self._target.__aenter__))  # type: ignore[attr-defined]  # a bridge to any object

    def __exit__(self, *exc_info: object) -> Any:
        return self._wait(self._target.__aexit__, *exc_info)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[Any]:
        iterator = self._wait(self._target.__aiter__)  # type: ignore[attr-defined]
        try:
            while True:
                try:
                    item = self._wait(iterator.__anext__)
                except StopAsyncIteration:
                    return
                yield self._convert(item)
        finally:
            # An iterator that is dropped on the loop's own thread, by the garbage collector, ends by being dropped.
            if hasattr(iterator, "aclose") and not self._on_loop:
                self._wait(iterator.aclose)

    def __repr__(self) -> str:
        return f"<blocking {self._target!r}>"

    @property
    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _wrap_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def blocking(*args: object, **kwargs: object) -> Any:
            return self._convert(self._wait(function, *args, **kwargs))

        return blocking

    def _convert(self, value: Any) -> Any:
        kind = type(value)
        if hasattr(kind, "__aiter__") or hasattr(kind, "__aenter__") or getattr(kind, "BRIDGED", False):
            return Bridge(value, self._loop, self._waits)
        return value

    def _wait(self, function: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        if self._on_loop:
            raise RuntimeError("the blocking form was used on the event loop: write `await` and leave `.sync` out")
        if self._loop.is_closed():
            raise errors.ServiceUnavailable("this was closed, and cannot be used any more")
        future = asyncio.run_coroutine_threadsafe(_run(function, args, kwargs), self._loop)
        self._waits.add(future)
        try:
            return wait_for(future)
        except concurrent.futures.CancelledError:
            raise errors.Canceled("the call that this was done for was given up") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            self._waits.discard(future)


async def _run(function: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, Any]) -> Any:
    value = function(*args, **kwargs)
    # A task is given back as it is: what runs beside its maker is not waited for.
    return await value if inspect.isawaitable(value) and not asyncio.isfuture(value) else value


def wait_for(future: concurrent.futures.Future[T]) -> T:
    """Wait in a thread until another one has finished this; return or raise what came of it. Ctrl-C ends the wait."""
    while True:
        try:
            return future.result(_TURN)
        except TimeoutError:
            if future.done():  # then it is its own, or it was finished just now
                return future.result()
