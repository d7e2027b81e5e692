"""Fixtures of the tests of schedules."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from microlite.testing.asyncio_plugin import platform

__all__ = ["platform"]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name, since paths of sockets are limited."""
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
