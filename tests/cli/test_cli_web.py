"""`microlite web`: a link into the dashboard, opened or printed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from microlite.testing import RunningPlatform, platform
from tests.cli.conftest import Microlite


@pytest_asyncio.fixture
async def running() -> AsyncIterator[RunningPlatform]:
    async with platform(dashboard=True) as running:
        yield running


async def _web(running: RunningPlatform, *words: str, **variables: str) -> tuple[int, str, str]:
    environ = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "microlite", "--home", str(running.home), "web", *words]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ | variables
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_link_is_printed_where_nothing_can_show_it(running: RunningPlatform) -> None:
    """Alone on stdout, so that a script can use it."""
    for words, variables in (
        ((), {}),
        (("--no-open",), {"DISPLAY": ":0"}),
        ((), {"DISPLAY": ":0", "SSH_CONNECTION": "x"}),
    ):
        code, out, err = await _web(running, *words, **variables)
        assert code == 0
        assert out.startswith(f"{running.dashboard}/login/")
        assert out.count("\n") == 1
        assert "within a minute" in err


async def test_the_browser_opens_and_the_link_is_not_shown(
    running: RunningPlatform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen = tmp_path_factory.mktemp("browser") / "seen"
    program = seen.with_name("show")
    program.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    program.chmod(0o755)
    code, out, _ = await _web(running, DISPLAY=":0", BROWSER=f"{program} %s")
    assert (code, out) == (0, f"The dashboard opens in your browser: {running.dashboard}\n")
    assert seen.read_text().startswith(f"{running.dashboard}/login/")


def test_without_a_platform_it_says_how_to_start_one(microlite: Microlite) -> None:
    said = microlite("web")
    assert said.code == 4
    assert "start one with: microlite server" in said.err
