"""Contract of every engine: a message reaches who is subscribed, one of each queue group, and nobody waits for the slow."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.engine.api import Message, Overflow, PubSubVerbs, Subscription
from microlite.core.engine.matcher import Matcher
from microlite.core.topics import check_pattern, check_topic
from tests.engine.engine_parts import OpenEngine


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[PubSubVerbs]:
    async with open_engine() as engine:
        yield cast("PubSubVerbs", engine)


def publish(engine: PubSubVerbs, topic: str, payload: bytes = b"", namespace: str = "default") -> int:
    return engine.publish(namespace, Message(topic, payload))


async def read(subscription: Subscription, count: int) -> list[bytes]:
    return [(await anext(subscription)).payload for _ in range(count)]


async def rest(subscription: Subscription) -> list[bytes]:
    """What waits, of a subscription that takes no more."""
    subscription.finish()
    return [message.payload async for message in subscription]


async def test_each_subscriber_gets_each_message_in_order_as_it_was_published(engine: PubSubVerbs) -> None:
    async with engine.subscribe("default", "prices") as one, engine.subscribe("default", "prices") as other:
        first = Message("prices", b"1", {"trace": "x"})
        assert engine.publish("default", first) == 2
        assert publish(engine, "prices", b"2") == 2
        assert await anext(one) == first
        assert await read(one, 1) == [b"2"]
        assert await read(other, 2) == [b"1", b"2"]


async def test_a_message_that_nobody_is_there_for_is_gone(engine: PubSubVerbs) -> None:
    assert publish(engine, "prices", b"early") == 0
    async with engine.subscribe("default", "prices") as subscription:
        assert publish(engine, "prices", b"now") == 1
        assert await rest(subscription) == [b"now"]
    assert publish(engine, "prices", b"late") == 0


async def test_namespaces_do_not_hear_each_other(engine: PubSubVerbs) -> None:
    async with engine.subscribe("shop", "prices"):
        assert publish(engine, "prices", namespace="bank") == 0
        assert publish(engine, "prices", namespace="shop") == 1


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("*.*", "a.b", True),
        ("a.>", "a.b", True),
        ("a.>", "a.b.c.d", True),
        ("a.>", "a", False),
        (">", "a", True),
        (">", "a.b.c", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.>", "a.b", False),
        ("a.*.>", "a.b.c", True),
        ("*", "a.b", False),
    ],
)
async def test_a_star_stands_for_one_word_and_an_angle_for_one_or_more(
    engine: PubSubVerbs, pattern: str, topic: str, matches: bool
) -> None:
    async with engine.subscribe("default", pattern):
        assert publish(engine, topic) == int(matches)


@pytest.mark.parametrize(
    "topic", ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a.*", ">", "a*", "x" * 300, ".".join("a" * 40)]
)
async def test_what_is_no_topic_is_refused_with_the_reason(engine: PubSubVerbs, topic: str) -> None:
    with pytest.raises(errors.BadRequest):
        publish(engine, topic)


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a.b*", "a.>b", "a..>", "a b"])
async def test_what_is_no_pattern_is_refused(engine: PubSubVerbs, pattern: str) -> None:
    with pytest.raises(errors.BadRequest):
        engine.subscribe("default", pattern)


async def test_of_a_queue_group_one_member_gets_each_message_and_they_take_turns(engine: PubSubVerbs) -> None:
    async with (
        engine.subscribe("default", "jobs", queue="workers") as one,
        engine.subscribe("default", "jobs", queue="workers") as two,
        engine.subscribe("default", "jobs.>", queue="workers"),
        engine.subscribe("default", "jobs", queue="auditors") as auditor,
        engine.subscribe("default", "jobs") as everybody,
    ):
        for number in range(6):
            assert publish(engine, "jobs", b"%d" % number) == 3
        assert sorted([*await rest(one), *await rest(two)]) == [b"%d" % number for number in range(6)]
        assert (len(await rest(auditor)), len(await rest(everybody))) == (6, 6)


async def test_a_member_that_is_behind_gets_less_until_it_has_caught_up(engine: PubSubVerbs) -> None:
    async with (
        engine.subscribe("default", "jobs", queue="q") as slow,
        engine.subscribe("default", "jobs", queue="q") as quick,
    ):
        taken = 0
        for number in range(20):
            publish(engine, "jobs", b"%d" % number)
            if quick.waiting:
                await anext(quick)
                taken += 1
        assert slow.waiting <= 2
        assert taken + quick.waiting + slow.waiting == 20


async def test_what_waits_for_a_member_that_leaves_goes_to_the_others(engine: PubSubVerbs) -> None:
    async with engine.subscribe("default", "jobs", queue="q") as stays:
        async with engine.subscribe("default", "jobs", queue="q"):
            for number in range(10):
                publish(engine, "jobs", b"%d" % number)
        assert sorted(await rest(stays)) == [b"%d" % number for number in range(10)]


async def test_a_full_queue_drops_the_oldest_or_the_newest_and_counts_them(engine: PubSubVerbs) -> None:
    async with (
        engine.subscribe("default", "t", limit=2) as oldest,
        engine.subscribe("default", "t", limit=2, overflow=Overflow.DROP_NEWEST) as newest,
    ):
        reached = [publish(engine, "t", b"%d" % number) for number in range(5)]
        assert reached == [2, 2, 1, 1, 1]
        assert (oldest.dropped, newest.dropped) == (3, 3)
        assert await rest(oldest) == [b"3", b"4"]
        assert await rest(newest) == [b"0", b"1"]


async def test_who_asked_to_be_disconnected_gets_what_waited_and_then_an_error(engine: PubSubVerbs) -> None:
    async with engine.subscribe("default", "t", limit=1, overflow=Overflow.DISCONNECT) as subscription:
        assert publish(engine, "t", b"0") == 1
        assert publish(engine, "t", b"1") == 0
        assert await read(subscription, 1) == [b"0"]
        with pytest.raises(errors.ServiceUnavailable, match="too slowly"):
            await anext(subscription)
        assert subscription.dropped == 1
        assert publish(engine, "t", b"2") == 0


async def test_large_messages_fill_a_queue_before_its_limit(engine: PubSubVerbs) -> None:
    async with engine.subscribe("default", "t", limit=100_000) as subscription:
        for _ in range(40):
            publish(engine, "t", b"x" * (1 << 20))
        assert subscription.waiting <= 16
        assert subscription.waiting + subscription.dropped == 40
        with pytest.raises(errors.PayloadTooLarge):
            publish(engine, "t", b"x" * ((1 << 20) + 1))


async def test_a_reader_that_waits_is_woken(engine: PubSubVerbs) -> None:
    async with engine.subscribe("default", "t") as subscription:
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        publish(engine, "t", b"now")
        assert (await waiting).payload == b"now"


async def test_messages_come_from_begin_to_finish_and_what_waited_is_still_read(engine: PubSubVerbs) -> None:
    subscription = engine.subscribe("default", "t")
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)
    assert publish(engine, "t", b"before") == 0
    subscription.begin()
    publish(engine, "t", b"1")
    publish(engine, "t", b"2")
    subscription.finish()
    assert publish(engine, "t", b"after") == 0
    assert (await waiting).payload == b"1"
    assert [message.payload async for message in subscription] == [b"2"]


async def test_closing_the_engine_ends_subscriptions_with_an_error(open_engine: OpenEngine) -> None:
    async with open_engine() as opened:
        engine = cast("PubSubVerbs", opened)
        subscription = engine.subscribe("default", "t")
        await subscription.__aenter__()
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
    with pytest.raises(errors.ServiceUnavailable):
        await waiting
    with pytest.raises(errors.ServiceUnavailable):
        publish(engine, "t")


WORDS = st.sampled_from("abc")
PATTERNS = st.lists(st.sampled_from("abc*"), min_size=1, max_size=4).flatmap(
    lambda words: st.sampled_from([words, [*words, ">"], [">"]])
)


def fits(pattern: list[str], topic: list[str]) -> bool:
    """The rule, word by word."""
    for mine, word in itertools.zip_longest(pattern, topic):
        if mine == ">":
            return word is not None
        if mine is None or word is None or mine not in ("*", word):
            return False
    return True


@given(
    patterns=st.lists(PATTERNS, max_size=12),
    gone=st.sets(st.integers(0, 11)),
    topic=st.lists(WORDS, min_size=1, max_size=5),
)
def test_the_matcher_finds_what_the_rule_says_each_once(
    patterns: list[list[str]], gone: set[int], topic: list[str]
) -> None:
    matcher: Matcher[int] = Matcher()
    for number, pattern in enumerate(patterns):
        matcher.add(check_pattern(".".join(pattern)), number)
    for number in gone & set(range(len(patterns))):
        matcher.discard(patterns[number], number)
    expected = {number for number, pattern in enumerate(patterns) if number not in gone and fits(pattern, topic)}
    assert Counter(matcher.find(check_topic(".".join(topic)))) == Counter(expected)
    for number in range(len(patterns)):
        matcher.discard(patterns[number], number)
    assert not matcher
