"""An event loop in a thread of its own, for code that has none."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from microlite.core.library.bridge import wait_for

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for another thread, which waits for them.

    Attributes:
        loop: the loop; it runs from `start` to `stop`.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="microlite client", daemon=True)

    def start(self) -> Self:
        """Let the loop run."""
        self._thread.start()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it gives, or raise what it raises."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return wait_for(future)
        except BaseException:
            future.cancel()  # interrupted, perhaps: it must not go on by itself
            raise

    def stop(self) -> None:
        """End the loop and its thread. To be called once, after everything on it was closed."""
        self.run(self.loop.shutdown_asyncgens())
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
