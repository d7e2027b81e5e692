"""One suite for all faces: what holds for a call in Python holds over HTTP, on the command line, and everywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium

import microlite
from microlite.testing import SystemClock, platform
from tests.contract.faces.browser import Browser, SampleDesk
from tests.contract.faces.commands import CommandLine, DynamicCommand, Shell, terminal
from tests.contract.faces.face import Face
from tests.contract.faces.http import Events, Form, Http, Multipart, Query
from tests.contract.faces.python import Calls, Script, Sync, Typed, in_process
from tests.contract.faces.websocket import WebSocket
from tests.contract.sample import presence, sample
from tests.contract.scenarios import SCENARIOS, Scenario
from tests.dashboard.browsing import Browsing

pytestmark = pytest.mark.asyncio(loop_scope="session")

FACES: dict[str, type[Face]] = {
    "in process": Calls,
    "RPC": Calls,
    "RPC, direct": Calls,
    "typed client": Typed,
    "script": Script,
    "ctx.sync": Sync,
    "HTTP": Http,
    "HTTP events": Events,
    "HTTP query": Query,
    "HTTP form": Form,
    "HTTP multipart": Multipart,
    "WebSocket": WebSocket,
    "command line": CommandLine,
    "dynamic command": DynamicCommand,
    "shell": Shell,
    "browser": Browser,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def faces(tmp_path_factory: pytest.TempPathFactory, chromium: Chromium) -> AsyncIterator[dict[str, Face]]:
    async with (
        platform(clock=SystemClock(), dashboard=True) as p,
        aiohttp.ClientSession(p.http) as session,
        microlite.connect(p.home) as direct,
        terminal(p.home) as commands,
        await chromium.new_context() as context,
    ):
        browsing = Browsing(SampleDesk(p), context, await context.new_page())
        await browsing.log_in()
        sync = Sync(direct)
        await p.serve(sample)
        await p.serve(sync.service)
        yield {
            "in process": in_process(),
            "RPC": Calls(p.options()),
            "RPC, direct": Calls(direct),
            "typed client": Typed(direct),
            "script": Script(p.home),
            "ctx.sync": sync,
            "HTTP": Http(session),
            "HTTP events": Events(session),
            "HTTP query": Query(session),
            "HTTP form": Form(session),
            "HTTP multipart": Multipart(session),
            "WebSocket": WebSocket(p.http),
            "command line": CommandLine(commands),
            "dynamic command": DynamicCommand(commands, tmp_path_factory.mktemp("files")),
            "shell": Shell(commands),
            "browser": Browser(browsing),
        }
        assert not browsing.outside, "a request has left the machine"
        assert not browsing.errors, "the page complained"


def pairs() -> list[Any]:
    """Each scenario with each face that can carry it."""
    return [
        pytest.param(name, scenario, id=f"{scenario.says}-{name}")
        for scenario in SCENARIOS
        for name, face in FACES.items()
        if face.lacks.isdisjoint(scenario.needs)
    ]


@pytest.mark.parametrize(("name", "scenario"), pairs())
async def test_each_face_does_the_same(faces: dict[str, Face], name: str, scenario: Scenario) -> None:
    face = faces[name]
    presence.gone.clear()
    answer = await face.ask(scenario)
    assert answer.values == scenario.values
    if scenario.error is None:
        assert answer.failure is None
    else:
        assert answer.failure is not None, "it did not fail"
        assert _agrees(answer.failure, face.failure(scenario.error)), (answer.failure, face.failure(scenario.error))
    if scenario.leave:
        await presence.gone.wait()


def _agrees(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    """Whether a failure is the one that was wanted; an ellipsis in its detail stands for any text."""
    before, dots, after = wanted[-1].partition("…")
    detail = found[-1]
    fits = detail.startswith(before) and detail.endswith(after) if dots else detail == before
    return fits and found[:-1] == wanted[:-1]
