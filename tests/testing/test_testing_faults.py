"""Faults on purpose: each kind, on the right calls, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from microlite import Context, Service, errors

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
def shop() -> Service:
    service = Service("shop")

    @service.endpoint
    async def node(ctx: Context) -> str:
        return ctx.node

    @service.endpoint
    async def other() -> str:
        return "other"

    @service.endpoint
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    return service


async def test_calls_fail_as_the_test_wants(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    with platform.faults.fail("shop.node", errors.Conflict("sold out")) as fault:
        for _ in range(3):
            with pytest.raises(errors.Conflict, match="sold out"):
                await platform.call("shop.node")
        assert await platform.call("shop.other") == "other", "it concerns one endpoint"
        assert fault.hits == 3
    assert await platform.call("shop.node") == "shop-1"
    platform.faults.fail("shop", times=1)
    with pytest.raises(errors.InternalServerError):
        await platform.call("shop.other")
    assert await platform.call("shop.other") == "other", "its one time is over"


async def test_the_newest_fault_counts_and_all_can_be_cleared(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    platform.faults.fail("shop", errors.Conflict("all"))
    newer = platform.faults.fail("shop.node", errors.NotFound("one"))
    with pytest.raises(errors.NotFound):
        await platform.call("shop.node")
    newer.remove()
    newer.remove()
    with pytest.raises(errors.Conflict):
        await platform.call("shop.node")
    platform.faults.clear()
    assert await platform.call("shop.node") == "shop-1"


async def test_a_refused_call_goes_to_another_node(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    await platform.serve(shop)
    with platform.faults.refuse("shop", node="shop-1"):
        assert {await platform.call("shop.node") for _ in range(20)} == {"shop-2"}
    with platform.faults.refuse("shop"), pytest.raises(errors.ServiceUnavailable):
        await platform.call("shop.node")


async def test_a_delayed_call_arrives_when_the_clock_says_so(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    fault = platform.faults.delay("shop", 5, times=2)
    calling = asyncio.create_task(platform.call("shop.node"))
    while not fault.hits:
        await asyncio.sleep(0)
    platform.advance(4.9)
    assert await platform.options(timeout=1).call("network.routes")
    assert not calling.done()
    platform.advance(0.2)
    assert await calling == "shop-1"
    async with platform.stream("shop.total") as stream:
        await stream.send(1)
        await stream.send(2)
        await stream.close_send()
        while fault.hits < 2:
            await asyncio.sleep(0)
        await platform.call("network.routes")  # by now all that was sent has come
        platform.advance(5)
        assert await stream.reply() == 3, "what was sent meanwhile is not lost"


async def test_a_call_may_be_delayed_for_ever(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    with platform.faults.delay("shop", math.inf), pytest.raises(errors.Timeout):
        await platform.options(timeout=0.05).call("shop.node")
    assert await platform.call("shop.node") == "shop-1"


async def test_a_broken_connection_loses_what_was_under_way_and_comes_back(
    platform: RunningPlatform, shop: Service
) -> None:
    await platform.serve(shop)
    await platform.restart(shop)
    fault = platform.faults.delay("shop", math.inf, times=1)
    calling = asyncio.create_task(platform.call("shop.node"))
    while not fault.hits:
        await asyncio.sleep(0)
    await platform.faults.break_connection("shop")
    with pytest.raises(errors.OutcomeUnknown):
        await calling
    assert await platform.call("shop.node") == "shop-1"


async def test_built_in_services_may_fail_too(platform: RunningPlatform) -> None:
    with platform.faults.fail("registry.list", errors.InsufficientStorage("the disk is full")):
        with pytest.raises(errors.InsufficientStorage):
            await platform.call("registry.list")
        assert await platform.call("network.routes") == []
    assert await platform.call("registry.list") == []
