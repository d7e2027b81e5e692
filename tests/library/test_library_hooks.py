"""Hooks at the start and the end of a service, and middleware around its handlers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Context, Invocation, Proceed, Service, errors

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


async def test_hooks_run_in_order_before_the_first_call_and_after_the_last(platform: RunningPlatform) -> None:
    service = Service("hooked")
    said: list[str] = []

    @service.on_start
    async def first(ctx: Context) -> None:
        said.append(f"first {ctx.service}")

    @service.on_start
    def second() -> None:
        said.append(f"second {threading.current_thread() is not threading.main_thread()}")

    @service.on_stop
    async def last() -> None:
        said.append("last")

    @service.on_stop
    def last_but_one() -> None:
        said.append("last but one")

    @service.endpoint
    async def call() -> None:
        said.append("called")

    await platform.serve(service)
    await platform.call("hooked")
    await platform.stop(service)
    assert said == ["first hooked", "second True", "called", "last but one", "last"]


async def test_a_hook_may_call_other_services(platform: RunningPlatform) -> None:
    source, reader = Service("source"), Service("reader")
    read: list[str] = []

    @source.endpoint
    async def value() -> str:
        return "forty-two"

    @reader.on_start
    async def fetch(ctx: Context) -> None:
        read.append(await ctx.call("source.value"))

    @reader.on_stop
    def fetch_again(ctx: Context) -> None:
        read.append(ctx.sync.call("source.value"))

    await platform.serve(source)
    await platform.serve(reader)
    await platform.restart(reader)
    await platform.drained()
    assert read == ["forty-two"] * 3, "of the second start and of the first stop"
    await platform.stop(reader)
    assert read == ["forty-two"] * 4


async def test_a_service_whose_start_hook_fails_is_never_called(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("doomed")

    @service.on_start
    def fail() -> None:
        raise ValueError("no such table")

    @service.on_stop
    def stop() -> None:
        raise AssertionError("what did not start does not stop")

    @service.endpoint
    async def call() -> None:
        return None

    with pytest.raises(errors.InternalServerError, match="on_start failed"):
        await platform.serve(service)
    with pytest.raises(errors.ServiceNotFound):
        await platform.call("doomed")
    assert "no such table" in caplog.text


async def test_a_failing_stop_hook_leaves_the_others_their_turn(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("messy")
    said: list[str] = []

    @service.on_stop
    def close() -> None:
        said.append("closed")

    @service.on_stop
    async def fail() -> None:
        raise ValueError("it sticks")

    await platform.serve(service)
    await platform.stop(service)
    assert said == ["closed"]
    assert "it sticks" in caplog.text


async def test_a_stop_hook_that_hangs_is_given_up_after_ten_seconds(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("stubborn")
    waits = asyncio.Event()

    @service.on_stop
    def close() -> None:
        raise AssertionError("there is no time left for it")

    @service.on_stop
    async def hang() -> None:
        waits.set()
        await asyncio.Event().wait()

    await platform.serve(service)
    stopping = asyncio.create_task(platform.stop(service))
    await waits.wait()
    assert not stopping.done()
    platform.advance(10)
    await stopping
    assert "on_stop did not end within 10 s and is given up: hang (" in caplog.text
    assert "there is no time left" not in caplog.text


async def test_middleware_stands_around_every_handler_the_first_outermost(platform: RunningPlatform) -> None:
    service = Service("wrapped")
    said: list[str] = []

    @service.middleware
    async def outer(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        said.append(f"outer {ctx.endpoint} {call.fields}")
        try:
            return await proceed()
        finally:
            said.append("outer done")

    @service.middleware
    async def inner(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        if call.endpoint.name == "forbidden":
            raise errors.Forbidden("not for you")
        if call.endpoint.name == "cached":
            return "from the cache"
        return await proceed()

    @service.endpoint
    async def add(a: int, b: int = 2) -> int:
        return a + b

    @service.endpoint
    def plain(a: int) -> int:
        return a

    @service.endpoint
    async def forbidden() -> None:
        raise AssertionError

    @service.endpoint
    async def cached() -> str:
        raise AssertionError

    await platform.serve(service)
    assert await platform.call("wrapped.add", a=1) == 3
    assert said == ["outer add {'a': 1, 'b': 2}", "outer done"]
    assert await platform.call("wrapped.plain", a=1) == 1
    assert await platform.call("wrapped.cached") == "from the cache"
    with pytest.raises(errors.Forbidden, match="not for you"):
        await platform.call("wrapped.forbidden")


async def test_middleware_may_change_a_stream(platform: RunningPlatform) -> None:
    service = Service("filtered")

    @service.middleware
    async def even(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        numbers: Any = await proceed()

        async def filtered() -> AsyncIterator[int]:
            async for number in numbers:
                if number % 2 == 0:
                    yield number

        return filtered()

    @service.endpoint
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    await platform.serve(service)
    assert [number async for number in platform.stream("filtered.count", to=7)] == [0, 2, 4, 6]


async def test_a_fault_in_middleware_is_a_500(platform: RunningPlatform, caplog: pytest.LogCaptureFixture) -> None:
    service = Service("wrapped")

    @service.middleware
    async def broken(ctx: Context, call: Invocation, proceed: Proceed) -> object:
        raise ZeroDivisionError

    @service.endpoint
    async def call() -> None:
        return None

    await platform.serve(service)
    with pytest.raises(errors.InternalServerError) as caught:
        await platform.call("wrapped")
    assert caught.value.id in caplog.text


async def test_a_handler_that_will_not_end_does_not_hold_up_the_end(platform: RunningPlatform) -> None:
    service = Service("busy")
    begun = asyncio.Event()
    ended = asyncio.Event()

    @service.endpoint
    async def call() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await platform.serve(service)
    calling = asyncio.create_task(platform.call("busy"))
    await begun.wait()
    stopping = asyncio.create_task(platform.stop(service))
    while not stopping.done():
        platform.advance(31)  # the grace of calls that run
        await asyncio.sleep(0)
    await stopping
    assert ended.is_set()
    with pytest.raises(errors.OutcomeUnknown):
        await calling
