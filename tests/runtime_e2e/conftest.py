"""Fixtures of the runtime's end-to-end tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.runtime_e2e.runtime_bench import QUICK, Bench, bench_on


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A platform as users have it."""
    async with bench_on(tmp_path / "home", tmp_path / "services") as bench:
        yield bench


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Bench]:
    """A platform that gives up soon."""
    async with bench_on(tmp_path / "home", tmp_path / "services", QUICK) as bench:
        yield bench
