"""The configuration of one platform, put together, with its files watched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from microlite.core.config.configuration import Configuration
from microlite.core.config.declarations import Declarations
from microlite.core.config.keys import Keys
from microlite.core.config.layers import Layers, config_file
from microlite.core.config.view import Views

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.watcher import Watch, Watcher
    from microlite.core.settings import ServerOptions


async def assemble_configuration(
    engine: Engine,
    registry: Registry,
    clock: Clock,
    options: ServerOptions,
    environ: Mapping[str, str],
    watcher: Watcher,
    group: asyncio.TaskGroup,
) -> tuple[Configuration, Views]:
    """Make what the service `config` is over.

    Args:
        engine: keeps it.
        registry: tells what services declare.
        clock: stamps changes.
        options: name the files.
        environ: the platform's variables.
        watcher: notices changes of the files.
        group: the parent of the task that reads them anew; it ends with the watcher.

    Raises:
        BadRequest: a file cannot be read.
    """
    declarations = Declarations(registry)
    files = [config_file(text, Path.cwd()) for text in options.config_files]
    layers = Layers(declarations, files, environ)
    if files:
        watch = await watcher.watch(single=layers.paths)
        layers.reload(layers.paths)  # what was saved while the watch was not there yet
        group.create_task(_follow(watch, layers), name="microlite: watch configuration files")
    configuration = Configuration(engine, Keys(options.home), clock, layers, declarations)
    return configuration, Views(configuration)


async def _follow(watch: Watch, layers: Layers) -> None:
    async for change in watch:
        layers.reload(change.paths)
