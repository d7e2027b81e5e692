"""The part of the pytest plug-in that needs pytest-asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.testing.harness import RunningPlatform


@pytest_asyncio.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    """A platform in the test's own process; see `microlite.testing.platform`."""
    from microlite.testing.harness import platform as boot

    async with boot() as running:
        yield running
