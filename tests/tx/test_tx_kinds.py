"""Everything a transaction can hold, all of it or nothing."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Context, Service, errors

if TYPE_CHECKING:
    from microlite.core.library.caller import Caller
    from microlite.testing import RunningPlatform


async def topic_of(m: Caller, topic: str) -> list[Any]:
    return [event["payload"] for event in await m.call("events.read", topic=topic)]


async def test_records_events_configuration_and_schedules_come_in_one_commit(m: Caller) -> None:
    await m.call("events.publish", topic="orders", payload=0)
    async with m.transaction() as tx:
        tx.store.write("a", 1)
        tx.events.publish("orders", {"id": 1}, key="a", metadata={"by": "test"})
        tx.config.set("shop.open", True)
        tx.config.set("shop.limit", 3)
        tx.events.publish("late", {"id": 2}, delay=60)
        tx.events.publish("orders", {"id": 3})
        tx.schedules.call("orders.expire", {"id": 1}, delay=60, id="expire-1")
        tx.schedules.add("orders.report", every=3600, id="report")
    assert await m.store.read("a") == 1
    assert await topic_of(m, "orders") == [0, {"id": 1}, {"id": 3}]
    assert [one.position for one in tx.published] == [2, 0, 3]
    events = await m.call("events.read", topic="orders")
    assert [event["id"] for event in events[1:]] == [tx.published[0].id, tx.published[2].id]
    assert await m.call("config.get", path="shop") == {"open": True, "limit": 3}
    assert {one["name"] for one in await m.call("schedules.list")} == {"expire-1", "report"}


async def test_nothing_comes_when_one_part_cannot_be(m: Caller) -> None:
    await m.store.write("a", 0)
    tx = m.transaction()
    await tx.store.read("a")
    tx.events.publish("orders", 1)
    tx.config.set("shop.open", True)
    tx.schedules.call("orders.expire", delay=60, id="expire")
    await m.store.write("a", 1)
    with pytest.raises(errors.Conflict, match="store/default/default/a"):
        await tx.commit()
    assert await topic_of(m, "orders") == []
    assert await m.call("schedules.list") == []
    with pytest.raises(errors.NotFound):
        await m.call("config.get", path="shop.open")
    with pytest.raises(errors.BadRequest, match=r"operations\[1\]: topic"):
        await m.call(
            "tx",
            operations=[
                {"op": "store.write", "key": "b", "value": 1},
                {"op": "events.publish", "topic": "!", "payload": 1},
            ],
        )
    assert await m.store.get("b") is None


async def test_what_others_change_meanwhile_is_planned_anew(m: Caller) -> None:
    """Only what was read or expected can conflict: two who change the configuration both succeed."""

    async def change(number: int) -> None:
        async with m.transaction() as tx:
            tx.config.set(f"n{number}", number)
            tx.store.write(f"{number}", number)

    await asyncio.gather(*(change(number) for number in range(40)))
    assert len(await m.store.list()) == 40
    assert [await m.call("config.get", path=f"n{number}") for number in range(40)] == list(range(40))


async def test_of_two_events_with_one_id_the_first_counts(m: Caller) -> None:
    async with m.transaction() as tx:
        tx.events.publish("orders", 1, deduplication_id="x")
        tx.events.publish("orders", 2, deduplication_id="x")
        tx.events.publish("orders", 3)
    assert [(one.position, one.duplicate) for one in tx.published] == [(1, False), (0, True), (2, False)]
    async with m.transaction() as tx:
        tx.events.publish("orders", 4, deduplication_id="x")
        tx.store.write("a", 1)
    assert [(one.position, one.duplicate) for one in tx.published] == [(0, True)]
    assert await topic_of(m, "orders") == [1, 3]


async def test_staged_blobs_are_published_with_the_commit(m: Caller) -> None:
    content = b"picture" * 1000
    async with m.stream("store.blobs.stage", content_type="image/png") as upload:
        await upload.send(content)
        staged = await upload.reply()
    async with m.transaction() as tx:
        tx.store.blobs.publish(staged["upload"], "a.png", metadata={"by": "Ann"}, expect="absent")
        tx.store.write("a", {"picture": "a.png"})
    head = await m.call("store.blobs.head", name="a.png")
    assert (head["size"], head["digest"]) == (len(content), hashlib.sha256(content).hexdigest())
    async with m.transaction() as tx:
        tx.store.blobs.delete("a.png")
        tx.store.delete("a")
    with pytest.raises(errors.NotFound):
        await m.call("store.blobs.head", name="a.png")


async def test_a_consumer_acknowledges_in_the_commit_and_goes_on(platform: RunningPlatform, m: Caller) -> None:
    service = Service("stock")
    done = asyncio.Event()
    handled: list[int] = []

    @service.consume("orders", group="stock")
    async def reserve(ctx: Context, amount: int) -> None:
        handled.append(amount)
        async with ctx.transaction() as tx:
            await tx.store.increment("reserved", amount)
            tx.ack()
        await asyncio.sleep(0.02)  # what stands behind the commit is done too
        handled.append(-amount)
        if len(handled) == 6:
            done.set()

    await platform.serve(service)
    for amount in (1, 2, 4):
        await m.call("events.publish", topic="orders", payload=amount, key="all")
    async with asyncio.timeout(10):
        await done.wait()
    assert sorted(handled) == [-4, -2, -1, 1, 2, 4]
    assert await m.store.database("stock").read("reserved") == 7
    groups = await m.call("events.groups", topic="orders")
    assert [(group["lag"], group["dead"]) for group in groups] == [(0, 0)]


async def test_a_pulled_event_is_acknowledged_in_the_commit_once(m: Caller) -> None:
    await m.call("events.publish", topic="orders", payload=5)
    (event,) = await m.call("events.pull", topic="orders", group="g")

    async def handle() -> None:
        async with m.transaction() as tx:
            await tx.store.increment("n", 5)
            tx.ack(event["delivery"])

    await handle()
    with pytest.raises(errors.Conflict):
        await handle()
    assert await m.store.read("n") == 5
    assert await m.call("events.pull", topic="orders", group="g") == []


async def test_a_failed_commit_leaves_the_event_to_be_delivered_again(platform: RunningPlatform, m: Caller) -> None:
    service = Service("stock")
    seen: asyncio.Queue[int] = asyncio.Queue()

    @service.consume("orders", group="stock", backoff=1)
    async def reserve(ctx: Context, amount: int) -> None:
        attempt = int(ctx.metadata["event-attempt"])
        async with ctx.transaction() as tx:
            await tx.store.increment("reserved", amount)
            tx.ack()
            if attempt == 1:
                await ctx.store.write("reserved", 100)  # somebody else is faster
        seen.put_nowait(attempt)

    await platform.serve(service)
    await m.call("events.publish", topic="orders", payload=1)
    async with asyncio.timeout(10):
        while seen.empty():
            platform.advance(1)
            await asyncio.sleep(0.01)
    assert await seen.get() == 2
    assert await m.store.database("stock").read("reserved") == 101
