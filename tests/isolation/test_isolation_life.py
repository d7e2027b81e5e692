"""What the runtime promises holds behind walls too."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import textwrap
import urllib.request
from typing import Any

import pytest

from microlite import errors
from tests.isolation.conftest import PATIENCE, Server
from tests.runtime_e2e.test_runtime_requirements_e2e import wheel

ECHO = """
    import os, subprocess, sys, time
    from microlite import Context, Service

    service = Service("echo")

    @service.endpoint
    async def number(ctx: Context) -> int:
        return NUMBER

    @service.endpoint
    async def remember(ctx: Context, text: str) -> str:
        await ctx.store.write("text", text)
        return await ctx.store.read("text", str)

    @service.endpoint
    async def setting(ctx: Context) -> str:
        return ctx.config.get("greeting", str)

    @service.endpoint
    async def through(ctx: Context, service: str) -> int:
        return await ctx.call(f"{service}.number")

    @service.endpoint
    def scratch() -> str:
        import tempfile
        with tempfile.NamedTemporaryFile() as file, open(os.path.expanduser("~/kept"), "w"):
            return file.name

    @service.endpoint
    def daemon() -> None:
        "A process that has left the group and has no parent but the platform."
        code = "import os, signal; os.setsid(); os.fork() and os._exit(0); print(1, flush=True); signal.pause()"
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout.read(1)

    @service.endpoint
    def crash() -> None:
        os.abort()

    @service.endpoint
    def say(text: str) -> None:
        print(text)

    if __name__ == "__main__":
        service.run()
"""

PROGRAM = """
    import http.server, os
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"uid {os.getuid()}".encode())
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


def echo(number: int, name: str = "echo") -> str:
    return ECHO.replace("NUMBER", str(number)).replace('"echo"', f'"{name}"')


async def test_it_serves_keeps_calls_others_and_is_shown_as_isolated(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    server.write("second/main.py", echo(2, "second"))
    async with server:
        await server.call("config.set", path="greeting", value="hello")
        status = await server.run("echo")
        assert status["isolation"] == server.way.mode
        await server.run("second")
        assert await server.call("echo.through", service="second") == 2
        assert await server.call("echo.remember", text="kept") == "kept"
        assert await server.call("echo.setting") == "hello"
        assert await server.call("echo.scratch")
        await server.call("echo.say", text="to the log")
        assert "to the log" in [line["text"] for line in await _lines(server, "echo")]


async def _lines(server: Server, service: str) -> list[Any]:
    return [line async for line in server.caller.stream("runtime.logs", service=service)]


async def test_a_save_swaps_in_the_new_code_and_a_mistake_leaves_the_old(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    async with server:
        await server.run("echo")
        async with asyncio.timeout(PATIENCE):
            server.write("echo/main.py", echo(2))
            watch = server.caller.stream("runtime.watch", service="echo")
            async for (status,) in watch:
                if status["restarts"]:
                    break
            assert await server.call("echo.number") == 2
            server.write("echo/main.py", "def broken(:")
            async for (status,) in watch:
                if status["error"]:
                    break
            assert "SyntaxError" in status["error"], status["error"]
            assert await server.call("echo.number") == 2
            await watch.aclose()


async def test_a_program_serves_http(server: Server) -> None:
    server.write("front/program.py", PROGRAM)
    async with server:
        await server.run("front", name="front", command=f"{server.python} program.py")
        host = next(iter(await server.call("registry.list")))["nodes"][0]["address"]
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(host, timeout=5).read())
        assert answer.startswith(b"uid ")
        await server.call("runtime.kill", services=["front"])


async def test_it_has_packages_of_its_own_as_wheels_only(server: Server) -> None:
    """What would have to be built is refused: that would run its code outside of the walls."""
    server.write("echo/main.py", "import tiny\n" + textwrap.dedent(echo(0)).replace("return 0", "return tiny.VERSION"))
    server.write("echo/requirements.txt", f"{wheel(server.services, '3.0')}\n")
    server.write("built/main.py", echo(1, "built"))
    server.write("built/requirements.txt", f"{server.services}/source\n")
    marker = server.services / "built-it"
    server.write("source/setup.py", f"open({str(marker)!r}, 'w')\nimport setuptools\nsetuptools.setup(name='source')")
    async with server:
        await server.run("echo")
        assert await server.call("echo.number") == 3
        request = {"sources": [str(server.services / "built")]}
        (status,) = await server.call("runtime.run", request=request)
        assert "as wheels only" in status["error"], status
        assert not marker.exists()


async def test_what_the_platform_demands_cannot_be_turned_off(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    async with server:
        with pytest.raises(errors.Forbidden, match="isolates every service"):
            await server.run("echo", isolate="off")
        assert await server.call("runtime.status") == []


async def test_a_platform_that_does_not_isolate_does_so_for_whom_it_is_asked(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    server.write("second/main.py", echo(2, "second"))
    await server.start("--isolate-by", "off")
    async with server.until_left():
        first = await server.run("echo", isolate=server.way.mode)
        second = await server.run("second")
        assert (first["isolation"], second["isolation"]) == (server.way.mode, "off")
        assert await server.call("echo.through", service="second") == 2
        assert await server.call("second.through", service="echo") == 1


async def test_what_killed_it_is_told(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    async with server:
        await server.run("echo")
        async with asyncio.timeout(PATIENCE):
            crash = asyncio.create_task(server.caller.call("echo.crash"))
            async for (status,) in server.caller.stream("runtime.watch", service="echo"):
                if status["story"]:
                    break
            await asyncio.gather(crash, return_exceptions=True)
            assert status["story"][-1]["signal"] == "SIGABRT", status["story"]


async def test_kill_ends_what_has_left_its_group_too(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    async with server:
        before = len(server.processes())
        await server.run("echo")
        await server.call("echo.daemon")
        await server.call("runtime.kill", services=["echo"])
        await _until(lambda: len(server.processes()) <= before + (server.way.mode == "uid"))  # its guard
        await _until(lambda: not list(server.folder.glob("*/*/cell-*")))


async def test_nothing_outlives_a_platform_that_is_killed(server: Server) -> None:
    server.write("echo/main.py", echo(1))
    server.write("front/program.py", PROGRAM)
    async with server:
        await server.run("echo")
        await server.run("front", name="front", command=f"{server.python} program.py")
        await server.call("echo.daemon")
        assert len(server.processes()) >= 3
        server.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(server.process.wait, PATIENCE)
        await _until(lambda: not server.processes())
        await server.leave()
        await server.start()
        statuses: list[Any] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                async for statuses in server.caller.stream("runtime.watch"):
                    if [status["state"] for status in statuses] == ["running", "running"]:
                        break
        assert [status["state"] for status in statuses] == ["running", "running"], [one["error"] for one in statuses]
        assert {status["isolation"] for status in statuses} == {server.way.mode}


async def _until(holds: Any) -> None:
    """Processes end by the kernel's hand, of which nothing tells but a look."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.01)
