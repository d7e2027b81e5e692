"""Services that run for as long as somebody listens to what happens to them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.feed import Feed

if TYPE_CHECKING:
    from types import TracebackType

    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.log_followers import Follower
    from microlite.core.runtime.logs import Logs
    from microlite.core.runtime.runner import Runner
    from microlite.core.runtime.runtime import Runtime


class Session:
    """Enter it (`async with`) to start the services, iterate over it for what happens, leave it to end them.

    The iteration ends when the last of the services has, by whatever hand, and its last words were given out.

    Args:
        runtime: runs the services.
        logs: hold what they write.
        wanted: the services, all of one namespace.
    """

    def __init__(self, runtime: Runtime, logs: Logs, wanted: list[Desired]) -> None:
        self._runtime = runtime
        self._logs = logs
        self._wanted = wanted
        self._feed = Feed()
        self._followers = contextlib.AsyncExitStack()
        self._runners: list[Runner] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        forwarding = []
        # First the logs, so that no line is missed.
        for namespace, name in dict.fromkeys((desired.namespace, desired.name) for desired in self._wanted):
            follower = await self._followers.enter_async_context(self._logs.of(namespace, name).follow())
            forwarding.append((name, follower))
        self._runners = await self._runtime.run(self._wanted, self._feed.put)
        self._tasks = [
            loop.create_task(self._forward(name, follower), name=f"microlite: session log of {name}")
            for name, follower in forwarding
        ]
        followers = [follower for _, follower in forwarding]
        self._tasks.append(loop.create_task(self._close_when_finished(followers), name="microlite: session end"))

    async def _forward(self, name: str, follower: Follower) -> None:
        async for line in follower:
            self._feed.put(Happening(at=line.at, topic=Topic.LOG, service=name, node=line.node, line=line))

    async def _close_when_finished(self, followers: list[Follower]) -> None:
        await asyncio.wait({runner.finished for runner in self._runners})
        for follower in followers:
            follower.end()
        await asyncio.gather(*self._tasks[:-1])
        self._feed.close()

    def __aiter__(self) -> Feed:
        return self._feed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        for runner in self._runners:
            self._runtime.forget(runner, self._feed.put)
        self._runtime.stop(self._runners)  # nobody waits for it here, since the listener is gone
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._followers.aclose()
