"""What publishing promises: ids once, delays in their time, schemas, retention; and what becomes of dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from microlite.core import errors
from microlite.core.engine.api import Batch
from microlite.core.events.api import (
    MAX_PAYLOAD_BYTES,
    Event,
    GroupSettings,
    Misfits,
    Publish,
    Retention,
    TopicSettings,
)
from tests.events.conftest import ORIGIN, Bench, until

Open = Callable[[], AbstractAsyncContextManager[Bench]]

NUMBER = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
}


async def read(bench: Bench, topic: str = "t") -> list[object]:
    found = await bench.events.read(ORIGIN, topic, after=0, since=None, limit=500, reverse=False)
    return [event.payload for event in found]


async def test_an_event_keeps_all_that_was_said_of_it(bench: Bench) -> None:
    (published,) = await bench.publish({"a": [1, 2.5, None, b"x", True]}, key="k", metadata={"x": "y"}, timestamp=12.5)
    (event,) = await bench.pull()
    assert event == Event(
        id=published.id,
        topic="t",
        position=1,
        payload={"a": [1, 2.5, None, b"x", True]},
        key="k",
        metadata={"x": "y"},
        timestamp=12.5,
        published=bench.clock.now(),
        group="g",
        attempt=1,
        delivery=event.delivery,
    )


async def test_a_batch_is_published_in_order_or_not_at_all(bench: Bench) -> None:
    published = await bench.publish("a", "b", "c")
    assert [one.position for one in published] == [1, 2, 3]
    with pytest.raises(errors.BadRequest):
        await bench.events.publish(ORIGIN, [Publish(topic="t", payload="d"), Publish(topic="no topic")])
    assert await read(bench) == ["a", "b", "c"]


async def test_a_second_event_of_an_id_answers_the_first_ones(bench: Bench) -> None:
    first, second = await asyncio.gather(
        bench.publish("a", deduplication_id="x"), bench.publish("b", deduplication_id="x")
    )
    assert first[0].id == second[0].id
    assert [first[0].duplicate, second[0].duplicate] == [False, True]
    same, other = await bench.publish("c", "d", deduplication_id="y")
    assert (same.id, other.duplicate) == (other.id, True)
    assert await bench.publish("e", topic="u", deduplication_id="x") != first
    assert await read(bench) == ["a", "c"]
    await bench.advance(86_400)
    await bench.publish("again", deduplication_id="x")
    assert await read(bench) == ["a", "c", "again"]


async def test_delayed_events_take_their_places_when_they_are_due(open_bench: Open) -> None:
    async with open_bench() as bench:
        await bench.publish("late", delay=60)
        await bench.publish("soon", delay=10)
        await bench.publish("now")
        poll = asyncio.create_task(bench.pull(wait=30))
        assert [event.payload for event in await poll] == ["now"]
        poll = asyncio.create_task(bench.pull(wait=30))
        await until(lambda: bench.events.leaders.all()[0]._waiters)
        await bench.advance(9.9)
        assert not poll.done()
        await bench.advance(0.2)
        assert [event.payload for event in await poll] == ["soon"]
    async with open_bench() as bench:
        poll = asyncio.create_task(bench.pull(group="other", wait=300))
        await poll
        bench.clock.advance(60)
        for _ in range(2_000):
            if await read(bench) == ["now", "soon", "late"]:
                break
            await asyncio.sleep(0.001)
        assert await read(bench) == ["now", "soon", "late"]


async def test_a_namespace_that_begins_with_settings_minds_its_delayed_events(bench: Bench) -> None:
    await bench.events.topics.set(ORIGIN, "t", TopicSettings())
    await bench.publish("later", delay=5)
    await bench.advance(5)
    async with asyncio.timeout(10):
        while await read(bench) != ["later"]:
            await asyncio.sleep(0.001)


async def test_many_delayed_events_are_moved_once_each_also_when_all_are_due(open_bench: Open) -> None:
    async with open_bench() as bench:
        for start in range(0, 1_000, 200):
            await bench.events.publish(
                ORIGIN, [Publish(topic="t", payload=start + n, delay=1 + start + n) for n in range(200)]
            )
        bench.clock.advance(150)  # and the platform ends at once, in the midst of moving
    async with open_bench() as bench:
        bench.clock.advance(10_000)
        async with asyncio.timeout(20):
            while await bench.engine.count("default", "events/delayed"):
                await asyncio.sleep(0.001)
        found: list[object] = []
        while len(found) < 1_000:
            page = await bench.events.read(ORIGIN, "t", after=len(found), since=None, limit=500, reverse=False)
            found += [event.payload for event in page]
        assert found == list(range(1_000))
        assert (await bench.events.topics.status("default", "t")).count == 1_000


async def test_what_is_too_large_is_refused(bench: Bench) -> None:
    await bench.publish(bytes(MAX_PAYLOAD_BYTES - 8))
    with pytest.raises(errors.PayloadTooLarge, match="blob"):
        await bench.publish(bytes(MAX_PAYLOAD_BYTES))
    with pytest.raises(errors.PayloadTooLarge, match="metadata"):
        await bench.publish(1, metadata={"a": "x" * 20_000})
    with pytest.raises(errors.BadRequest, match="key"):
        await bench.publish(1, key="x" * 300)
    with pytest.raises(errors.BadRequest, match="delay"):
        await bench.publish(1, delay=-1)
    (event,) = await bench.pull()
    await bench.nack(event, dead=True)
    (letter,) = (await bench.events.dead.page(ORIGIN, "t", "g")).letters
    assert len(letter.event.payload) == MAX_PAYLOAD_BYTES - 8


# -- schemas -----------------------------------------------------------------------------------------------------------


async def test_what_does_not_fit_the_schema_is_refused(open_bench: Open) -> None:
    async with open_bench() as bench:
        await bench.events.topics.set(ORIGIN, "t", TopicSettings(schema=NUMBER))
    async with open_bench() as bench:
        await bench.publish({"number": 1})
        with pytest.raises(errors.Unprocessable, match="number: expected integer, got string"):
            await bench.publish({"number": "x"})
        with pytest.raises(errors.Unprocessable, match="number: required"):
            await bench.publish({})
        assert await read(bench) == [{"number": 1}]


async def test_what_does_not_fit_is_quarantined_corrected_and_goes_to_all_groups(bench: Bench) -> None:
    await bench.events.topics.set(ORIGIN, "t", TopicSettings(schema=NUMBER, misfits=Misfits.QUARANTINE))
    good, bad = await bench.publish({"number": 1}, {"number": "x"})
    assert (good.quarantined, bad.quarantined, good.position, bad.position) == (False, True, 1, 0)
    assert await read(bench) == [{"number": 1}]
    assert (await bench.events.topics.status("default", "t")).quarantined == 1
    (letter,) = (await bench.events.dead.page(ORIGIN, "t", "")).letters
    assert "expected integer" in letter.error
    with pytest.raises(errors.Unprocessable):
        await bench.events.dead.redrive(ORIGIN, "t", "", None, "")
    with pytest.raises(errors.Unprocessable):
        await bench.events.dead.edit(ORIGIN, "t", "", letter.id, {"number": "y"})
    edited = await bench.events.dead.edit(ORIGIN, "t", "", letter.id, {"number": 2})
    assert edited.edited
    assert await bench.events.dead.redrive(ORIGIN, "t", "", None, "") == 1
    for group in ("g", "h"):
        assert await bench.payloads(group=group) == [{"number": 1}, {"number": 2}]


async def test_a_schema_that_cannot_be_checked_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.BadRequest, match="'if' is not checked here"):
        await bench.events.topics.set(ORIGIN, "t", TopicSettings(schema={"if": {}}))


# -- dead letters ------------------------------------------------------------------------------------------------------


async def kill(bench: Bench, *errors_: str) -> None:
    await bench.publish(*range(len(errors_)))
    for event, error in zip(await bench.pull(), errors_, strict=True):
        await bench.nack(event, error, dead=True)


async def test_dead_letters_are_grouped_by_error(bench: Bench) -> None:
    await kill(bench, "no user 17", "no user 4711", "boom")
    kinds = await bench.events.dead.kinds(ORIGIN, "t", None)
    assert [(kind.kind, kind.count, kind.example) for kind in kinds] == [
        ("no user #", 2, "no user 4711"),
        ("boom", 1, "boom"),
    ]
    page = await bench.events.dead.page(ORIGIN, "t", "g", kind="no user #")
    assert [letter.event.payload for letter in page.letters] == [0, 1]
    first = await bench.events.dead.page(ORIGIN, "t", None, limit=2)
    rest = await bench.events.dead.page(ORIGIN, "t", None, limit=2, after=first.cursor)
    assert [len(first.letters), len(rest.letters), rest.cursor] == [2, 1, ""]


async def test_a_redriven_event_goes_to_the_end_and_to_its_group_only(bench: Bench) -> None:
    await bench.pull(group="other")
    await kill(bench, "x", "y", "z")
    await bench.publish("last")
    assert await bench.payloads(group="other") == [0, 1, 2, "last"]
    await bench.events.dead.edit(ORIGIN, "t", "g", f"{1:020d}", "corrected")
    assert await bench.events.dead.redrive(ORIGIN, "t", "g", [f"{1:020d}", f"{3:020d}"], "") == 2
    events = await bench.pull()
    assert [(event.payload, event.attempt) for event in events] == [("last", 1), ("corrected", 1), (2, 1)]
    await bench.ack(*events)
    assert await bench.payloads(group="other") == []
    assert [letter.event.payload for letter in (await bench.events.dead.page(ORIGIN, "t", "g")).letters] == [1]
    statuses = {one.name: one.lag for one in await bench.events.groups.all(ORIGIN, "t")}
    assert statuses["g"] == 0
    assert await bench.events.dead.redrive(ORIGIN, "t", "g", None, "y") == 1
    with pytest.raises(errors.NotFound):
        await bench.events.dead.redrive(ORIGIN, "t", "g", [f"{2:020d}"], "")


async def test_many_events_with_long_errors_die_in_commits_that_the_engine_takes(bench: Bench) -> None:
    await bench.events.groups.set(ORIGIN, "t", "g", GroupSettings(retries=1, backoff=0.0), "beginning")
    for _ in range(2):
        await bench.publish(*range(400))
    for attempt in (1, 2):
        events: list[Event[object]] = []
        while len(events) < 800:
            events += await bench.pull(400, wait=5)
        assert {event.attempt for event in events} == {attempt}
        await asyncio.gather(*(bench.nack(event, "ä" * 5_000) for event in events))
    (kind,) = await bench.events.dead.kinds(ORIGIN, "t", "g")
    assert kind.count == 800
    page = await bench.events.dead.page(ORIGIN, "t", "g", limit=500)
    assert page.cursor
    assert len(page.letters) >= 100
    assert await bench.events.dead.redrive(ORIGIN, "t", "g", None, "") == 800


async def test_dead_letters_can_be_removed(bench: Bench) -> None:
    await kill(bench, "x", "x", "y")
    assert await bench.events.dead.delete(ORIGIN, "t", "g", None, "x") == 2
    (left,) = (await bench.events.dead.page(ORIGIN, "t", "g")).letters
    assert left.error == "y"
    with pytest.raises(errors.NotFound, match="no dead letter"):
        await bench.events.dead.read(ORIGIN, "t", "g", f"{1:020d}")


# -- retention, topics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(age=100), ["c", "d"]),
        (Retention(age=0, count=3), ["b", "c", "d"]),
        (Retention(age=0, size=150), ["c", "d"]),
        (Retention(age=0), ["a", "b", "c", "d"]),
        (Retention(age=1), []),
    ],
)
async def test_topics_keep_what_they_are_told(bench: Bench, retention: Retention, left: list[str]) -> None:
    for payload in "abcd":
        await bench.publish(payload, metadata={"x": "x" * 20})
        await bench.advance(40)
    await bench.events.topics.set(ORIGIN, "t", TopicSettings(retention=retention))
    await bench.events.look()
    assert await read(bench) == left
    assert await bench.payloads() == left
    await bench.publish("e")
    assert await bench.payloads() == ["e"]


async def test_what_was_trimmed_is_no_lag_of_who_waited_for_it(bench: Bench) -> None:
    await bench.publish("a", "b")
    (event,) = await bench.pull(1)
    await bench.nack(event, delay=1_000.0)
    await bench.events.leaders.drop("default", "t", "g")
    await bench.advance(200)
    await bench.events.topics.set(ORIGIN, "t", TopicSettings(retention=Retention(age=100)))
    await bench.events.look()
    assert not await bench.pull()
    await until(lambda: not bench.events.leaders.all()[0].group.dirty)
    (status,) = await bench.events.groups.all(ORIGIN, "t")
    assert status.lag == 0
    async with asyncio.timeout(10):
        while await bench.engine.count("default", "events/failed"):
            await asyncio.sleep(0.001)


async def test_a_topic_is_removed_with_all_that_belongs_to_it(bench: Bench) -> None:
    await kill(bench, "x")
    await bench.publish("later", delay=5, deduplication_id="d")
    await bench.publish("kept", topic="t2")
    await bench.events.delete_topic(ORIGIN, "t")
    assert [topic.name for topic in await bench.events.topics.all(ORIGIN)] == ["t2"]
    assert not await bench.events.groups.all(ORIGIN)
    await bench.advance(10)
    assert await read(bench) == []
    for bucket in ("events/dead", "events/once", "events/delayed", "events/cursors"):
        assert await bench.engine.count("default", bucket) == 0, bucket
    with pytest.raises(errors.NotFound, match="no topic"):
        await bench.events.describe(ORIGIN, "t")
    await bench.publish("again")
    assert await bench.payloads() == ["again"]


async def test_reading_goes_both_ways_and_begins_anywhere(bench: Bench) -> None:
    for number in range(5):
        await bench.publish(number)
        await bench.advance(10)
    start = bench.clock.now() - 30

    async def found(**more: object) -> list[object]:
        options = {"after": 0, "since": None, "limit": 100, "reverse": False, **more}
        return [event.payload for event in await bench.events.read(ORIGIN, "t", **options)]  # type: ignore[arg-type]

    assert await found(after=2, limit=2) == [2, 3]
    assert await found(since=start) == [2, 3, 4]
    assert await found(reverse=True, limit=2) == [4, 3]
    assert await found(reverse=True, after=3) == [1, 0]
    assert await found(reverse=True, since=start) == [4, 3, 2]


async def test_following_goes_on_live_without_a_gap(bench: Bench) -> None:
    await bench.publish(*range(250))
    following = bench.events.follow(ORIGIN, "t", after=0, since=None)
    found = [(await anext(following)).position for _ in range(250)]
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    await bench.publish("live")
    found.append((await waiting).position)
    assert found == list(range(1, 252))


async def test_the_settings_of_a_group_that_is_at_work_can_change(bench: Bench) -> None:
    await bench.publish("a")
    (event,) = await bench.pull()
    await bench.events.groups.set(ORIGIN, "t", "g", GroupSettings(retries=0), "beginning")
    await bench.nack(event)
    assert (await bench.events.groups.status("default", "t", "g")).dead == 1
    with pytest.raises(errors.BadRequest, match="ack_wait"):
        await bench.events.groups.set(ORIGIN, "t", "g", GroupSettings(ack_wait=0), "beginning")


async def test_a_published_event_is_a_part_of_somebodys_batch(bench: Bench) -> None:
    plan = await bench.events.plan(ORIGIN, Publish(topic="t", payload=1, deduplication_id="x"))
    await bench.engine.commit(Batch("default", plan))
    assert await bench.events.plan(ORIGIN, Publish(topic="t", payload=2, deduplication_id="x")) == ()
    assert await read(bench) == [1]


async def test_whoever_lists_many_topics_holds_nobody_up(bench: Bench) -> None:
    """The answer is put together in many turns of the loop."""
    await bench.events.publish(ORIGIN, [Publish(topic=f"t{n}", payload=1) for n in range(300)])
    turns = 0
    listing = asyncio.ensure_future(bench.events.topics.all(ORIGIN, ""))
    while not listing.done():
        turns += 1
        await asyncio.sleep(0)
    assert (len(listing.result()), turns > 3) == (300, True)


async def test_nobody_waits_unknowingly_for_a_position_that_is_far_away(bench: Bench) -> None:
    """As after a restore: what comes up to there would be missed."""
    await bench.publish(1, 2)
    with pytest.raises(errors.BadRequest, match="after: 't' has only come to 2"):
        await anext(bench.events.follow(ORIGIN, "t", after=3, since=None))
    followed = bench.events.follow(ORIGIN, "t", after=1, since=None)
    assert (await anext(followed)).payload == 2
