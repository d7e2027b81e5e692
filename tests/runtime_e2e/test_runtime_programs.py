"""Programs that speak HTTP by themselves, and services that cannot run beside their successor."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import textwrap

import aiohttp
import pytest

from microlite import errors
from microlite.core.runtime.api import Topic
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned

PROGRAM = """
    import os
    import signal
    import sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = b"{number}:" + self.path.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *words: object) -> None:
            pass

    print("listening on", os.environ["HOST"], os.environ["PORT"], flush=True)
    ThreadingHTTPServer((os.environ["HOST"], int({port})), Handler).serve_forever()
"""


def program(number: int, port: str = 'os.environ["PORT"]') -> str:
    return textwrap.dedent(PROGRAM.replace("{number}", str(number)).replace("{port}", port))


COMMAND = f"{sys.executable} serve.py"


async def _get(bench: Bench, http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(f"{bench.platform.gateway.url}{path}") as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def test_a_program_is_served_through_the_gateway_and_reloaded_under_load(bench: Bench) -> None:
    """It gets a port of its own each time; no request is lost while one takes the place of the other."""
    main = bench.write("site/serve.py", program(0))
    stopping = False
    answers = []
    async with aiohttp.ClientSession() as http, bench.session("site", command=COMMAND) as session:

        async def load(method: str) -> None:
            while not stopping:
                url = f"{bench.platform.gateway.url}/site/a/b?c=1"
                async with http.request(method, url, data=b"x" if method == "POST" else None) as response:
                    answers.append((response.status, await response.text()))

        running = await session.state(State.RUNNING)
        assert running.http
        async with asyncio.TaskGroup() as group:
            for method in ("GET", "GET", "POST"):
                group.create_task(load(method))
            for number in range(1, 5):
                main.write_text(program(number))
                await session.topic(Topic.RELOAD)
            stopping = True
        assert {status for status, _ in answers} == {200}
        assert await _get(bench, http, "/site/a/b?c=1") == "4:/a/b?c=1"
        (status,) = await bench.statuses("runtime.status", service="site")
        assert (status.name, status.restarts, status.error) == ("site", 4, "")
        lines = await _lines(bench, "site")
        assert all(line.startswith("listening on 127.0.0.1 ") for line in lines if line.startswith("listening"))


async def _lines(bench: Bench, service: str) -> list[str]:
    return [line["text"] async for line in bench.caller.stream("runtime.logs", service=service, lines=1000)]


async def test_host_is_not_the_one_of_the_shell(bench: Bench) -> None:
    """Some shells have the machine's name there; what the user sets for the program counts."""
    bench.write("site/serve.py", program(0))
    shell = {**os.environ, "HOST": "my-laptop"}
    (status,) = await bench.run("site", command=COMMAND, environment=shell)
    assert status.state is State.RUNNING
    await bench.call("runtime.kill", services=["site"])
    (status,) = await bench.run("site", command=COMMAND, environment=shell, env={"HOST": "localhost"})
    assert status.state is State.RUNNING
    assert any(line.startswith("listening on localhost") for line in await _lines(bench, "site"))


async def test_a_program_that_does_not_listen_is_told_about_port(impatient: Bench) -> None:
    impatient.write("site/serve.py", "import time\ntime.sleep(600)\n")
    async with impatient.session("site", command=COMMAND) as session:
        failed = await session.topic(Topic.FAILED)
        assert "nothing listens on port" in failed.text
        assert "PORT" in failed.text


async def test_a_program_is_healthy_when_its_health_path_says_so(bench: Bench) -> None:
    bench.write("site/serve.py", program(0))
    bench.write("site/pyproject.toml", f"[tool.microlite]\ncommand = '{COMMAND}'\nhealth = '/health'\nname = 'pages'\n")
    (status,) = await bench.run("site")
    assert (status.name, status.state) == ("pages", State.RUNNING)
    async with aiohttp.ClientSession() as http:
        assert await _get(bench, http, "/pages/x") == "0:/x"


async def test_a_program_with_a_port_of_its_own_ends_before_its_successor_starts(bench: Bench) -> None:
    """Requests wait meanwhile; new code that does not parse does not end the old."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main = bench.write("site/serve.py", program(0, str(port)))
    bench.write("site/pyproject.toml", f"[tool.microlite]\ncommand = '{COMMAND}'\nport = {port}\n")
    async with aiohttp.ClientSession() as http, bench.session("site") as session:
        await session.running()
        assert await _get(bench, http, "/site/x") == "0:/x"
        main.write_text("def x(:\n")
        failed = await session.topic(Topic.FAILED)
        assert "serve.py, line 1" in failed.text
        assert await _get(bench, http, "/site/x") == "0:/x"
        main.write_text(program(2, str(port)))
        answers = []
        reload = asyncio.create_task(session.topic(Topic.RELOAD))
        while not reload.done():
            answers.append(await _get(bench, http, "/site/x"))
        assert await _get(bench, http, "/site/x") == "2:/x"
        assert sorted(answers) == answers
        assert set(answers) <= {"0:/x", "2:/x"}


async def test_a_fixed_port_that_is_taken_is_told_with_its_holder(impatient: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        impatient.write("site/serve.py", program(0, str(port)))
        impatient.write("site/pyproject.toml", f"[tool.microlite]\ncommand = '{COMMAND}'\nport = {port}\n")
        async with impatient.session("site") as session:
            failed = await session.topic(Topic.FAILED)
            assert failed.text.startswith(f"port {port} is taken by ")
            assert f"(pid {os.getpid()})" in failed.text


async def test_a_fixed_port_allows_one_instance(bench: Bench) -> None:
    bench.write("site/serve.py", program(0))
    bench.write("site/pyproject.toml", f"[tool.microlite]\ncommand = '{COMMAND}'\nport = 4711\n")
    with pytest.raises(errors.BadRequest, match="it can have one instance, not 3"):
        await bench.run("site", instances=3)


async def test_an_exclusive_service_never_runs_twice_and_its_calls_wait(bench: Bench) -> None:
    """It holds a lock from its start to its end."""
    lock = textwrap.dedent(
        """
        import fcntl
        held = open("lock", "w")
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        """
    )
    main = bench.write("echo/main.py", lock + versioned(0))
    bench.write("echo/pyproject.toml", "[tool.microlite]\nreload = 'exclusive'\n")
    async with bench.session("echo") as session:
        await session.running()
        for number in range(1, 4):
            main.write_text(lock + versioned(number))
            answers = []
            reload = asyncio.create_task(session.topic(Topic.RELOAD))
            while not reload.done():
                answers.append(await bench.call("echo.version"))
            assert await bench.call("echo.version") == number
            assert set(answers) <= {number - 1, number}
        assert [seen.text for seen in session.seen if seen.topic is Topic.FAILED] == []
        main.write_text(lock + versioned(9).replace("service.run()", "raise RuntimeError('not today')"))
        failed = await session.topic(Topic.FAILED)
        assert "RuntimeError: not today" in failed.text
        assert "serves on" not in failed.text
        waiting = asyncio.create_task(bench.call("echo.version"))
        main.write_text(lock + versioned(5))
        await session.topic(Topic.RELOAD)
        assert await waiting == 5
