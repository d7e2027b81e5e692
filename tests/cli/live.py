"""A whole platform for the command line's tests, where a made-up one would prove nothing."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite.cli.entry import run
from microlite.core.clock import SystemClock
from microlite.testing import RunningPlatform
from microlite.testing import platform as boot
from tests.cli.conftest import UNSET, Said

__all__ = ["Live", "live"]


class Live:
    """A platform and a command line on it.

    Attributes:
        platform: as tests of services have it.
    """

    def __init__(self, platform: RunningPlatform, capture: pytest.CaptureFixture[str]) -> None:
        self.platform = platform
        self._capture = capture

    async def __call__(self, *words: str, stdin: str | None = None) -> Said:
        """Run a command, not beside others if it has an input, and return how it ended."""
        if stdin is not None:
            sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))  # the fixture puts the right one back
        code = await asyncio.to_thread(run, ["--home", str(self.platform.home), *words])
        out, err = self._capture.readouterr()
        return Said(code, out, err)

    async def read(self, *words: str) -> Any:
        """The JSON that a command prints."""
        said = await self(*words, "-o", "json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    async def do(self, *words: str) -> None:
        """Run a command that prints nothing."""
        said = await self(*words)
        assert said == (0, "", "")

    def start(self, *words: str) -> asyncio.Task[Said]:
        """Run a command beside the test, which has to end by itself."""
        return asyncio.create_task(self(*words))


@pytest.fixture
async def live(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    for variable in UNSET:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))  # nobody is there to be asked
    async with boot(clock=SystemClock()) as platform:
        yield Live(platform, capfd)
