"""Learning, without blocking and without reaping, that a child process has ended."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class ExitWatch:
    """Calls back once, on the loop, when a child of this process has ended; its owner reaps it then.

    Args:
        loop: where to call.
        pid: the child, not reaped.
        ended: what to call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pid: int, ended: Callable[[], object]) -> None:
        self._loop, self._ended = loop, ended
        self._descriptor = -1
        self._queue: object = None  # a kqueue closes when it is dropped
        if sys.platform == "linux":
            try:
                self._descriptor = os.pidfd_open(pid)
            except OSError:  # before Linux 5.3, or where a sandbox lacks it
                threading.Thread(target=self._block, args=(pid,), name=f"exit-of-{pid}", daemon=True).start()
        else:
            queue = select.kqueue()
            self._queue, self._descriptor = queue, queue.fileno()
            event = select.kevent(
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
            )
            try:
                queue.control([event], 0)
            except ProcessLookupError:  # it has ended already
                loop.call_soon(self._ring)
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._ring)

    def close(self) -> None:
        """Call no more. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        self._ended = _nothing
        if descriptor >= 0:
            self._loop.remove_reader(descriptor)
            if self._queue is None:
                os.close(descriptor)
        self._queue = None

    def _ring(self) -> None:
        ended = self._ended
        self.close()
        ended()

    def _block(self, pid: int) -> None:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            self._loop.call_soon_threadsafe(self._ring)
        except (ChildProcessError, RuntimeError):
            pass  # somebody else reaped it, or the loop is closed: nobody waits any more


def _nothing() -> None:
    pass
