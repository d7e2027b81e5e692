"""What a group promises, over a real database and a clock that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from microlite.core import errors
from microlite.core.engine.api import Batch, Put
from microlite.core.events.api import Ack, GroupSettings
from tests.events.conftest import ORIGIN, Bench, until

Open = Callable[[], AbstractAsyncContextManager[Bench]]


async def settings(bench: Bench, **values: float) -> None:
    await bench.events.groups.set(ORIGIN, "t", "g", GroupSettings(**values), "beginning")  # type: ignore[arg-type]


async def test_each_event_goes_to_one_of_a_group_and_to_each_group(bench: Bench) -> None:
    await bench.publish(*range(10))
    first, second = await bench.payloads(5), await bench.payloads(100)
    assert sorted(first + second) == list(range(10))
    assert await bench.payloads(group="other") == list(range(10))


async def test_what_is_not_acknowledged_in_time_comes_again_with_the_same_id(bench: Bench) -> None:
    await settings(bench, ack_wait=30.0, backoff=1.0)
    await bench.publish("a")
    (event,) = await bench.pull()
    await bench.advance(29)
    assert not await bench.pull()
    await bench.advance(1)
    assert not await bench.pull()
    await until(lambda: bench.events.leaders.all()[0].group.next_time())
    await bench.advance(1)
    (again,) = await bench.pull()
    assert (again.id, again.attempt) == (event.id, 2)
    with pytest.raises(errors.Conflict, match="not under way"):
        await bench.ack(event)
    await bench.ack(again)


async def test_an_extended_delivery_has_more_time(bench: Bench) -> None:
    await bench.publish("a")
    (event,) = await bench.pull()
    await bench.advance(29)
    await bench.events.extend(ORIGIN, event.delivery, 60)
    await bench.advance(59)
    await bench.ack(event)


async def test_a_long_poll_gets_what_comes_while_it_waits(bench: Bench) -> None:
    polls = [asyncio.create_task(bench.pull(wait=20)) for _ in range(3)]
    await asyncio.sleep(0)
    await until(lambda: bench.events.leaders.all())
    await bench.publish("a", "b")
    _, rest = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    await bench.advance(20)
    await asyncio.wait(rest)
    found = [event.payload for poll in polls for event in poll.result()]
    assert sorted(found) == ["a", "b"]


async def test_a_poll_that_is_given_up_keeps_nothing(bench: Bench) -> None:
    poll = asyncio.create_task(bench.pull(wait=20))
    await until(lambda: bench.events.leaders.all() and bench.events.leaders.all()[0]._waiters)
    poll.cancel()
    await asyncio.wait([poll])
    await bench.publish("a")
    assert await bench.payloads(wait=5) == ["a"]


async def test_acked_is_acked_also_after_the_platform_was_restarted(open_bench: Open) -> None:
    async with open_bench() as bench:
        await bench.publish(*range(6))
        events = await bench.pull()
        await bench.ack(events[0], events[2], events[5])
    async with open_bench() as bench:
        assert await bench.payloads() == [1, 3, 4]


async def test_attempts_are_counted_over_restarts(open_bench: Open) -> None:
    for attempt in (1, 2, 3):
        async with open_bench() as bench:
            if attempt == 1:
                await settings(bench, retries=2, backoff=0.0)
                await bench.publish("a")
            (event,) = await bench.pull(wait=1)
            assert event.attempt == attempt
            await bench.nack(event, f"error {attempt}")
    async with open_bench() as bench:
        assert not await bench.pull()
        (letter,) = (await bench.events.dead.page(ORIGIN, "t", "g")).letters
        assert [one.error for one in letter.attempts] == ["error 1", "error 2", "error 3"]
        assert letter.deliveries == 3


async def test_a_key_keeps_its_order_over_failures_and_restarts(open_bench: Open) -> None:
    async with open_bench() as bench:
        await settings(bench, backoff=5.0)
        await bench.publish("a1", "a2", "a3", key="a")
        await bench.publish("b1", key="b")
        one, other = await bench.pull()
        assert (one.payload, other.payload) == ("a1", "b1")
        await bench.nack(one)
        await bench.ack(other)
        assert not await bench.pull()
    async with open_bench() as bench:
        assert not await bench.pull()
        await bench.advance(5)
        order = []
        while events := await bench.pull():
            assert len(events) == 1
            order.append(events[0].payload)
            await bench.ack(*events)
        assert order == ["a1", "a2", "a3"]


async def test_a_group_begins_where_it_is_told(bench: Bench) -> None:
    await bench.publish("old")
    await bench.advance(10)
    await bench.publish("newer")
    at = bench.clock.now()

    async def first(start: str | float) -> list[object]:
        found = await bench.events.pull(ORIGIN, "t", f"from-{start}", count=10, wait=0, ack_wait=None, start=start)
        return [event.payload for event in found]

    assert await first("beginning") == ["old", "newer"]
    assert await first(at - 5) == ["newer"]
    assert await first("new") == []
    with pytest.raises(errors.BadRequest, match="'beginning', 'new'"):
        await first("yesterday")


async def test_a_group_can_handle_all_anew(bench: Bench) -> None:
    await bench.publish(*range(4))
    events = await bench.pull()
    await bench.ack(*events[:3])
    await bench.events.groups.reset(ORIGIN, "t", "g", "beginning", None)
    assert await bench.payloads() == [0, 1, 2, 3]
    with pytest.raises(errors.Conflict):
        await bench.ack(events[3])
    await bench.events.groups.reset(ORIGIN, "t", "g", "beginning", 3)
    assert await bench.payloads() == [2, 3]
    await bench.events.groups.reset(ORIGIN, "t", "g", "new", None)
    assert await bench.payloads() == []


async def test_the_lag_of_a_group_is_what_it_has_not_settled(open_bench: Open) -> None:
    async with open_bench() as bench:
        await bench.publish(*range(10))
        events = await bench.pull(4)
        await bench.ack(events[0], events[3])
        await bench.nack(events[1])
        (status,) = await bench.events.groups.all(ORIGIN, "t")
        assert (status.lag, status.under_way, status.retrying, status.position) == (8, 1, 1, 1)
    async with open_bench() as bench:
        (status,) = await bench.events.groups.all(ORIGIN)
        assert (status.lag, status.under_way, status.retrying, status.position) == (8, 0, 1, 1)


async def test_an_ack_within_a_transaction_settles_together_with_its_writes(open_bench: Open) -> None:
    async with open_bench() as bench:
        await bench.publish("a", "b")
        one, other = await bench.pull()
        plan = await bench.events.plan(ORIGIN, Ack(delivery=one.delivery))
        await bench.engine.commit(Batch("default", (*plan, Put("effects", "a", b"done"))))
        # Nothing of it is known to have come to the group when the platform ends.
        assert other.payload == "b"
    async with open_bench() as bench:
        assert await bench.payloads() == ["b"]
        assert await bench.engine.get("default", "effects", "a") is not None


async def test_the_effects_of_an_event_happen_once(bench: Bench) -> None:
    """Whichever of two deliveries commits first: the other one's transaction is refused."""
    await settings(bench, ack_wait=10.0, backoff=0.0)
    await bench.publish("a")
    (late,) = await bench.pull()
    slow = await bench.events.plan(ORIGIN, Ack(delivery=late.delivery))
    await bench.advance(10)
    (again,) = await bench.pull(wait=5)
    assert again.attempt == 2
    fast = await bench.events.plan(ORIGIN, Ack(delivery=again.delivery))
    with pytest.raises(errors.Conflict):
        await bench.engine.commit(Batch("default", (*slow, Put("effects", "late", b""))))
    await bench.engine.commit(Batch("default", (*fast, Put("effects", "again", b""))))
    with pytest.raises(errors.Conflict):
        await bench.engine.commit(Batch("default", (*fast, Put("effects", "twice", b""))))
    with pytest.raises(errors.Conflict):
        await bench.events.plan(ORIGIN, Ack(delivery=late.delivery))
    assert [record.key for record in (await bench.engine.scan("default", "effects")).records] == ["again"]


async def test_an_event_acked_in_a_transaction_never_comes_again_though_its_time_is_up(bench: Bench) -> None:
    """The commit and the end of the delivery's time come together: the ack counts."""
    await settings(bench, ack_wait=10.0, backoff=0.0, retries=0)
    await bench.publish("a")
    (event,) = await bench.pull()
    plan = await bench.events.plan(ORIGIN, Ack(delivery=event.delivery))
    committing = asyncio.create_task(bench.engine.commit(Batch("default", plan)))
    await asyncio.sleep(0)
    bench.clock.advance(10)
    await committing
    await until(lambda: bench.events.leaders.all()[0].group.idle)
    assert not (await bench.events.dead.page(ORIGIN, "t", "g")).letters
    assert not await bench.pull()
    (status,) = await bench.events.groups.all(ORIGIN, "t")
    assert status.lag == 0


async def test_a_plan_is_void_once_its_group_was_reset(bench: Bench) -> None:
    await bench.publish("a")
    (event,) = await bench.pull()
    plan = await bench.events.plan(ORIGIN, Ack(delivery=event.delivery))
    await bench.events.groups.reset(ORIGIN, "t", "g", "beginning", None)
    with pytest.raises(errors.Conflict):
        await bench.engine.commit(Batch("default", plan))


async def test_acks_of_transactions_leave_nothing_behind(bench: Bench) -> None:
    await bench.publish(*range(20))
    for event in await bench.pull():
        plan = await bench.events.plan(ORIGIN, Ack(delivery=event.delivery))
        await bench.engine.commit(Batch("default", plan))
    await until(lambda: bench.events.leaders.all()[0].idle)
    await bench.advance(3_600)
    assert await bench.engine.count("default", "events/acks") == 0
    assert await bench.engine.count("default", "events/failed") == 0


async def test_a_stream_gives_back_what_it_did_not_acknowledge(bench: Bench) -> None:
    await bench.publish(*range(5))
    taken = bench.events.consume(ORIGIN, "t", "g", most=3, ack_wait=None, start=None)
    events = [await anext(taken) for _ in range(3)]
    waiting = asyncio.ensure_future(anext(taken))
    await asyncio.sleep(0)
    assert not waiting.done()
    await bench.ack(events[0])
    events.append(await waiting)
    await taken.aclose()
    again = await bench.pull()
    assert [(event.payload, event.attempt) for event in again] == [(1, 1), (2, 1), (3, 1), (4, 1)]


async def test_a_private_group_leaves_nothing_behind(bench: Bench) -> None:
    await bench.publish("old")
    private = bench.events.consume(ORIGIN, "t", "", most=3, ack_wait=None, start=None)
    waiting = asyncio.ensure_future(anext(private))
    await until(lambda: bench.events.leaders.all() and bench.events.leaders.all()[0]._waiters)
    await bench.publish("new")
    event = await waiting
    assert event.payload == "new"
    await bench.nack(event, delay=0.0)
    again = await anext(private)
    assert (again.payload, again.attempt) == ("new", 2)
    await bench.ack(again)
    await private.aclose()
    assert not await bench.events.groups.all(ORIGIN)
    assert not bench.events.leaders.all()


async def test_groups_that_nobody_uses_are_closed_and_go_on_where_they_were(bench: Bench) -> None:
    await bench.publish("a", "b")
    events = await bench.pull(1)
    await bench.ack(*events)
    await bench.advance(61)
    await bench.events.look()
    assert not bench.events.leaders.all()
    assert await bench.payloads() == ["b"]


async def test_a_slow_consumer_costs_no_more_than_its_window(bench: Bench) -> None:
    for _ in range(10):
        await bench.publish(*range(300))
    (event,) = await bench.pull(1)
    leader = bench.events.leaders.all()[0]
    await until(lambda: not leader.group.room)
    assert leader.group.unsettled == 1_000
    await bench.ack(event)
    assert [event.payload for event in await bench.pull(2)] == [1, 2]
    (status,) = await bench.events.groups.all(ORIGIN, "t")
    assert status.lag == 2_999


async def test_a_name_that_is_none_is_refused(bench: Bench) -> None:
    for topic in ("", "a/b", "-a", "ä", "x" * 101):
        with pytest.raises(errors.BadRequest, match="topic"):
            await bench.publish(1, topic=topic)
    with pytest.raises(errors.BadRequest, match="group"):
        await bench.pull(group="a b")
    with pytest.raises(errors.BadRequest, match="no id of a delivery"):
        await bench.events.ack(ORIGIN, ["nonsense"])


async def test_an_ack_that_is_found_at_the_start_counts_until_the_cursor_has_it(open_bench: Open) -> None:
    """Acks of transactions above and among what is open, over several restarts."""
    async with open_bench() as bench:
        await bench.publish(*range(8))
        events = await bench.pull()
        await bench.ack(events[1])
        for number in (3, 6):
            plan = await bench.events.plan(ORIGIN, Ack(delivery=events[number].delivery))
            await bench.engine.commit(Batch("default", plan))
    for _ in range(3):
        async with open_bench() as bench:
            assert await bench.payloads() == [0, 2, 4, 5, 7]
            await until(lambda: not bench.events.leaders.all()[0]._has_work)
            await bench.advance(700)
    async with open_bench() as bench:
        assert await bench.payloads() == [0, 2, 4, 5, 7]
        assert await bench.engine.count("default", "events/acks") == 0
