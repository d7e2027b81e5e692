"""Services that run for as long as somebody listens to what happens to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.feed import Feed
from microlite.core.runtime.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
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
        find: finds them again, when a project file has changed; None to leave such changes alone.
    """

    def __init__(
        self, runtime: Runtime, logs: Logs, wanted: list[Desired], find: Callable[[], Awaitable[list[Desired]]] | None
    ) -> None:
        self._runtime = runtime
        self._logs = logs
        self._wanted = wanted
        self._feed = Feed()
        self._open = contextlib.AsyncExitStack()
        self._followers: dict[str, Follower] = {}
        self._runners: list[Runner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._forwarding: list[asyncio.Task[None]] = []
        self._find = find

    async def __aenter__(self) -> Self:
        try:
            await self._add(self._wanted)
            if self._find is not None:
                self._follow_projects(self._find)
            self._task(self._close_when_finished(), "end")
        except BaseException:
            await self._end()
            raise
        return self

    def _follow_projects(self, find: Callable[[], Awaitable[list[Desired]]]) -> None:
        revision = Revision(self._runtime, find=find, add=self._add, runners=self._running, tell=self._feed.put)
        for folder in {desired.project for desired in self._wanted if desired.project.startswith(os.sep)}:
            self._task(revision.follow(Path(folder)), f"project {folder}")

    async def _add(self, wanted: list[Desired]) -> None:
        """Start services, and give out what they write."""
        loop = asyncio.get_running_loop()
        # First the logs, so that no line is missed.
        new: list[tuple[str, Follower]] = []
        for namespace, name in dict.fromkeys((desired.namespace, desired.name) for desired in wanted):
            if name not in self._followers:
                follower = await self._open.enter_async_context(self._logs.of(namespace, name).follow())
                self._followers[name] = follower
                new.append((name, follower))
        self._runners += await self._runtime.run(wanted, self._feed.put)
        self._forwarding += [
            loop.create_task(self._forward(name, follower), name=f"microlite: session log of {name}")
            for name, follower in new
        ]

    def _running(self) -> list[Runner]:
        return [runner for runner in self._runners if not runner.finished.done()]

    async def _forward(self, name: str, follower: Follower) -> None:
        async for line in follower:
            self._feed.put(Happening(at=line.at, topic=Topic.LOG, service=name, node=line.node, line=line))

    async def _close_when_finished(self) -> None:
        while running := self._running():  # a project file may bring further ones
            await asyncio.wait({runner.finished for runner in running})
        for follower in self._followers.values():
            follower.end()
        await asyncio.gather(*self._forwarding)
        self._feed.close()

    def _task(self, work: Coroutine[Any, Any, None], what: str) -> None:
        name = f"microlite: session {what}"
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))

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
        tasks = [*self._tasks, *self._forwarding]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._open.aclose()
