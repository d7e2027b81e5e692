"""Messages between services: typed, in order, with headers, to every node or to one of a queue group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import microlite
from microlite import Context, Message, Service, errors
from microlite.core.description import DeclarationError
from microlite.testing import RunningPlatform


class Price(msgspec.Struct):
    """What things cost."""

    symbol: str
    amount: float


class Heard:
    """What handlers got, with a way to wait for it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._more = asyncio.Condition()

    async def add(self, item: Any) -> None:
        async with self._more:
            self.items.append(item)
            self._more.notify_all()

    async def until(self, count: int) -> list[Any]:
        async with self._more:
            await asyncio.wait_for(self._more.wait_for(lambda: len(self.items) >= count), 10)
        return self.items


async def publish(platform: RunningPlatform, topic: str, value: object = None, **more: Any) -> int:
    answer = await platform.call("broker.publish", topic=topic, value=value, **more)
    return int(answer["subscribers"])


async def test_a_handler_gets_the_typed_value_and_the_headers_as_metadata(platform: RunningPlatform) -> None:
    service, heard = Service("shop"), Heard()

    @service.subscribe("prices.*")
    async def on_price(ctx: Context, price: Price) -> None:
        await heard.add((price, ctx.metadata.get("tenant"), ctx.service))

    await platform.serve(service)
    assert await publish(platform, "prices.eur", Price("X", 1.5), headers={"Tenant": "a"}) == 1
    assert await heard.until(1) == [(Price("X", 1.5), "a", "shop")]


async def test_a_handler_gets_the_whole_message_if_annotated_so(platform: RunningPlatform) -> None:
    service, heard = Service("shop"), Heard()

    @service.subscribe("prices.>")
    async def on_price(message: Message[Price]) -> None:
        await heard.add(message)

    await platform.serve(service)
    await publish(platform, "prices.eur.now", {"symbol": "X", "amount": 2}, headers={"a": "b"})
    (message,) = await heard.until(1)
    assert (message.topic, message.value, message.headers["a"]) == ("prices.eur.now", Price("X", 2), "b")


async def test_messages_are_handled_one_at_a_time_and_in_order_unless_more_are_asked_for(
    platform: RunningPlatform,
) -> None:
    service, heard, most, now = Service("shop"), Heard(), 0, 0

    @service.subscribe("t")
    async def on_message(number: int) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        await heard.add(number)

    await platform.serve(service)
    for number in range(50):
        await publish(platform, "t", number)
    assert await heard.until(50) == list(range(50))
    assert most == 1


async def test_several_at_a_time_are_bounded_by_what_is_asked_for(platform: RunningPlatform) -> None:
    service, three, release, most, now = Service("shop"), asyncio.Event(), asyncio.Event(), 0, 0

    @service.subscribe("t", concurrency=3)
    async def on_message(number: int) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if now == 3:
            three.set()
        await release.wait()
        now -= 1

    await platform.serve(service)
    for number in range(10):
        await publish(platform, "t", number)
    await asyncio.wait_for(three.wait(), 10)
    await platform.call("registry.list")  # whatever was on its way has arrived
    release.set()
    assert most == 3


async def test_several_handlers_and_several_topics_of_one_handler(platform: RunningPlatform) -> None:
    service, heard = Service("shop"), Heard()

    @service.subscribe("a")
    @service.subscribe("b")
    async def first(value: str) -> None:
        await heard.add(("first", value))

    @service.subscribe("a")
    def second(value: str) -> None:
        asyncio.run_coroutine_threadsafe(heard.add(("second", value)), loop)

    loop = asyncio.get_running_loop()
    await platform.serve(service)
    assert await publish(platform, "a", "x") == 2
    assert await publish(platform, "b", "y") == 1
    assert sorted(await heard.until(3)) == [("first", "x"), ("first", "y"), ("second", "x")]
    assert [trigger.topic for trigger in service.describe().endpoints[0].triggers] == ["a", "b"]  # type: ignore[union-attr]


async def test_every_node_gets_each_message_but_one_of_a_queue_group(platform: RunningPlatform) -> None:
    heard, shared = Heard(), Heard()

    def shop() -> Service:
        service = Service("shop")

        @service.subscribe("t")
        async def everybody(number: int) -> None:
            await heard.add(number)

        @service.subscribe("t", queue="workers")
        async def one(ctx: Context, number: int) -> None:
            await shared.add((ctx.node, number))

        return service

    await platform.serve(shop())
    await platform.serve(shop())
    for number in range(10):
        assert await publish(platform, "t", number) == 3
    assert sorted(await heard.until(20)) == sorted([*range(10), *range(10)])
    got = await shared.until(10)
    assert sorted(number for _, number in got) == list(range(10))
    assert {node for node, _ in got} == {"shop-1", "shop-2"}


async def test_a_node_that_is_busy_leaves_the_work_of_its_group_to_the_others(platform: RunningPlatform) -> None:
    heard, release, busy = Heard(), asyncio.Event(), asyncio.Event()

    def worker(name: str, *, blocked: bool) -> Service:
        service = Service(name)

        @service.subscribe("jobs", queue="workers")
        async def work(number: int) -> None:
            if blocked:
                busy.set()
                await release.wait()
            await heard.add(number)

        return service

    await platform.serve(worker("slow", blocked=True))
    await publish(platform, "jobs", -1)
    await asyncio.wait_for(busy.wait(), 10)
    await platform.serve(worker("quick", blocked=False))
    for number in range(40):
        await publish(platform, "jobs", number)
    assert len(await heard.until(36)) >= 36
    release.set()
    assert sorted(await heard.until(41)) == list(range(-1, 40))


async def test_what_a_handler_raises_is_logged_and_the_next_message_has_its_turn(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service, heard = Service("shop"), Heard()

    @service.subscribe("prices")
    async def on_price(price: Price) -> None:
        if price.amount < 0:
            raise errors.BadRequest("less than nothing")
        if price.amount == 0:
            raise ZeroDivisionError("free")
        await heard.add(price.amount)

    await platform.serve(service)
    with caplog.at_level(logging.WARNING):
        for value in ("nonsense", Price("a", -1), Price("b", 0), Price("c", 3)):
            await publish(platform, "prices", value)
        assert await heard.until(1) == [3]
    logged = [record.getMessage() for record in caplog.records if record.name == "shop"]
    assert len(logged) == 3
    assert "price: expected object, got str" in logged[0]
    assert "less than nothing" in logged[1]
    assert "ZeroDivisionError: free" in logged[2]
    assert 'raise ZeroDivisionError("free")' in logged[2]


async def test_a_slow_handler_loses_messages_by_its_policy_and_is_told_how_many(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service, heard, busy, release = Service("shop"), Heard(), asyncio.Event(), asyncio.Event()

    @service.subscribe("t", queue="q", limit=2)
    async def on_message(message: Message[int]) -> None:
        busy.set()
        await release.wait()
        await heard.add((message.value, message.dropped))

    await platform.serve(service)
    await publish(platform, "t", -1)
    await asyncio.wait_for(busy.wait(), 10)
    for number in range(20):
        await publish(platform, "t", number)
    (seen,) = await platform.call("broker.subscriptions")
    assert seen["waiting"] == 2
    assert seen["dropped"] > 0
    with caplog.at_level(logging.WARNING):
        release.set()
        while heard.items[-1:] != [(19, 0)]:
            await heard.until(len(heard.items) + 1)
    assert sum(dropped for _, dropped in heard.items) == seen["dropped"] == 21 - len(heard.items)
    assert "messages of t were dropped" in caplog.text


async def test_a_handler_publishes_with_its_trace_and_the_subscriber_goes_on_with_it(platform: RunningPlatform) -> None:
    service, heard = Service("shop"), Heard()

    @service.endpoint
    async def sell(ctx: Context) -> str:
        assert await ctx.broker.publish("sold", {"n": 1}) == 1
        return ctx.trace.trace_id

    @service.subscribe("sold")
    async def on_sold(ctx: Context, sold: dict[str, int]) -> None:
        await heard.add((ctx.trace.trace_id, ctx.metadata.get("tenant"), sold))

    await platform.serve(service)
    trace = await platform.options(metadata={"tenant": "a"}).call("shop.sell")
    assert await heard.until(1) == [(trace, "a", {"n": 1})]


async def test_a_script_publishes_and_subscribes_typed_and_blocking(platform: RunningPlatform) -> None:
    def script() -> Price:
        with microlite.connect(home=platform.home) as m:
            messages = iter(m.broker.subscribe("prices.>", Price))
            ready = asyncio.run_coroutine_threadsafe(subscribed(), loop)
            publisher = asyncio.run_coroutine_threadsafe(later(ready), loop)
            message = next(messages)
            assert publisher.result(10) == 1
            value = message.value
            assert isinstance(value, Price)
            return value

    async def subscribed() -> None:
        while not await platform.call("broker.subscriptions"):
            await asyncio.sleep(0)

    async def later(ready: Any) -> int:
        await asyncio.wrap_future(ready)
        return await publish(platform, "prices.eur", Price("X", 1))

    loop = asyncio.get_running_loop()
    assert await asyncio.to_thread(script) == Price("X", 1)


def test_what_cannot_be_called_for_a_message_is_refused_where_it_is_declared() -> None:
    service = Service("shop")

    async def two(price: Price, other: str) -> None: ...

    async def stream(price: Price) -> AsyncIterator[Price]:
        yield price

    async def good(price: Price) -> None: ...

    for function, options, text in (
        (two, {}, "`other` would never be given"),
        (good, {"overflow": "explode"}, "write 'drop_oldest'"),
        (good, {"overflow": "disconnect"}, "write 'drop_oldest'"),
        (good, {"concurrency": 0}, "between 1 and 1,000"),
        (good, {"limit": 0}, "between 1 and 100,000"),
    ):
        with pytest.raises(DeclarationError, match=text):
            service.subscribe("prices", **options)(function)
    with pytest.raises(DeclarationError, match="comes last"):
        service.subscribe("a.>.b")(good)
    with pytest.raises(DeclarationError, match="cannot stream"):
        service.subscribe("a")(stream)
