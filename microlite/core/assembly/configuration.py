"""The configuration of one platform, put together, with its files watched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from microlite.core.config.configuration import Configuration
from microlite.core.config.declarations import Declarations
from microlite.core.config.keys import Keys
from microlite.core.config.layers import Layers, config_file
from microlite.core.config.view import Views

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AsyncExitStack

    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.runtime import Runtime
    from microlite.core.runtime.watcher import Watch, Watcher
    from microlite.core.settings import ServerOptions


async def assemble_configuration(
    engine: Engine,
    audit: Audit,
    registry: Registry,
    clock: Clock,
    options: ServerOptions,
    environ: Mapping[str, str],
    watcher: Watcher,
    runtime: Runtime,
    group: asyncio.TaskGroup,
    stack: AsyncExitStack,
) -> tuple[Configuration, Views]:
    """Make what the service `config` is over.

    Args:
        engine: keeps it.
        audit: writes down who changes it.
        registry: tells what services declare.
        clock: stamps changes.
        options: name the platform's files.
        environ: the platform's variables.
        watcher: notices changes of files.
        runtime: tells which projects run, which name files too.
        group: the parent of the task that reads files anew.
        stack: ends that task.

    Raises:
        BadRequest: a file of the platform cannot be read.
    """
    declarations = Declarations(registry)
    layers = Layers(declarations, [config_file(text, Path.cwd()) for text in options.config_files], environ)
    files = _Files(layers, watcher, runtime)
    if layers.paths:
        await files.watch()
    stack.callback(runtime.observe(files.on_change))
    task = group.create_task(files.run(), name="microlite: watch configuration files")
    stack.callback(task.cancel)
    configuration = Configuration(engine, Keys(options.home), clock, layers, declarations, audit)
    return configuration, Views(configuration)


class _Files:
    """Keeps the files of platform and projects read."""

    def __init__(self, layers: Layers, watcher: Watcher, runtime: Runtime) -> None:
        self._layers = layers
        self._watcher = watcher
        self._runtime = runtime
        self._watch: Watch | None = None
        self._others = asyncio.Event()

    def on_change(self, namespace: str, _: str) -> None:
        """Something has happened to a service: it may be a project that was not there before."""
        paths = dict.fromkeys(
            path for runner in self._runtime.matching(namespace) for path in runner.desired.source.config
        )
        if self._layers.use_projects(namespace, tuple(paths)):
            self._others.set()
            if self._watch is not None:
                self._watch.close()

    async def watch(self) -> None:
        """Watch the files that there are now; what was saved before that is read."""
        paths = self._layers.paths
        self._watch = await self._watcher.watch(single=paths)
        self._layers.reload(paths)

    async def run(self) -> None:
        """Read what changes, until the platform ends."""
        while True:
            watch = self._watch
            if watch is None:
                await self._others.wait()
            else:
                if self._others.is_set():
                    watch.close()  # they came while it was made
                async for change in watch:
                    self._layers.reload(change.paths)
                if not self._others.is_set():
                    return  # the watcher has ended
            self._others.clear()
            self._watch = None
            if self._layers.paths:
                await self.watch()
