"""Engines for the tests, with a clock that they move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microlite.core.clock import ManualClock
from tests.engine.engine_parts import ENGINES, Faults, OpenEngine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=ENGINES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> OpenEngine:
    """Opens the engine that is under the contract, again and again over the same folder."""
    return lambda: ENGINES[request.param](tmp_path, clock)


@pytest.fixture
def faults() -> Iterator[Faults]:
    vfs = Faults()
    yield vfs
    vfs.unregister()
