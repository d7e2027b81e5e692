"""`runtime.watch`: what runs, told anew with each change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from microlite.core.library.stream import Stream
from microlite.core.runtime.api import ServiceStatus
from microlite.core.runtime.states import State
from tests.runtime_e2e.runtime_bench import Bench, versioned


async def _until(stream: Stream, wanted: Callable[[list[ServiceStatus]], object]) -> list[ServiceStatus]:
    async with asyncio.timeout(20):
        async for item in stream:
            statuses = msgspec.convert(item, list[ServiceStatus])
            if wanted(statuses):
                return statuses
    raise AssertionError("the stream has ended")


async def test_the_list_comes_at_once_and_after_each_change(bench: Bench) -> None:
    """A service that starts, one that is reloaded, one that is gone."""
    bench.write("echo/main.py", versioned(1))
    async with bench.caller.stream("runtime.watch") as stream:
        assert await _until(stream, lambda statuses: True) == []
        async with bench.session("echo") as session:
            await session.running("echo")
            (status,) = await _until(stream, lambda statuses: statuses and statuses[0].state is State.RUNNING)
            assert (status.name, len(status.nodes)) == ("echo", 1)
            bench.write("echo/main.py", versioned(2))
            await _until(stream, lambda statuses: statuses and statuses[0].version == "2")
        assert await _until(stream, lambda statuses: not statuses) == []


async def test_one_service_alone(bench: Bench) -> None:
    """Whoever watches one hears nothing of others."""
    bench.write("echo/main.py", versioned(1))
    bench.write("other/main.py", versioned(1, "other"))
    async with bench.caller.stream("runtime.watch", service="echo") as stream:
        assert await _until(stream, lambda statuses: True) == []
        await bench.run("other")
        await bench.run("echo")
        seen = await _until(stream, lambda statuses: statuses)
        assert {status.name for status in seen} == {"echo"}
