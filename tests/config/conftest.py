"""Fixtures of the configuration's tests."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest

from microlite.cli.entry import run
from microlite.testing import platform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.testing.harness import RunningPlatform


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Microlite(Protocol):
    """Runs `microlite config …`."""

    async def __call__(self, *words: str, stdin: str = "") -> Said:
        """Run it and say how it ended."""
        ...


@pytest.fixture
async def p() -> AsyncIterator[RunningPlatform]:
    """A platform."""
    async with platform() as running:
        yield running


@pytest.fixture
def microlite(p: RunningPlatform, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microlite:
    """The command line on the test's platform, in a thread, since it blocks."""
    for variable in ("MICROLITE_HOME", "MICROLITE_NAMESPACE", "MICROLITE_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)

    async def call(*words: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = await asyncio.to_thread(run, ["--home", str(p.home), "config", *words])
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return call
