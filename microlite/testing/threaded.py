"""A platform for tests that have no event loop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from microlite.core.library.bridge import Bridge
from microlite.core.library.loop_thread import LoopThread
from microlite.testing.harness import platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microlite.core.clock import Clock


@contextlib.contextmanager
def blocking_platform(*, clock: Clock | None = None) -> Iterator[Any]:
    """The same as `platform`, blocking: it runs on a thread of its own, and so do the services.

    `p.serve(greeter)`, `p.call("greeter.hello", name="Ann")` and the other methods return what they give, with nothing to
    await. Move its time by `p.advance`, not by its clock.

    Args:
        clock: see `platform`.
    """
    thread = LoopThread().start()
    try:
        entered = platform(clock=clock)
        running = thread.run(_enter(entered))
        try:
            yield Bridge(running, thread.loop)
        finally:
            thread.run(_leave(entered))
    finally:
        thread.stop()


async def _enter(entered: contextlib.AbstractAsyncContextManager[Any]) -> Any:
    return await entered.__aenter__()


async def _leave(entered: contextlib.AbstractAsyncContextManager[Any]) -> None:
    await entered.__aexit__(None, None, None)
