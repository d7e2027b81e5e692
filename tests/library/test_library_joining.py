"""Calls that many tasks make in one turn travel together, and each has its own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from microlite import Context, Service, errors
from microlite.testing import platform
from microlite.testing.harness import RunningPlatform


@pytest.fixture
async def p() -> RunningPlatform:  # type: ignore[misc]  # pytest-asyncio makes a fixture of the generator
    async with platform() as running:
        yield running


def many() -> Service:
    service = Service("many")

    @service.endpoint
    async def write(ctx: Context, count: int) -> list[int]:
        return list(await asyncio.gather(*(ctx.store.write(f"k{n % 60}", n) for n in range(count))))

    @service.endpoint
    async def mixed(ctx: Context) -> list[str]:
        outcomes = await asyncio.gather(
            ctx.store.write("good", 1),
            ctx.store.write("k" * 600, 2),
            ctx.store.write("good", 3, expect="absent"),
            ctx.store.write("large", b"x" * 300_000),
            ctx.store.table("t" * 99).write("a", 1),
            ctx.store.table("other").write("good", 4),
            ctx.store.write(5, 5),  # type: ignore[arg-type]  # what nobody's editor has stopped
            ctx.store.write("\ud800", 6),
            return_exceptions=True,
        )
        return [type(outcome).__name__ for outcome in outcomes]

    @service.endpoint
    async def read(ctx: Context) -> list[Any]:
        await ctx.store.write_many({"a": 1, "b": b"x" * 900_000, "c": None})
        for letter in "defghijkl":
            await ctx.store.write(letter, b"y" * 900_000)
        some = await asyncio.gather(*(ctx.store.read(key, default="none") for key in ("a", "nothing", "c", "a")))
        wrong = await asyncio.gather(
            ctx.store.read("a"),
            ctx.store.read("k" * 600),
            ctx.store.read(5),  # type: ignore[call-overload]  # as above
            return_exceptions=True,
        )
        large = await asyncio.gather(*(ctx.store.read(key) for key in "bdefghijkl"))
        return [some, [type(one).__name__ for one in wrong], [len(one) for one in large]]

    @service.endpoint
    async def publish(ctx: Context, count: int) -> list[int]:
        published = await asyncio.gather(*(ctx.events.publish("t", n) for n in range(count)))
        return [one.position for one in published]

    @service.endpoint
    async def publish_mixed(ctx: Context) -> list[str]:
        outcomes = await asyncio.gather(
            ctx.events.publish("t", 1),
            ctx.events.publish("no topic!", 2),
            ctx.events.publish("t", 3, deduplication_id="a"),
            ctx.events.publish("t", 4, deduplication_id="a"),
            ctx.events.publish("t", 5, delay=60),
            ctx.events.publish("t", 6),
            ctx.events.publish("\ud800", 7),
            return_exceptions=True,
        )
        return [
            type(outcome).__name__ if isinstance(outcome, BaseException) else f"{outcome.position} {outcome.duplicate}"
            for outcome in outcomes
        ]

    @service.endpoint
    async def given_up(ctx: Context) -> int:
        first = asyncio.ensure_future(ctx.store.write("first", 1))
        second = asyncio.ensure_future(ctx.store.write("second", 2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    return service


async def test_each_write_has_its_own_revision_or_that_of_those_it_came_with(p: RunningPlatform) -> None:
    await p.serve(many())
    revisions = await p.call("many.write", count=700)
    assert len(revisions) == 700
    assert min(revisions) > 0
    kept = await p.call("store.scan", database="many", limit=1000)
    assert {record["key"]: record["value"] for record in kept["records"]} == {f"k{n % 60}": n for n in range(640, 700)}


async def test_what_is_wrong_with_one_write_does_not_stop_the_others(p: RunningPlatform) -> None:
    await p.serve(many())
    outcomes = await p.call("many.mixed")
    assert outcomes[1] == outcomes[4] == outcomes[6] == "BadRequest"
    assert outcomes[7] in {"BadRequest", "UnicodeEncodeError"}
    assert outcomes[3] == outcomes[5] == "int"
    assert {outcomes[0], outcomes[2]} <= {"int", "Conflict"}
    assert outcomes[0] == "int"
    assert (await p.call("store.read", database="many", key="good"))["value"] in {1, 3}
    assert (await p.call("store.read", database="many", table="other", key="good"))["value"] == 4


async def test_each_read_has_its_own_record_or_error(p: RunningPlatform) -> None:
    await p.serve(many())
    assert await p.call("many.read") == [[1, "none", None, 1], ["int", "BadRequest", "BadRequest"], [900_000] * 10]


async def test_events_of_one_turn_stay_in_their_order(p: RunningPlatform) -> None:
    await p.serve(many())
    assert await p.call("many.publish", count=700) == list(range(1, 701))
    read = await p.call("events.read", topic="t", limit=500)
    assert [event["payload"] for event in read] == list(range(500))


async def test_what_is_wrong_with_one_event_does_not_stop_the_others(p: RunningPlatform) -> None:
    await p.serve(many())
    outcomes = await p.call("many.publish_mixed")
    assert outcomes[1] == "BadRequest"
    assert outcomes[3:5] == ["0 True", "0 False"]
    assert sorted(outcomes[one] for one in (0, 2, 5)) == ["1 False", "2 False", "3 False"]
    assert outcomes[0] == "1 False"
    assert outcomes[6] in {"BadRequest", "UnicodeEncodeError"}


async def test_who_gives_up_leaves_the_others_their_answers(p: RunningPlatform) -> None:
    await p.serve(many())
    assert await p.call("many.given_up") > 0


async def test_a_platform_that_is_gone_fails_each_of_them(p: RunningPlatform) -> None:
    await p.serve(many())
    p.faults.fail("store.write-each", errors.ServiceUnavailable("gone"))
    with pytest.raises(errors.ServiceUnavailable, match="gone"):
        await p.call("many.write", count=3)
