"""Engines for the tests, with a clock that they move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microlite.core.clock import ManualClock
from microlite.core.engine.sqlite import SQLiteEngine
from tests.engine.engine_parts import Faults, OpenEngine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> OpenEngine:
    """A further engine comes under the contract by one more parameter here."""
    assert request.param == "sqlite"
    return lambda: SQLiteEngine(tmp_path / "engine.db", clock)


@pytest.fixture
def faults() -> Iterator[Faults]:
    vfs = Faults()
    yield vfs
    vfs.unregister()
