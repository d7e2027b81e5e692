"""All isolated services of a platform."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from microlite.core.runtime.isolation import ids
from microlite.core.runtime.isolation.availability import choose
from microlite.core.runtime.isolation.cell import Cell
from microlite.core.runtime.isolation.copying import copy_library
from microlite.core.runtime.isolation.modes import Isolation
from microlite.core.runtime.launch import bury, sweep
from microlite.core.runtime.launch.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from microlite.core.runtime.api import Desired
    from microlite.core.runtime.environments import Environments
    from microlite.core.runtime.launch.api import LaunchSpec

_PASSED_ON: Final = ("PATH", "LANG", "LC_", "TZ", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")
"""What an isolated service sees of the variables of the platform, or of whoever runs it: their beginnings."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a platform isolates.

    Attributes:
        here: how services are walled in for which nobody says it.
        home: of the platform.
        folder: of the services with user ids.
        library: the folder with microlite.
    """

    here: Isolation
    home: Path
    folder: Path
    library: Path


class Cells:
    """Opens a cell for the first node of a service, and closes it when the service is over.

    Args:
        settings: of the platform.
        environments: makes the environments of isolated services, in a folder and for a library, without running any
            code of theirs.
        open_gate: opens the platform's socket for a cell; the result closes it.
    """

    def __init__(
        self,
        settings: Settings,
        environments: Callable[[Path, Path], Environments],
        open_gate: Callable[[Cell], Awaitable[Callable[[], Awaitable[None]]]],
    ) -> None:
        self._settings = settings
        self._make_environments = environments
        self._open_gate = open_gate
        self._modes: dict[Isolation, Isolation] = {}
        self._cells: dict[tuple[str, str], Cell] = {}
        self._gates: dict[Cell, Callable[[], Awaitable[None]]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._copying = threading.Lock()
        self._guard: Guard | None = None

    @property
    def _mark(self) -> str:
        return str(self._settings.home.absolute())

    @property
    def _base(self) -> Path:
        """Of the cells with user ids, for this home."""
        return self._settings.folder / hashlib.blake2b(self._mark.encode(), digest_size=6).hexdigest()

    @property
    def _shared(self) -> Path:
        """Of the environments of cells without user ids: each sees its own only."""
        return self._settings.home / "isolated" / "environments"

    async def __aenter__(self) -> Self:
        """End and remove what a platform that was killed has left."""
        if os.geteuid() == 0:
            await self._end_users(await asyncio.to_thread(ids.given, self._settings.folder / "ids", self._mark))
        await asyncio.to_thread(self._remove_all)
        await self._make_environments(self._shared, self._settings.library).prune(keep=())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for namespace, service in list(self._cells):
            await self.release(namespace, service)
        await asyncio.to_thread(self._remove_all)
        if self._guard is not None:
            self._guard.close()

    def _remove_all(self) -> None:
        for folder in (self._base, self._settings.home / "isolated"):
            for pattern in ("cell-*", "library-*", ".library-*"):
                for left in folder.glob(pattern):
                    shutil.rmtree(left, ignore_errors=True)
            with contextlib.suppress(OSError):  # not there, or not empty
                folder.rmdir()

    # -- what is asked before a process is started ---------------------------------------------------------------------

    async def mode_of(self, asked: Isolation) -> Isolation:
        """How a service is walled in that is asked for like this: `OFF`, `UID` or `BWRAP`.

        Raises:
            Forbidden, ServiceUnavailable: see `choose`.
        """
        if (
            asked not in self._modes
        ):  # what this machine can do it can do until the platform ends; the contrary may change
            self._modes[asked] = await asyncio.to_thread(choose, asked, self._settings.here)
        return self._modes[asked]

    async def check(self, wanted: Iterable[Desired]) -> None:
        """Refuse services that cannot be isolated as it is asked for.

        Raises:
            Forbidden, ServiceUnavailable: see `choose`.
        """
        for asked in {desired.asked.isolate for desired in wanted}:
            await self.mode_of(asked)

    def shown(self, desired: Desired) -> Isolation:
        """How a service is isolated, as far as that is known by now; `OFF` where it is not."""
        return self._modes.get(desired.asked.isolate, Isolation.OFF)

    async def environments_of(self, desired: Desired) -> Environments | None:
        """What makes its environment; None where that is the platform's own.

        Raises:
            Forbidden, ServiceUnavailable: see `choose`.
        """
        if await self.mode_of(desired.asked.isolate) is Isolation.OFF:
            return None
        cell = await self._cell(desired)
        folder = cell.environments if cell.uid else self._shared
        return self._make_environments(folder, cell.library)

    async def inherited(self, desired: Desired, environ: Mapping[str, str]) -> Mapping[str, str]:
        """What it sees of the variables of the platform, or of whoever runs it; what is named for it comes besides."""
        if await self.mode_of(desired.asked.isolate) is Isolation.OFF:
            return environ
        return {name: value for name, value in environ.items() if name.startswith(_PASSED_ON)}

    # -- processes -----------------------------------------------------------------------------------------------------

    async def enter(
        self, desired: Desired, node: str, generation: int, spec: LaunchSpec, say: Callable[[str], object]
    ) -> LaunchSpec:
        """The process of a node within the walls that are asked for, if any. Whoever starts it calls `leave` at its end.

        Args:
            desired: the service.
            node: the id.
            generation: of the node.
            spec: the process without walls.
            say: is told what should be mended.

        Raises:
            Error: it cannot be isolated; says why.
        """
        if await self.mode_of(desired.asked.isolate) is Isolation.OFF:
            return spec
        cell = await self._cell(desired)
        cell.admit(node, generation)
        exposed = await asyncio.to_thread(cell.exposed, desired.source)
        if exposed:
            say(
                f"{exposed} can be read by every user of this machine, other isolated services too: chmod 700 {exposed}"
            )
        try:
            return await asyncio.to_thread(cell.confine, spec, desired.source, generation)
        except BaseException:
            await asyncio.to_thread(cell.dismiss, node, generation)
            raise

    async def leave(self, desired: Desired, node: str, generation: int) -> None:
        """A node has ended. Harmless for one that was not isolated."""
        cell = self._cells.get((desired.namespace, desired.name))
        if cell is not None:
            await asyncio.to_thread(cell.dismiss, node, generation)

    async def release(self, namespace: str, service: str) -> None:
        """A service is over: end what it may have left behind, and remove its folders."""
        async with self._locks.setdefault((namespace, service), asyncio.Lock()):
            cell = self._cells.pop((namespace, service), None)
            if cell is None:
                return
            close = self._gates.pop(cell, None)
            if close is not None:
                await close()
            if cell.uid:
                await self._end_users([cell.uid])
            await asyncio.to_thread(cell.close)

    async def _cell(self, desired: Desired) -> Cell:
        mode = await self.mode_of(desired.asked.isolate)
        key = (desired.namespace, desired.name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            cell = self._cells.get(key)
            if cell is None:
                cell = await asyncio.to_thread(self._make, desired, mode)
                if cell.uid and mode is Isolation.UID:
                    self._guard_user(cell.uid)
                self._gates[cell] = await self._open_gate(cell)
                self._cells[key] = cell
            return cell

    def _make(self, desired: Desired, mode: Isolation) -> Cell:
        settings, uid, library = self._settings, 0, self._settings.library
        base = settings.home / "isolated"
        name = hashlib.blake2b(f"{desired.namespace}\0{desired.name}".encode(), digest_size=6).hexdigest()
        if os.geteuid() == 0:
            base = self._base
            for folder in (settings.folder, base):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711)
            uid = ids.allot(settings.folder / "ids", f"{self._mark}\0{desired.namespace}\0{desired.name}")
            library = base / f"library-{hashlib.blake2b(str(library).encode(), digest_size=6).hexdigest()}"
            with self._copying:
                copy_library(settings.library, library)
        cell = Cell(
            desired.namespace,
            desired.name,
            mode=mode,
            uid=uid,
            folder=base / f"cell-{name}",
            home=settings.home,
            library=library,
        )
        cell.open()
        return cell

    # -- what must not stay behind -------------------------------------------------------------------------------------

    def _guard_user(self, uid: int) -> None:
        """Have the processes of a user id end with the platform, also those that left their group."""
        if self._guard is None or not self._guard.alive:
            if self._guard is not None:
                self._guard.close()
            self._guard = Guard()
            for cell in self._cells.values():
                if cell.mode is Isolation.UID:
                    self._guard.watch_user(cell.uid)
        self._guard.watch_user(uid)

    async def _end_users(self, uids: list[int]) -> None:
        if uids:
            await bury.dead(await asyncio.to_thread(sweep.end_users, uids))
