"""A reload: each message goes to the old node or to the new one, and none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from microlite import Context, Service
from microlite.testing import RunningPlatform


def listener(name: str, heard: list[tuple[int, int]], *, queue: str = "", version: int = 0) -> Service:
    service = Service("shop")

    @service.subscribe("t", queue=queue)
    async def on_message(ctx: Context, number: int) -> None:
        await asyncio.sleep(0)
        heard.append((version, number))

    return service


async def publish_until(platform: RunningPlatform, over: asyncio.Event) -> int:
    """Publish numbers, each once; return how many. Each of them reaches somebody."""
    number = 0
    while not over.is_set():
        answer = await platform.call("broker.publish", topic="t", value=number)
        assert answer["subscribers"] == 1, number
        number += 1
    return number


async def reload_under_load(platform: RunningPlatform, queue: str) -> None:
    heard: list[tuple[int, int]] = []
    await platform.serve(listener("shop", heard, queue=queue))
    over = asyncio.Event()
    publishing = asyncio.ensure_future(publish_until(platform, over))
    for version in range(1, 6):
        await platform.restart("shop", listener("shop", heard, queue=queue, version=version))
    await platform.drained()
    while heard[-1][0] != 5:
        await asyncio.sleep(0)
    over.set()
    published = await publishing
    while len(heard) < published:
        await asyncio.sleep(0)
    assert Counter(number for _, number in heard) == Counter(range(published))


async def test_each_message_is_handled_once_while_nodes_are_replaced(platform: RunningPlatform) -> None:
    await reload_under_load(platform, "")


async def test_each_message_of_a_queue_group_is_handled_once_while_nodes_are_replaced(
    platform: RunningPlatform,
) -> None:
    await reload_under_load(platform, "workers")


async def test_a_replaced_node_still_handles_what_waits_for_it(platform: RunningPlatform) -> None:
    heard: list[int] = []
    busy, release = asyncio.Event(), asyncio.Event()
    old, new = Service("shop"), Service("shop")

    @old.subscribe("t", queue="q")
    async def slow(number: int) -> None:
        busy.set()
        await release.wait()
        heard.append(number)

    @new.subscribe("t", queue="q")
    async def quick(number: int) -> None:
        heard.append(number + 1000)

    await platform.serve(old)
    for number in range(10):
        await platform.call("broker.publish", topic="t", value=number)
    await asyncio.wait_for(busy.wait(), 10)
    await platform.restart("shop", new)
    await platform.call("broker.publish", topic="t", value=10)
    while not heard:
        await asyncio.sleep(0)
    assert heard == [1010]
    release.set()
    await platform.drained()
    assert sorted(heard) == [*range(10), 1010]


async def test_a_node_that_is_stopped_handles_what_it_was_given_and_is_subscribed_no_more(
    platform: RunningPlatform,
) -> None:
    heard: list[int] = []
    busy, release = asyncio.Event(), asyncio.Event()
    service = Service("shop")

    @service.subscribe("t")
    async def on_message(number: int) -> None:
        busy.set()
        await release.wait()
        heard.append(number)

    await platform.serve(service)
    for number in range(5):
        await platform.call("broker.publish", topic="t", value=number)
    await asyncio.wait_for(busy.wait(), 10)
    stopping = asyncio.ensure_future(platform.stop("shop"))
    while any(one["active"] for one in await platform.call("broker.subscriptions")):
        await asyncio.sleep(0)
    assert (await platform.call("broker.publish", topic="t", value=5))["subscribers"] == 0
    release.set()
    await stopping
    assert heard == list(range(5))
    assert await platform.call("broker.subscriptions") == []


async def test_a_node_that_crashes_is_subscribed_no_more(platform: RunningPlatform) -> None:
    service = Service("shop")

    @service.subscribe("t")
    async def on_message(number: int) -> None: ...

    await platform.serve(service)
    await platform.kill("shop")
    while await platform.call("broker.subscriptions"):
        await asyncio.sleep(0)
    assert (await platform.call("broker.publish", topic="t", value=1))["subscribers"] == 0


async def test_a_node_whose_connection_broke_is_subscribed_again_when_it_is_back(platform: RunningPlatform) -> None:
    heard: list[int] = []
    service = Service("shop")

    @service.subscribe("t")
    async def on_message(number: int) -> None:
        heard.append(number)

    await platform.serve(service)
    await platform.faults.break_connection("shop")
    while not (await platform.call("broker.publish", topic="t", value=7))["subscribers"]:
        await asyncio.sleep(0)
    while not heard:
        await asyncio.sleep(0)
    assert heard == [7]


async def test_a_node_whose_subscription_was_ended_by_somebody_subscribes_again(platform: RunningPlatform) -> None:
    service = Service("shop")

    @service.subscribe("t")
    async def on_message(number: int) -> None: ...

    await platform.serve(service)
    (first,) = await platform.call("broker.subscriptions")
    await platform.call("broker.unsubscribe", id=first["id"])
    while [one["id"] for one in await platform.call("broker.subscriptions")] in ([], [first["id"]]):
        await asyncio.sleep(0.01)
    assert (await platform.call("broker.publish", topic="t", value=1))["subscribers"] == 1
