"""The pytest plug-in: fixtures with a platform in the test's own process.

pytest loads this in every run of every project that has microlite installed, so it imports next to nothing.

- `platform`, for `async def` tests under pytest-asyncio, in either of its modes: a `RunningPlatform`.
- `microlite_platform`, for plain tests: the same, blocking.

Each test gets a platform of its own.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Let tests import from the root of their project, behind all else, where `microlite test` says which that is."""
    root = os.environ.get("MICROLITE_IMPORT_LAST")
    if root and root not in sys.path:
        sys.path.append(root)


def pytest_configure(config: pytest.Config) -> None:
    """Offer the asynchronous fixture where something runs it."""
    # The first is its name as an entry point, the second as an argument of `-p`.
    if config.pluginmanager.hasplugin("asyncio") or config.pluginmanager.hasplugin("pytest_asyncio.plugin"):
        from microlite.testing import asyncio_plugin

        config.pluginmanager.register(asyncio_plugin, "microlite-asyncio")


@pytest.fixture
def microlite_platform() -> Iterator[Any]:
    """A platform for tests that have no event loop; see `microlite.testing.blocking_platform`."""
    from microlite.testing.threaded import blocking_platform

    with blocking_platform() as running:
        yield running
