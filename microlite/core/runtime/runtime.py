"""All services that a platform runs: what is desired, and a runner for each."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Batch, Delete, Put
from microlite.core.runtime.api import Desired, Happening, RunRequest, ServiceStatus
from microlite.core.runtime.restarts import Cause
from microlite.core.runtime.runner import Runner
from microlite.core.runtime.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.engine.api import Engine
    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.watcher import Watch, Watcher

BUCKET: Final = "runtime"
"""The records of what is detached, by name and version."""

PLATFORM_NAMESPACE: Final = "microlite.platform"
"""Where the platform keeps its own records; no namespace of a user can carry the name."""

log = logging.getLogger(__name__)


class Runtime:
    """Runs services: those of sessions as long as these last, detached ones until they are killed.

    Args:
        engine: holds what is detached across restarts.
        machinery: starts and routes.
        watcher: tells which files were saved.
        group: the tasks of all runners belong to it.
    """

    def __init__(self, engine: Engine, machinery: Machinery, watcher: Watcher, group: asyncio.TaskGroup) -> None:
        self._engine = engine
        self._machinery = machinery
        self._watcher = watcher
        self._group = group
        self._runners: dict[tuple[str, str], Runner] = {}
        self._watches: dict[Runner, Watch] = {}
        self._listeners: dict[Runner, set[Callable[[Happening], None]]] = {}
        machinery.membership.supervise(self._claims)

    def _claims(self, lease: Lease) -> bool:
        return any(runner.claims(lease) for runner in self._runners.values())

    # -- what is wanted -------------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Start again what was detached when the platform ended."""
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(PLATFORM_NAMESPACE, BUCKET, after=after)
            after = page.cursor
            for record in page.records:
                try:
                    desired = msgspec.msgpack.decode(record.value, type=Desired)
                except msgspec.DecodeError:
                    log.exception("the record of the detached service %s cannot be read; it is left out", record.key)
                    continue
                await self._start(desired)

    def find(self, request: RunRequest, namespace: str, *, detached: bool, owner: str) -> list[Desired]:
        """What a request means, completed from the project. Reads files: not for the loop.

        Raises:
            Error: there is nothing to run, or something about it is wrong.
        """
        wanted: list[Desired] = []
        for typed in request.sources:
            for source in find_sources(typed, cwd=Path("/"), name=request.name, command=request.command):
                wanted.append(  # noqa: PERF401 - nested
                    Desired(
                        source=source,
                        namespace=namespace,
                        version=request.version,
                        instances=request.instances or source.instances,
                        environment={**request.environment, **source.env, **request.env},
                        metadata=request.metadata,
                        python=request.python,
                        watch=request.watch,
                        detached=detached,
                        owner=owner,
                    )
                )
        keys = [desired.key for desired in wanted]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise errors.BadRequest(f"two of the sources are the service {twice[0]!r}; give one of them --name")
        return wanted

    async def run(self, wanted: list[Desired]) -> list[Runner]:
        """Start services that are not running yet; all of them or, where one cannot be, none.

        Raises:
            Conflict: one runs already.
        """
        for desired in wanted:
            present = self._runners.get((desired.namespace, desired.key))
            if present is not None:
                how = "detached" if present.desired.detached else "by another session"
                raise errors.Conflict(
                    f"{desired.key} is running already ({how}, from {present.desired.source.folder}); "
                    f"end it with `microlite kill {desired.key}`, or load new code with `microlite update {desired.key}`"
                )
        runners = [await self._start(desired) for desired in wanted]
        for desired in wanted:
            if desired.detached:
                await self._keep(desired)
        return runners

    async def _keep(self, desired: Desired) -> None:
        put = Put(BUCKET, _record_key(desired), msgspec.msgpack.encode(desired))
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, (put,)))

    async def _start(self, desired: Desired) -> Runner:
        listeners: set[Callable[[Happening], None]] = set()

        def tell(happening: Happening) -> None:
            for listener in list(listeners):
                listener(happening)

        runner = Runner(desired, self._machinery, tell)
        self._runners[desired.namespace, desired.key] = runner
        self._listeners[runner] = listeners
        if desired.watch:
            source = desired.source
            watch = await self._watcher.watch(Path(source.folder), extensions=source.watch)
            self._watches[runner] = watch
            self._group.create_task(self._follow(runner, watch), name=f"microlite: watch {desired.key}")
        self._group.create_task(self._reconcile(runner), name=f"microlite: run {desired.key}")
        return runner

    async def _reconcile(self, runner: Runner) -> None:
        try:
            await runner.reconcile()
        finally:
            key = (runner.desired.namespace, runner.desired.key)
            if self._runners.get(key) is runner:
                del self._runners[key]
            self._listeners.pop(runner, None)
            watch = self._watches.pop(runner, None)
            if watch is not None:
                watch.close()

    async def _follow(self, runner: Runner, watch: Watch) -> None:
        folder = Path(runner.desired.source.folder)
        async for change in watch:
            changed = tuple(_relative(path, folder) for path in change.paths)
            runner.renew(Cause.CHANGE, changed, change.at)

    def listen(self, runner: Runner, listener: Callable[[Happening], None]) -> Callable[[], None]:
        """Tell `listener` what happens to a service. Returns the way to stop it."""
        listeners = self._listeners[runner]
        listeners.add(listener)
        return lambda: listeners.discard(listener)

    def get(self, namespace: str, name: str, version: str = "") -> Runner:
        """The runner of a service.

        Raises:
            NotFound: it is not run by this platform.
        """
        found = self.matching(namespace, name, version)
        if not found:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
        return found[0]

    def matching(self, namespace: str, name: str = "", version: str = "") -> list[Runner]:
        """The runners of a namespace, of one service, or of one version of it."""
        return [
            runner
            for (its_namespace, _), runner in sorted(self._runners.items())
            if its_namespace == namespace
            and name in ("", runner.desired.name)
            and (not version or runner.status().version == version)
        ]

    async def update(self, namespace: str, name: str, version: str = "") -> list[ServiceStatus]:
        """Load the code of a service anew, watched or not, and return when that is done.

        Raises:
            NotFound: it is not run by this platform.
        """
        runners = self.matching(namespace, name, version)
        if not runners:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
        for runner in runners:
            source = runner.desired.source
            typed = str(Path(source.folder, source.entry)) if source.entry else source.folder
            fresh = await asyncio.to_thread(
                find_sources, typed, cwd=Path("/"), name=source.name, command=" ".join(source.command)
            )
            runner.desired = msgspec.structs.replace(runner.desired, source=fresh[0])
            if runner.desired.detached:
                await self._keep(runner.desired)
            runner.renew(Cause.UPDATE)
        await asyncio.gather(*(runner.settled() for runner in runners))
        return [runner.status() for runner in runners]

    async def kill(self, namespace: str, names: list[str]) -> list[str]:
        """End services, by `name` or `name@version`, and return when their processes are gone.

        Raises:
            NotFound: one of them is not run by this platform; then none is ended.
        """
        found: list[Runner] = []
        for typed in names:
            name, _, version = typed.partition("@")
            matching = self.matching(namespace, name, version)
            if not matching:
                raise errors.ServiceNotFound(f'Service "{typed}" not found')
            found += [runner for runner in matching if runner not in found]
        for runner in found:
            if runner.desired.detached:
                await self._engine.commit(Batch(PLATFORM_NAMESPACE, (Delete(BUCKET, _record_key(runner.desired)),)))
        await self.end(found)
        return [runner.desired.key for runner in found]

    async def end(self, runners: list[Runner]) -> None:
        """Drain and end services without forgetting that they are desired."""
        for runner in runners:
            runner.stop()
        await asyncio.gather(*(runner.finished for runner in runners))

    async def close(self) -> None:
        """End all services; detached ones come back with the platform."""
        await self.end(list(self._runners.values()))

    def cut(self) -> None:
        """Kill all processes now."""
        for runner in list(self._runners.values()):
            runner.cut()
            runner.stop()

    @property
    def has_detached(self) -> bool:
        """Whether something is to run without a session."""
        return any(runner.desired.detached for runner in self._runners.values())


def _record_key(desired: Desired) -> str:
    return f"{desired.namespace}/{desired.key}"


def _relative(path: str, folder: Path) -> str:
    return os.path.relpath(path, folder)
