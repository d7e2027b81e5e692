"""What all runners of one platform share."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from microlite.core.runtime.requirements import read_requirements

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.network.membership import Membership
    from microlite.core.network.router import Router
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.environments import Environments
    from microlite.core.runtime.launch.api import Launcher
    from microlite.core.runtime.logs import Logs


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a node may take, in seconds.

    Attributes:
        start: from the launch of its process until it answers.
        silence: without an answer to a ping, before it counts as hung.
        check: between two pings.
    """

    start: float = 30.0
    silence: float = 60.0
    check: float = 10.0


class Machinery:
    """The parts of the platform that run services."""

    def __init__(
        self,
        *,
        home: Path,
        clock: Clock,
        launcher: Launcher,
        environments: Environments,
        logs: Logs,
        registry: Registry,
        membership: Membership,
        router: Router,
        library: str | None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self.home = home
        self.clock = clock
        self.launcher = launcher
        self.environments = environments
        self.logs = logs
        self.registry = registry
        self.membership = membership
        self.router = router
        self.library = library
        self.patience = patience
        self._generations = itertools.count(1)

    def next_generation(self) -> int:
        """A number higher than that of every node that was started before."""
        return next(self._generations)

    async def environment_of(self, desired: Desired, progress: Callable[[str], None]) -> tuple[str, dict[str, str]]:
        """The interpreter for a service, and the variables that its processes see besides those of their own.

        Raises:
            Error: the project's dependencies cannot be installed.
        """
        variables = dict(desired.environment)
        python = desired.python or sys.executable
        requirements = read_requirements(Path(desired.source.folder))
        if requirements is not None:
            environment = await self.environments.ensure(requirements, progress)
            if environment is not None:
                python = environment.python
                variables["VIRTUAL_ENV"] = environment.folder
                variables["PATH"] = os.pathsep.join(filter(None, (environment.bin, variables.get("PATH", os.defpath))))
        return python, variables
