"""What the tests of the audit log share: a platform in their own process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from microlite.testing import RunningPlatform, platform


@pytest_asyncio.fixture
async def p() -> AsyncIterator[RunningPlatform]:
    """A platform of each test's own."""
    async with platform() as running:
        yield running
