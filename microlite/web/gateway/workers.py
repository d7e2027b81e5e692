"""A few threads for work that would hold the loop: compressing and hashing what is large."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREADS: Final = 2
MAX_WAITING: Final = 64
"""Tasks that wait before there is no more to be asked for than what must be done."""


class Workers:
    """Runs functions on threads, which start with the first."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        """Whether so much waits that what can be left out had better be."""
        return self._waiting >= MAX_WAITING

    def run(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Begin with a function that touches nothing of the loop's."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="microlite gateway")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        future.add_done_callback(self._on_done)
        return future

    def close(self) -> None:
        """End the threads; what has not begun is canceled."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _on_done(self, _: object) -> None:
        self._waiting -= 1
