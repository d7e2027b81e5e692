"""A platform with all its services, and one that takes part in transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

import microlite
from microlite.testing import platform as boot

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    async with boot() as running:
        yield running


@pytest.fixture
async def m(platform: RunningPlatform) -> AsyncIterator[Any]:
    """What a script has."""
    async with microlite.connect(platform.home) as caller:
        yield caller
