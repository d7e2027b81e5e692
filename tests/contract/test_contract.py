"""One suite for all faces: what holds for a call in Python holds over HTTP, on the command line, and everywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

import microlite
from microlite.testing import SystemClock, platform
from tests.contract.faces import Calls, CommandLine, Events, Face, Http, in_process
from tests.contract.sample import sample
from tests.contract.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.asyncio(loop_scope="module")

FACES = ("in process", "RPC", "RPC, direct", "HTTP", "HTTP events", "command line")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faces() -> AsyncIterator[dict[str, Face]]:
    async with (
        platform(clock=SystemClock()) as p,
        aiohttp.ClientSession(p.http) as session,
        microlite.connect(p.home) as direct,
    ):
        await p.serve(sample)
        yield {
            "in process": in_process(),
            "RPC": Calls(p.options()),
            "RPC, direct": Calls(direct),
            "HTTP": Http(session),
            "HTTP events": Events(session),
            "command line": CommandLine(str(p.home)),
        }


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.says)
async def test_each_face_does_the_same(faces: dict[str, Face], name: str, scenario: Scenario) -> None:
    face = faces[name]
    answer = await face.ask(scenario)
    assert answer.values == scenario.values
    if scenario.error is None:
        assert answer.failure is None
    else:
        assert answer.failure is not None, "it did not fail"
        assert _agrees(answer.failure, face.failure(scenario.error)), (answer.failure, face.failure(scenario.error))


def _agrees(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    """Whether a failure is the one that was wanted; an ellipsis in its detail stands for any text."""
    before, dots, after = wanted[-1].partition("…")
    detail = found[-1]
    fits = detail.startswith(before) and detail.endswith(after) if dots else detail == before
    return fits and found[:-1] == wanted[:-1]
