"""All services that a platform runs: what is desired, and a runner for each."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Delete, Put
from microlite.core.runtime import importing, requirements
from microlite.core.runtime.api import Desired, Happening, ServiceStatus, Topic
from microlite.core.runtime.dependencies import check_needs, ends_before
from microlite.core.runtime.gates import Gates
from microlite.core.runtime.renewal import Renewal
from microlite.core.runtime.restarts import Cause
from microlite.core.runtime.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.engine.api import Engine
    from microlite.core.registry.registry import Lease
    from microlite.core.runtime.machinery import Machinery
    from microlite.core.runtime.watcher import Change, Watch, Watcher

BUCKET: Final = "runtime"
"""The records of what is detached, by name and version."""

log = logging.getLogger(__name__)


class _Service:
    """A runner with what belongs to it here."""

    runner: Runner

    def __init__(self) -> None:
        self.listeners: set[Callable[[Happening], object]] = set()
        self.watch: Watch | None = None
        self.watched: importing.Watched | None = None
        self.looking = False


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
        self._services: dict[tuple[str, str], _Service] = {}
        self._observers: set[Callable[[str, str], object]] = set()
        self._closing = False
        self._gates = Gates(self.matching, machinery.registry, machinery.membership)
        machinery.membership.supervise(self._claims)
        self.finder = machinery.finder
        self.clock = machinery.clock

    def _claims(self, lease: Lease) -> bool:
        """Whether a node is the runtime's to route: also one that was given up while it registered."""
        claimed = [service.runner.claims(lease) for service in self._services.values()]
        return any(claimed) or lease.registration.node.generation > 0

    # -- to run ---------------------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Start again what was detached when the platform ended."""
        wanted: list[Desired] = []
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(PLATFORM_NAMESPACE, BUCKET, after=after)
            after = page.cursor
            for record in page.records:
                try:
                    wanted.append(msgspec.msgpack.decode(record.value, type=Desired))
                except msgspec.DecodeError as error:
                    log.error(
                        "the record of the detached service %s cannot be read, and is left out: %s", record.key, error
                    )
        await self._start(self._enter(wanted, None))

    async def run(self, wanted: list[Desired], listener: Callable[[Happening], object] | None = None) -> list[Runner]:
        """Start services that are not running yet; all of them or, where one cannot be, none.

        One that is just being ended is waited for.

        Args:
            wanted: the services.
            listener: is told what happens to them, from the start.

        Raises:
            Conflict: one runs already.
            BadRequest: one depends on a service that is not there, or they depend on each other.
            ServiceUnavailable: the platform is stopping.
        """
        while ending := [
            present.runner.finished
            for desired in wanted
            if (present := self._present(desired)) is not None and present.runner.stopping
        ]:
            if listener is not None:
                for desired in wanted:
                    listener(_waiting(desired, self._machinery.clock.now()))
            await asyncio.wait(ending)
        for desired in wanted:
            if (present := self._present(desired)) is not None:
                raise _running_already(present.runner.desired)
        self.check_needs(wanted)
        # From here to the entering nothing waits: of two requests at a time the second finds what the first has entered.
        services = self._enter(wanted, listener)
        kept = [desired for desired in wanted if desired.detached]
        try:
            await self._keep(kept)
            await self._start(services)
        except BaseException:
            self._leave(services)
            await self._drop(kept)
            raise
        return [service.runner for service in services]

    def _present(self, desired: Desired) -> _Service | None:
        return self._services.get((desired.namespace, desired.key))

    def check_needs(self, wanted: Sequence[Desired]) -> None:
        """Refuse services that could never start.

        Raises:
            BadRequest: one depends on a service that is neither among them nor runs, or they depend on each other.
        """
        for namespace in {desired.namespace for desired in wanted}:
            others: dict[str, tuple[str, ...]] = {
                record.name: () for record in self._machinery.registry.services(namespace, built_in=True)
            }
            others |= {runner.desired.name: runner.desired.source.depends_on for runner in self.matching(namespace)}
            check_needs({desired.name: desired.source.depends_on for desired in wanted}, others)

    def _enter(self, wanted: list[Desired], listener: Callable[[Happening], object] | None) -> list[_Service]:
        if self._closing:
            raise errors.ServiceUnavailable("the platform is stopping")
        services = []
        for desired in wanted:
            service = _Service()
            if listener is not None:
                service.listeners.add(listener)
            service.listeners.add(self._observer_of(desired.namespace))
            service.runner = Runner(desired, self._machinery, self._gates, partial(self._on_happening, service))
            self._services[desired.namespace, desired.key] = service
            services.append(service)
        return services

    def _leave(self, services: Sequence[_Service]) -> None:
        """Forget services that were entered and never started."""
        for service in services:
            desired = service.runner.desired
            if self._services.get((desired.namespace, desired.key)) is service:
                del self._services[desired.namespace, desired.key]
            service.runner.abandon()
            if service.watch is not None:
                service.watch.close()

    async def _start(self, services: Sequence[_Service]) -> None:
        # First all watches: what is saved from now on is noticed, and what is refused is refused before anything runs.
        for service in services:
            desired = service.runner.desired
            if desired.asked.watch:
                await self._watch(service)
        for service in services:
            key = service.runner.desired.key
            if service.watch is not None:
                self._group.create_task(self._follow(service), name=f"microlite: watch {key}")
            self._group.create_task(self._reconcile(service), name=f"microlite: run {key}")

    async def _reconcile(self, service: _Service) -> None:
        desired = service.runner.desired
        try:
            await service.runner.reconcile()
        finally:
            if self._services.get((desired.namespace, desired.key)) is service:
                del self._services[desired.namespace, desired.key]
            self._observed(desired.namespace, desired.name)
            if service.watch is not None:
                service.watch.close()

    async def _watch(self, service: _Service) -> None:
        """Watch what the service is made of now, if that is not what is watched."""
        source = service.runner.desired.source
        watched = await asyncio.to_thread(
            importing.watched,
            Path(source.folder),
            source.entry,
            source.path,
            source.root,
            alone=source.alone,
            beside=requirements.FILES,
        )
        if watched == service.watched:
            return
        folders = [Path(folder) for folder in watched.folders]
        watch = await self._watcher.watch(*folders, extensions=source.watch, single=watched.files)
        before, service.watch, service.watched = service.watch, watch, watched
        if before is not None:
            last = before.take()  # what was saved until the new one began
            before.close()
            if last is not None:
                self._changed(service.runner, last)
        if service.runner.finished.done():
            watch.close()

    async def _watch_again(self, service: _Service) -> None:
        """New code may import from other places, also if it fails: then saving a file there is what mends it."""
        try:
            await self._watch(service)
        finally:
            service.looking = False

    def _on_happening(self, service: _Service, happening: Happening) -> None:
        if happening.topic in (Topic.RELOAD, Topic.FAILED) and service.watch is not None and not service.looking:
            service.looking = True
            key = service.runner.desired.key
            self._group.create_task(self._watch_again(service), name=f"microlite: watch {key} anew")
        for listener in list(service.listeners):
            listener(happening)

    async def _follow(self, service: _Service) -> None:
        watch, following = service.watch, None
        while watch is not None and watch is not following:
            following = watch
            async for change in watch:
                self._changed(service.runner, change)
            watch = service.watch  # another one has taken its place, or it was the last

    def _changed(self, runner: Runner, change: Change) -> None:
        runner.renew(Renewal(Cause.CHANGE, change.at, _relative(change.paths, runner.desired.source.folder)))

    async def _keep(self, wanted: Sequence[Desired]) -> None:
        if wanted:
            puts = tuple(Put(BUCKET, _record_key(desired), msgspec.msgpack.encode(desired)) for desired in wanted)
            await self._engine.commit(Batch(PLATFORM_NAMESPACE, puts))

    async def _drop(self, wanted: Sequence[Desired]) -> None:
        if wanted:
            deletes = tuple(Delete(BUCKET, _record_key(desired)) for desired in wanted)
            await self._engine.commit(Batch(PLATFORM_NAMESPACE, deletes))

    # -- what runs ------------------------------------------------------------------------------------------------------

    async def watch_file(self, file: Path) -> Watch:
        """The changes of one file, which may not exist; the caller closes it."""
        return await self._watcher.watch(single=[str(file)])

    def listen(self, runner: Runner, listener: Callable[[Happening], object]) -> None:
        """Tell `listener` what happens to a service, until `forget`."""
        for service in self._services.values():
            if service.runner is runner:
                service.listeners.add(listener)

    def forget(self, runner: Runner, listener: Callable[[Happening], object]) -> None:
        """Tell it no more. Harmless if it was not told."""
        for service in self._services.values():
            if service.runner is runner:
                service.listeners.discard(listener)

    def observe(self, observer: Callable[[str, str], object]) -> Callable[[], None]:
        """Tell `observer` the namespace and name of each service of which something happens; the result ends it."""
        self._observers.add(observer)
        return lambda: self._observers.discard(observer)

    def _observer_of(self, namespace: str) -> Callable[[Happening], object]:
        return lambda happening: self._observed(namespace, happening.service)

    def _observed(self, namespace: str, name: str) -> None:
        for observer in list(self._observers):
            observer(namespace, name)

    def matching(self, namespace: str, name: str = "", version: str = "") -> list[Runner]:
        """The runners of a namespace, of one service, or of one version of it; by name."""
        return [
            service.runner
            for (its_namespace, _), service in sorted(self._services.items())
            if its_namespace == namespace
            and name in ("", service.runner.desired.name)
            and version in ("", service.runner.status().version)
        ]

    async def update(self, namespace: str, name: str, version: str = "", instances: int = 0) -> list[ServiceStatus]:
        """Load the code of a service anew, watched or not, and return when that is done, for better or worse.

        Args:
            namespace: of the service.
            name: of the service.
            version: only this version of it.
            instances: how many nodes it has from now on; 0 for as many as before.

        Raises:
            NotFound: it is not run by this platform.
            Error: its project cannot be run as it is now; then nothing has changed.
        """
        runners = [runner for runner in self.matching(namespace, name, version) if not runner.stopping]
        if not runners:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
        await self.prune_checkouts()
        fresh = [
            await self.finder.again(runner.desired, instances=instances, progress=runner.goes_on) for runner in runners
        ]
        await self._keep([desired for desired in fresh if desired.detached])
        for runner, desired in zip(runners, fresh, strict=True):
            runner.renew(Renewal(Cause.UPDATE, self._machinery.clock.now(), desired=desired))
        await asyncio.gather(*(runner.settled() for runner in runners))
        return [runner.status() for runner in runners]

    async def prune_checkouts(self) -> None:
        """Remove fetched commits that no service uses, nor used in the last week."""
        await self._machinery.checkouts.prune(
            [service.runner.desired.source.folder for service in self._services.values()]
        )

    def check_runs(self, namespace: str, name: str, version: str = "") -> None:
        """Raise `errors.ServiceNotFound` where this platform runs no such service."""
        if not self.matching(namespace, name, version):
            shown = f"{name}@{version}" if version else name
            raise errors.ServiceNotFound(f'Service "{shown}" not found')

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
        await self._drop([runner.desired for runner in found if runner.desired.detached])
        await self._end(found)
        return [runner.desired.key for runner in found]

    def stop(self, runners: Sequence[Runner]) -> None:
        """Let services end, each when those have that depend on it; their own tasks see to it."""
        by_name: dict[str, list[Runner]] = {}
        for runner in runners:
            by_name.setdefault(runner.desired.name, []).append(runner)
        before = ends_before(
            {name: {need for one in same for need in one.desired.source.depends_on} for name, same in by_name.items()}
        )
        for name, same in by_name.items():
            ends = [runner.finished for other in before[name] for runner in by_name[other]]
            for runner in same:
                runner.stop(ends)

    async def _end(self, runners: Sequence[Runner]) -> None:
        self.stop(runners)
        if runners:
            await asyncio.wait({runner.finished for runner in runners})

    async def close(self) -> None:
        """Drain and end all services, and start no more; detached ones come back with the platform."""
        self._closing = True
        await self._end([service.runner for service in self._services.values()])

    def cut(self) -> None:
        """Kill all processes now."""
        for service in list(self._services.values()):
            service.runner.cut()
            service.runner.stop()

    @property
    def has_detached(self) -> bool:
        """Whether something is to run without a session."""
        return any(service.runner.desired.detached for service in self._services.values())


def _relative(paths: Sequence[str], folder: str) -> list[str]:
    return [os.path.relpath(path, folder) for path in paths]


def _waiting(desired: Desired, at: float) -> Happening:
    text = "waits until calls to its last run have ended"
    return Happening(at=at, topic=Topic.PROGRESS, service=desired.name, text=text)


def _running_already(present: Desired) -> errors.Conflict:
    how = "detached" if present.detached else "by another session"
    place = present.source.origin or present.source.folder
    return errors.Conflict(
        f"service {present.key} is running already ({how}, from {place}): end it with "
        f"`microlite kill {present.key}`, or load its code anew with `microlite update {present.key}`"
    )


def _record_key(desired: Desired) -> str:
    return f"{desired.namespace}/{desired.key}"
