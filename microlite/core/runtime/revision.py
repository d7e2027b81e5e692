"""Keeps what a session runs equal to its project file, while that is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.runtime.api import Happening, Topic
from microlite.core.runtime.importing import PROJECT
from microlite.core.runtime.renewal import Renewal
from microlite.core.runtime.restarts import Cause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.runner import Runner
    from microlite.core.runtime.runtime import Runtime


class Revision:
    """Starts, ends and renews services as a project file says.

    Args:
        runtime: runs them.
        find: finds all that is to run as the sources are now.
        add: starts further services.
        runners: gives those that were started and have not ended.
        tell: is told what is wrong with the file.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        find: Callable[[], Awaitable[list[Desired]]],
        add: Callable[[list[Desired]], Awaitable[None]],
        runners: Callable[[], Sequence[Runner]],
        tell: Callable[[Happening], object],
    ) -> None:
        self._runtime = runtime
        self._find = find
        self._add = add
        self._runners = runners
        self._tell = tell

    async def follow(self, folder: Path) -> None:
        """Carry out each change of the project file in a folder, for ever. A wrong one changes nothing, and is told."""
        watch = await self._runtime.watch_file(folder / PROJECT)
        try:
            async for change in watch:
                try:
                    await self._carry_out(change.at)
                except errors.Error as error:
                    text = f"{error.detail}; what runs stays as it was"
                    self._tell(Happening(at=change.at, topic=Topic.FAILED, service=PROJECT, text=text))
        finally:
            watch.close()

    async def _carry_out(self, at: float) -> None:
        wanted = {desired.key: desired for desired in await self._find()}
        self._runtime.check_needs(list(wanted.values()))
        present = {runner.desired.key: runner for runner in self._runners() if not runner.stopping}
        self._runtime.stop([runner for key, runner in present.items() if key not in wanted])
        for key, runner in present.items():
            desired = wanted.get(key)
            if desired is not None and desired != runner.desired:
                runner.renew(Renewal(Cause.CHANGE, at, [PROJECT], desired=desired))
        new = [desired for key, desired in wanted.items() if key not in present]
        if new:
            await self._add(new)
