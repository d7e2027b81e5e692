"""What all runners of one platform share."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from microlite.core.runtime import http_program
from microlite.core.runtime.backoff import Policy
from microlite.core.runtime.debug_ports import DebugPorts
from microlite.core.runtime.expectations import Expectations
from microlite.core.runtime.finder import Finder
from microlite.core.runtime.git.address import address_of
from microlite.core.runtime.importing import VARIABLES
from microlite.core.runtime.requirements import read_requirements
from microlite.core.runtime.variables import read_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.auth.tickets import Tickets
    from microlite.core.clock import Clock
    from microlite.core.network.membership import Membership
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.environments import Environments
    from microlite.core.runtime.git.checkouts import Checkouts
    from microlite.core.runtime.isolation.cells import Cells
    from microlite.core.runtime.launch.api import Launcher
    from microlite.core.runtime.logs import Logs
    from microlite.core.runtime.sources import Source


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a node may take, in seconds.

    Attributes:
        start: from the launch of its process until it answers.
        notice: of these, until it is said that it takes long.
        silence: without an answer to a ping, before it counts as hung.
        check: between two pings.
        drain: for the unary calls and HTTP requests of a node that is replaced or ended.
        retry: when and how often one that failed is started again.
    """

    start: float = 30.0
    notice: float = 5.0
    silence: float = 60.0
    check: float = 10.0
    drain: float = 30.0
    retry: Policy = Policy()


class Machinery:
    """The parts of the platform that run services.

    Args:
        cells: put walls around the nodes of isolated services.
        library: the folder with the library for interpreters that have not got it; see `LaunchSpec.library`.
        environ: the variables that a service sees where whoever runs it names none; the platform's own.
        patience: how long a node may take.
    """

    def __init__(
        self,
        *,
        home: Path,
        clock: Clock,
        launcher: Launcher,
        cells: Cells,
        environments: Environments,
        checkouts: Checkouts,
        logs: Logs,
        registry: Registry,
        membership: Membership,
        tickets: Tickets,
        library: str | None,
        environ: Mapping[str, str],
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self.home = home
        self.clock = clock
        self.launcher = launcher
        self.cells = cells
        self.environments = environments
        self.checkouts = checkouts
        self.finder = Finder(checkouts)
        self.logs = logs
        self.registry = registry
        self.membership = membership
        self.tickets = tickets
        self.expectations = Expectations(membership)
        self.debug_ports = DebugPorts()
        self.library = library
        self.patience = patience
        self._environ = dict(environ)
        self._generations = itertools.count(1)

    def next_generation(self) -> int:
        """A number higher than that of every node that was started before."""
        return next(self._generations)

    async def environment_of(self, desired: Desired, progress: Callable[[str], object]) -> tuple[str, dict[str, str]]:
        """The interpreter for a service, and the variables that its processes see besides those of their own.

        Of a variable that is set in several places that of the user counts before that of a `.env`, then what the
        project declares, then what was said with the request.

        Args:
            desired: the service.
            progress: is called with each line that tells how the installation goes on; not at all if there is none.

        Raises:
            Error: the project's dependencies cannot be installed, a `.env` is malformed, or the code was removed and
                cannot be fetched again.
        """
        asked, source = desired.asked, desired.source
        if source.commit and not await asyncio.to_thread(Path(source.folder).is_dir):
            await self._fetch_again(source, progress)
        variables = await asyncio.to_thread(_from_files, source)
        variables |= await self.cells.inherited(desired, asked.environment or self._environ)
        if source.command:
            variables["HOST"] = http_program.HOST  # a shell may have another one, which means the machine
        variables |= {**source.env, **asked.env}
        python = asked.python or sys.executable
        requirements = await asyncio.to_thread(read_requirements, Path(source.folder))
        if requirements is not None:
            environments = await self.cells.environments_of(desired) or self.environments
            environment = await environments.ensure(requirements, progress)
            if environment is not None:
                python = environment.python
                variables["VIRTUAL_ENV"] = environment.folder
                variables["PATH"] = os.pathsep.join((environment.bin, variables.get("PATH", os.defpath)))
        return python, variables

    async def _fetch_again(self, source: Source, progress: Callable[[str], object]) -> None:
        address = await asyncio.to_thread(address_of, source.origin)
        if address is not None:
            await self.checkouts.restore(address, source.commit, progress)


def _from_files(source: Source) -> dict[str, str]:
    """What the `.env` of the project and that of the service say: the weakest of all variables."""
    folders = dict.fromkeys(folder for folder in (source.root, source.folder) if folder)
    return {name: value for folder in folders for name, value in read_variables(Path(folder, VARIABLES)).items()}
