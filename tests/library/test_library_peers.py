"""Calls between services: straight from node to node where that goes, through the platform otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from microlite import Context, Service, errors
from microlite.core.library import peers
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.core.rpc.call import Inbound
    from microlite.testing import RunningPlatform


class Hops:
    """Notes which calls go through the platform."""

    def __init__(self, platform: RunningPlatform) -> None:
        router = platform._booted.router
        accept = router.accept
        self.seen: list[str] = []

        def counting(inbound: Inbound) -> None:
            self.seen.append(f"{inbound.service}.{inbound.endpoint}")
            accept(inbound)

        router.accept = counting  # type: ignore[method-assign]  # to look over its shoulder

    def of(self, target: str) -> int:
        return self.seen.count(target)


@pytest.fixture
def outer() -> Service:
    service = Service("outer")

    @service.endpoint
    async def ask(ctx: Context) -> str:
        answer: str = await ctx.call("inner.answer")
        return answer

    @service.endpoint
    async def ask_safely(ctx: Context) -> int:
        number: int = await ctx.call("inner.safe")
        return number

    @service.endpoint
    async def total(ctx: Context, to: int) -> int:
        async with ctx.stream("inner.total") as stream:
            for number in range(to):
                await stream.send(number)
            return int(await stream.reply())

    return service


@pytest.fixture
def inner() -> Service:
    service = Service("inner")

    @service.endpoint
    async def answer(ctx: Context) -> str:
        return ctx.node

    @service.endpoint
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    return service


async def until_direct(platform: RunningPlatform, hops: Hops) -> None:
    """Call until a call no longer goes through the platform."""
    async with asyncio.timeout(20):
        while True:
            before = hops.of("inner.answer")
            await platform.call("outer.ask")
            if hops.of("inner.answer") == before:
                return


async def test_after_the_first_call_the_platform_is_passed_by(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, hops)
    assert hops.of("network.watch") == 1
    before = len(hops.seen)
    for _ in range(20):
        assert await platform.call("outer.ask") == "inner-1"
        assert await platform.call("outer.total", to=10) == 45
    assert hops.seen[before:] == ["outer.ask", "outer.total"] * 20


async def test_a_node_that_joins_later_gets_its_share(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, hops)
    await platform.serve(inner)
    async with asyncio.timeout(20):
        while await platform.call("outer.ask") != "inner-2":
            pass


async def test_restarts_lose_no_call_and_run_none_twice(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    ran = 0

    @inner.endpoint
    async def count() -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0)

    @outer.endpoint
    async def many(ctx: Context, times: int) -> None:
        for _ in range(times):
            await ctx.call("inner.count")

    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, hops)
    async with asyncio.TaskGroup() as group:
        calling = [group.create_task(platform.call("outer.many", times=200)) for _ in range(5)]
        restarts = 0
        while not all(task.done() for task in calling) or not restarts:
            await platform.restart(inner)
            restarts += 1
    assert ran == 1_000
    await until_direct(platform, hops)
    await platform.drained()


async def test_a_node_that_stops_lets_its_callers_go_elsewhere(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    hops = Hops(platform)
    await platform.serve(inner)
    second = await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, hops)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(second.stop())
        calls = [group.create_task(platform.call("outer.ask")) for _ in range(200)]
    assert stopping.done()
    assert {task.result() for task in calls} <= {"inner-1", "inner-2"}
    assert {await platform.call("outer.ask") for _ in range(20)} == {"inner-1"}


async def test_when_all_nodes_are_gone_the_caller_learns_it(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    await until_direct(platform, hops)
    await platform.stop(inner)
    with pytest.raises(errors.ServiceNotFound, match="inner"):
        await platform.call("outer.ask")
    await platform.serve(inner)
    assert await platform.call("outer.ask") == "inner-1"


async def test_a_node_whose_socket_is_gone_is_reached_through_the_platform(
    platform: RunningPlatform, outer: Service, inner: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "AGAIN", 0.01)
    hops = Hops(platform)
    await platform.serve(inner)
    await platform.serve(outer)
    (route,) = [route for route in await platform.call("network.routes") if route["service"] == "inner"]
    socket = Path(route["nodes"][0]["address"])
    aside = socket.with_suffix(".away")
    socket.rename(aside)
    for _ in range(20):
        assert await platform.call("outer.ask") == "inner-1"
        assert await platform.call("outer.total", to=10) == 45
    assert hops.of("inner.answer") == 20
    aside.rename(socket)
    await until_direct(platform, hops)


async def test_only_an_idempotent_call_is_sent_again_when_its_connection_breaks(
    platform: RunningPlatform, outer: Service, inner: Service
) -> None:
    tries: list[str] = []

    def break_first(ctx: Context) -> None:
        tries.append(ctx.node)
        if len(tries) == 1:
            next(one for one in nodes if one.node == ctx.node)._node.break_off()

    @inner.endpoint(idempotent=True)
    async def safe(ctx: Context) -> int:
        break_first(ctx)
        return len(tries)

    @inner.endpoint
    async def unsafe(ctx: Context) -> int:
        break_first(ctx)
        return len(tries)

    @outer.endpoint
    async def ask_unsafely(ctx: Context) -> int:
        number: int = await ctx.call("inner.unsafe")
        return number

    hops = Hops(platform)
    nodes = [await platform.serve(inner), await platform.serve(inner)]
    await platform.serve(outer)
    await until_direct(platform, hops)
    assert await platform.call("outer.ask-safely") == 2
    tries.clear()
    assert await platform.call("inner.safe") == 2, "and so through the platform"
    tries.clear()
    with pytest.raises(errors.OutcomeUnknown):
        await platform.call("outer.ask-unsafely")
    tries.clear()
    with pytest.raises(errors.OutcomeUnknown):
        await platform.call("inner.unsafe")
    assert len(tries) == 1


async def test_namespaces_do_not_see_each_other(platform: RunningPlatform, outer: Service, inner: Service) -> None:
    await platform.serve(inner, namespace="blue")
    await platform.serve(outer)
    with pytest.raises(errors.ServiceNotFound, match="inner"):
        await platform.call("outer.ask")
    await platform.serve(outer, namespace="blue")
    assert await platform.options(namespace="blue").call("outer.ask") == "inner-1"


async def test_a_node_of_another_namespace_is_turned_away_at_the_socket(
    platform: RunningPlatform, inner: Service
) -> None:
    await platform.serve(inner)
    address = (await platform.call("network.routes"))[0]["nodes"][0]["address"]
    stranger = await dial(address, peers.RefuseCalls(), role="peer", properties={"node": "x", "namespace": "blue"})
    await asyncio.wait_for(stranger.closed, 5)
