"""The harness itself: services in the test's own process, restarted, stopped, killed, side by side."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.testing import RunningPlatform, SystemClock
from microlite.testing import platform as boot


def make_greeter(greeting: str = "Hello") -> Service:
    service = Service("greeter")

    @service.endpoint
    async def hello(ctx: Context, name: str) -> str:
        return f"{greeting} {name}"

    @service.endpoint
    async def wait(ctx: Context, seconds: float) -> str:
        await ctx.sleep(seconds)
        return greeting

    @service.endpoint
    async def watch(ctx: Context) -> AsyncIterator[str]:
        yield greeting
        await asyncio.Event().wait()

    return service


async def serving(platform: RunningPlatform) -> int:
    """How many calls the services of the test are serving, as the platform sees it."""
    return sum(node["load"] for route in await platform.call("network.routes") for node in route["nodes"])


async def test_a_service_is_called_as_users_call_it(platform: RunningPlatform) -> None:
    await platform.serve(make_greeter())
    assert await platform.call("greeter.hello", name="Ann") == "Hello Ann"

    def over_http() -> Any:
        request = urllib.request.Request(
            f"{platform.http}/greeter/hello", b'{"name": "Bob"}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    assert await asyncio.to_thread(over_http) == "Hello Bob"


async def test_the_token_opens_built_in_endpoints_over_http(platform: RunningPlatform) -> None:
    def status(token: str) -> int:
        request = urllib.request.Request(
            f"{platform.http}/registry/list", b"{}", {"Content-Type": "application/json", "Authorization": token}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert await asyncio.to_thread(status, f"Bearer {platform.token}") == 200
    assert await asyncio.to_thread(status, "Bearer nonsense") == 401


async def test_platforms_side_by_side_know_nothing_of_each_other() -> None:
    async with boot() as one, boot() as other:
        await one.serve(make_greeter("Hello"))
        await other.serve(make_greeter("Moin"))
        assert await one.call("greeter.hello", name="Ann") == "Hello Ann"
        assert await other.call("greeter.hello", name="Ann") == "Moin Ann"
        assert one.home != other.home
    assert not one.home.exists()
    assert not other.home.exists()


async def test_a_restart_brings_new_code_and_lets_the_old_finish(platform: RunningPlatform) -> None:
    await platform.serve(make_greeter("old"))
    waiting = asyncio.create_task(platform.call("greeter.wait", seconds=5))
    while not await serving(platform):
        await asyncio.sleep(0)
    await platform.restart("greeter", make_greeter("new"))
    assert await platform.call("greeter.hello", name="Ann") == "new Ann"
    assert not waiting.done()
    platform.advance(5)
    assert await waiting == "old"
    await platform.drained()


async def test_a_restart_ends_streams_after_ten_seconds_of_the_clock(platform: RunningPlatform) -> None:
    await platform.serve(make_greeter())
    async with platform.stream("greeter.watch") as stream:
        items = aiter(stream)
        assert await anext(items) == "Hello"
        await platform.restart("greeter")
        assert await platform.call("greeter.hello", name="Ann") == "Hello Ann"
        draining = asyncio.create_task(platform.drained())
        while not draining.done():
            platform.advance(10)
            await asyncio.sleep(0)
        with pytest.raises(errors.ServiceUnavailable, match="call again"):
            await anext(items)


async def test_new_code_that_does_not_start_leaves_the_old_serving(platform: RunningPlatform) -> None:
    await platform.serve(make_greeter("old"))
    await platform.serve(make_greeter("old"))
    broken = make_greeter("new")

    @broken.on_start
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(errors.InternalServerError, match="on_start failed"):
        await platform.restart("greeter", broken)
    assert {await platform.call("greeter.hello", name="Ann") for _ in range(20)} == {"old Ann"}
    await platform.restart("greeter", make_greeter("newer"))
    assert {await platform.call("greeter.hello", name="Ann") for _ in range(20)} == {"newer Ann"}


async def test_what_is_stopped_finishes_and_what_is_killed_does_not(platform: RunningPlatform) -> None:
    greeter = make_greeter()
    await platform.serve(greeter)
    waiting = asyncio.create_task(platform.call("greeter.wait", seconds=5))
    while not await serving(platform):
        await asyncio.sleep(0)
    stopping = asyncio.create_task(platform.stop(greeter))
    platform.advance(5)
    assert await waiting == "Hello"
    await stopping
    with pytest.raises(errors.ServiceNotFound):
        await platform.call("greeter.hello", name="Ann")

    await platform.serve(greeter)
    waiting = asyncio.create_task(platform.call("greeter.wait", seconds=5))
    while not await serving(platform):
        await asyncio.sleep(0)
    await platform.kill("greeter")
    with pytest.raises(errors.OutcomeUnknown):
        await waiting
    with pytest.raises(errors.ServiceNotFound, match="not served by this test"):
        await platform.kill("greeter")


async def test_leaving_ends_whatever_still_runs() -> None:
    ended = asyncio.Event()
    service = Service("endless")

    @service.endpoint
    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @service.on_stop
    def stop() -> None:
        assert ended.is_set()

    async with boot() as p:
        await p.serve(service)
        calling = asyncio.create_task(p.call("endless"))
        while not await serving(p):
            await asyncio.sleep(0)
        await p.restart(service)
    assert ended.is_set()
    with pytest.raises(errors.OutcomeUnknown):
        await calling


async def test_time_may_also_run_by_itself() -> None:
    async with boot(clock=SystemClock()) as p:
        await p.serve(make_greeter())
        assert await p.call("greeter.wait", seconds=0.01) == "Hello"
        with pytest.raises(TypeError, match="moves by itself"):
            p.advance(1)


async def test_tests_may_call_with_options_and_typed_clients(platform: RunningPlatform) -> None:
    class GreeterAPI:
        async def hello(self, name: str) -> str:
            raise NotImplementedError

    await platform.serve(make_greeter(), namespace="blue", metadata={"team": "shop"})
    caller = platform.options(namespace="blue", timeout=5)
    assert await caller.client(GreeterAPI).hello("Ann") == "Hello Ann"
    (record,) = await caller.call("registry.list")
    assert record["metadata"] == {"team": "shop"}
    await platform.serve(make_greeter())
    assert await platform.client(GreeterAPI).hello(name="Bob") == "Hello Bob"


async def test_a_further_platform_of_a_process_imports_nothing() -> None:
    """It is up as fast as it can be then; `make bench` says how fast that is."""
    loaded: list[set[str]] = []
    for _ in range(2):
        async with boot() as p:
            await p.serve(make_greeter())
            await p.call("greeter.hello", name="Ann")
        loaded.append(set(sys.modules))
    assert loaded[1] == loaded[0]


def test_a_platform_loads_what_proves_tokens_and_secrets_only_when_there_are_some() -> None:
    code = """
import asyncio, sys
from microlite.testing import platform

async def main():
    async with platform() as p:
        await p.call("registry.list")
        await p.call("store.write", table="a", key="b", value=1)

asyncio.run(main())
print(*sorted({"jwt", "cryptography", "argon2"} & set(sys.modules)))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded


def test_what_pytest_loads_at_its_start_is_next_to_nothing() -> None:
    code = (
        "import sys, pytest, _pytest; before = set(sys.modules); import microlite.testing.plugin; "
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('_')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"microlite", "microlite.version", "microlite.testing", "microlite.testing.plugin"}
