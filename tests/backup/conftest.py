"""What the tests of backups share: a platform in their own process."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from microlite.cli.entry import run
from microlite.core.engine.sqlite import SQLiteEngine
from microlite.testing import RunningPlatform, platform


@pytest.fixture
async def p() -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        yield running


@pytest.fixture
def engine(p: RunningPlatform) -> SQLiteEngine:
    """The one of the platform, to fill it without the help of a service."""
    return p._booted.state.engine


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: bytes
    err: str


class Microlite(Protocol):
    """Runs `microlite …` on a home."""

    async def __call__(self, *words: str | Path, home: Path | None = None, stdin: bytes = b"") -> Said: ...


@pytest.fixture
def microlite(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Microlite:
    """The command line, in a thread, since it blocks. Without a home it is the test's `home` folder."""
    for variable in ("MICROLITE_HOME", "MICROLITE_NAMESPACE", "MICROLITE_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)

    async def call(*words: str | Path, home: Path | None = None, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = await asyncio.to_thread(run, ["--home", str(home or tmp_path / "home"), *map(str, words)])
        out, err = capfdbinary.readouterr()
        return Said(code, out, err.decode())

    return call
