"""Requests over HTTP for a service that has not come up for the first time yet."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned

SLOW = "open('gate').read()\n"
"""A pipe without a writer: who opens it waits for one."""


def gated(bench: Bench, source: str, folder: str = "echo") -> None:
    """A service that does not come up before somebody has opened its gate."""
    bench.write(f"{folder}/main.py", SLOW + source)
    os.mkfifo(bench.folder / folder / "gate")


async def _open_gate(bench: Bench, folder: str = "echo") -> None:
    await asyncio.to_thread((bench.folder / folder / "gate").write_text, "")


async def test_a_request_waits_for_a_service_that_is_just_starting(bench: Bench) -> None:
    """By its name, through an alias, and for each of those that come at once: none of them is told 404."""
    gated(bench, versioned(1))
    async with aiohttp.ClientSession(bench.platform.gateway.url) as http, bench.session("echo") as session:
        await session.state(State.STARTING)
        paths = ("/echo/version", "/api/echo/version", "/Echo/Version", "/v1/echo/version")
        requests = [asyncio.create_task(_post(http, path)) for path in paths]
        while len(bench.platform.table.arrivals) < len(paths):
            await asyncio.sleep(0)
        assert not any(request.done() for request in requests)
        await _open_gate(bench)
        assert await asyncio.gather(*requests) == [(200, b"1")] * len(paths)


async def test_one_that_does_not_come_in_time_is_503_and_says_so(bench: Bench) -> None:
    gated(bench, versioned(1))
    async with aiohttp.ClientSession(bench.platform.gateway.url) as http, bench.session("echo") as session:
        await session.state(State.STARTING)
        async with http.post("/echo/version", headers={"Timeout": "20ms"}) as response:
            body = await response.json()
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert body["detail"] == 'Service "echo" is starting: it has not come up in time; try again'
        await _open_gate(bench)


async def test_one_that_cannot_start_is_503_with_the_reason(bench: Bench) -> None:
    """What nobody asked for stays 404."""
    bench.write("echo/main.py", "from microlite import Service\nthis is no Python\n")
    async with aiohttp.ClientSession(bench.platform.gateway.url) as http, bench.session("echo") as session:
        await session.state(State.ERROR)
        status, body = await _post(http, "/echo/version")
        assert status == 503
        assert b"SyntaxError" in body
        assert (await _post(http, "/nobody/version"))[0] == 404
        bench.write("echo/main.py", versioned(2))
        await session.running()
        assert await _post(http, "/echo/version") == (200, b"2")


async def test_one_that_is_called_off_while_it_starts_is_404_again(bench: Bench) -> None:
    gated(bench, versioned(1))
    async with aiohttp.ClientSession(bench.platform.gateway.url) as http:
        async with bench.session("echo") as session:
            await session.state(State.STARTING)
            request = asyncio.create_task(_post(http, "/echo/version"))
            while not bench.platform.table.arrivals:
                await asyncio.sleep(0)
        assert (await request)[0] == 404


async def test_a_program_is_waited_for_at_its_own_origin(bench: Bench) -> None:
    bench.write(
        "site/serve.py",
        "import os\nopen('gate').read()\nfrom http.server import *\n"
        "HTTPServer(('127.0.0.1', int(os.environ['PORT'])), SimpleHTTPRequestHandler).serve_forever()\n",
    )
    os.mkfifo(bench.folder / "site" / "gate")
    bench.write("site/index.html", "home")
    command = "python3 serve.py"
    async with aiohttp.ClientSession(bench.platform.gateway.url) as http, bench.session("site", command=command) as it:
        await it.state(State.STARTING)
        request = asyncio.create_task(_get_origin(http, "site"))
        while not bench.platform.table.arrivals:
            await asyncio.sleep(0)
        await _open_gate(bench, "site")
        assert await request == (200, "home")


async def _post(http: aiohttp.ClientSession, path: str) -> tuple[int, bytes]:
    async with http.post(path) as response:
        return response.status, await response.read()


async def _get_origin(http: aiohttp.ClientSession, name: str) -> tuple[int, str]:
    async with http.get("/", headers={"Host": f"{name}.localhost"}) as response:
        return response.status, await response.text()
