"""Contract of every engine: watches see each change, in order, and never hold more than their bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import Change, ChangeKind, Delete, Engine, Put, Resync, Watch
from tests.engine.engine_parts import OpenEngine, commit, contents, turn

HOUR = 3_600


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    async with open_engine() as engine:
        yield engine


async def put(engine: Engine, key: str, value: bytes = b"") -> int:
    return await commit(engine, Put("b", key, value))


async def mirror(watch: Watch, until: int) -> dict[str, bytes]:
    """Follow a watch up to a revision, as somebody does who keeps a copy of a bucket."""
    copy: dict[str, bytes] = {}
    while watch.revision < until:
        item = await anext(watch)
        if isinstance(item, Resync):
            if item.first:
                copy.clear()
            copy.update((record.key, record.value) for record in item.records)
        elif item.kind is ChangeKind.PUT:
            copy[item.key] = item.value
        else:
            copy.pop(item.key, None)
    return copy


async def test_each_change_is_seen_in_order_with_its_revision(engine: Engine, clock: ManualClock) -> None:
    async with engine.watch("default", "b") as watch:
        expires_at = clock.now() + 10
        first = await commit(engine, Put("b", "a", b"1", expires_at), Put("b", "c", b"2"))
        second = await commit(engine, Delete("b", "c"))
        clock.advance(10)
        assert await anext(watch) == Change(ChangeKind.PUT, "a", first, b"1", expires_at)
        assert await anext(watch) == Change(ChangeKind.PUT, "c", first, b"2")
        assert await anext(watch) == Change(ChangeKind.DELETE, "c", second)
        expired = await anext(watch)
        assert isinstance(expired, Change)
        assert (expired.kind, expired.key) == (ChangeKind.EXPIRE, "a")
        assert expired.revision > second


async def test_only_its_bucket_and_prefix_are_seen(engine: Engine) -> None:
    async with engine.watch("default", "b", prefix="x/") as watch:
        await commit(engine, Put("b", "y", b""), Put("other", "x/1", b""))
        await commit(engine, Put("b", "x/1", b""), namespace="other")
        revision = await commit(engine, Put("b", "x", b""), Put("b", "x/2", b""))
        assert await anext(watch) == Change(ChangeKind.PUT, "x/2", revision)


async def test_a_watch_waits_until_something_happens(engine: Engine) -> None:
    async with engine.watch("default", "b") as watch:
        coming = asyncio.ensure_future(anext(watch))
        await turn()
        assert not coming.done()
        revision = await put(engine, "k")
        assert (await coming).revision == revision


async def test_a_cancelled_wait_loses_nothing(engine: Engine) -> None:
    async with engine.watch("default", "b", from_revision=0) as watch:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(watch)
        assert isinstance(await anext(watch), Resync)
        revision = await put(engine, "k")
        assert (await anext(watch)).revision == revision


async def test_from_revision_gives_what_happened_since_of_each_key_the_latest(engine: Engine) -> None:
    await put(engine, "before")
    start = await put(engine, "gone")
    await put(engine, "twice", b"1")
    deleted = await commit(engine, Delete("b", "gone"))
    latest = await put(engine, "twice", b"2")
    async with engine.watch("default", "b", from_revision=start) as watch:
        assert await anext(watch) == Change(ChangeKind.DELETE, "gone", deleted)
        assert await anext(watch) == Change(ChangeKind.PUT, "twice", latest, b"2")
        assert watch.revision == latest
        later = await put(engine, "later")
        assert (await anext(watch)).revision == later


async def test_from_revision_works_across_a_restart(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        start = await put(engine, "a")
        deleted = await commit(engine, Delete("b", "a"))
    async with open_engine() as engine, engine.watch("default", "b", from_revision=start) as watch:
        assert await anext(watch) == Change(ChangeKind.DELETE, "a", deleted)


async def test_from_zero_begins_with_the_whole_state(engine: Engine, clock: ManualClock) -> None:
    await commit(engine, Put("b", "x1", b"1"), Put("b", "y", b"2"), Put("b", "x2", b"", clock.now() + 1))
    clock.advance(1)
    revision = await commit(engine, Put("other", "k", b""))
    async with engine.watch("default", "b", prefix="x", from_revision=0) as watch:
        resync = await anext(watch)
        assert isinstance(resync, Resync)
        assert [record.key for record in resync.records] == ["x1"]
        assert (resync.first, resync.last) == (True, True)
        assert resync.revision >= revision
        assert watch.revision == resync.revision


async def test_a_revision_that_never_was_gives_the_state(engine: Engine) -> None:
    revision = await put(engine, "k")
    async with engine.watch("default", "b", from_revision=revision + 100) as watch:
        resync = await anext(watch)
        assert isinstance(resync, Resync)
        assert [record.key for record in resync.records] == ["k"]


async def test_deletions_are_remembered_for_an_hour_and_then_give_way_to_the_state(
    engine: Engine, clock: ManualClock
) -> None:
    start = await put(engine, "a")
    await commit(engine, Delete("b", "a"))
    clock.advance(HOUR - 1)
    last = await put(engine, "b")
    async with engine.watch("default", "b", from_revision=start) as watch:
        assert isinstance(await anext(watch), Change)
    clock.advance(60)
    while True:  # forgetting has no hurry; the time-out of the test is its bound
        async with engine.watch("default", "b", from_revision=start) as watch:
            item = await anext(watch)
            if isinstance(item, Resync):
                break
    assert [record.key for record in item.records] == ["b"]
    later = await put(engine, "c")
    async with engine.watch("default", "b", from_revision=last) as watch:
        assert await anext(watch) == Change(ChangeKind.PUT, "c", later)


async def test_who_does_not_read_gets_the_state_in_place_of_what_was_missed(engine: Engine) -> None:
    async with engine.watch("default", "b") as watch:
        for number in range(3):
            await commit(engine, *(Put("b", f"k{key}", bytes([number])) for key in range(500)))
        last = await commit(engine, Delete("b", "k0"))
        first = await anext(watch)
        assert isinstance(first, Resync)
        assert {record.key: record.value for record in first.records} == await contents(engine)
        assert first.revision == last
        later = await put(engine, "k0")
        assert await anext(watch) == Change(ChangeKind.PUT, "k0", later)


async def test_large_values_that_are_not_read_are_not_kept_either(engine: Engine) -> None:
    async with engine.watch("default", "b") as watch:
        for number in range(6):
            await put(engine, f"k{number}", bytes(1 << 20))
        assert isinstance(await anext(watch), Resync)


async def test_a_large_state_comes_in_parts_and_what_changes_meanwhile_follows(engine: Engine) -> None:
    for start in range(0, 2_500, 500):
        await commit(engine, *(Put("b", f"k{key:05d}", b"old") for key in range(start, start + 500)))
    async with engine.watch("default", "b", from_revision=0) as watch:
        part = await anext(watch)
        assert isinstance(part, Resync)
        assert (part.first, part.last, len(part.records)) == (True, False, 1_000)
        assert watch.revision == 0
        copy = {record.key: record.value for record in part.records}
        await commit(engine, Delete("b", "k00001"), Put("b", "k00002", b"new"), Delete("b", "k02400"))
        until = await commit(engine, Put("b", "k02399", b"new"), Put("b", "z", b"new"))
        while watch.revision < until:
            item = await anext(watch)
            if isinstance(item, Resync):
                assert not item.first
                copy.update((record.key, record.value) for record in item.records)
            elif item.kind is ChangeKind.PUT:
                copy[item.key] = item.value
            else:
                copy.pop(item.key, None)
        assert copy == await contents(engine)


async def test_a_long_history_comes_page_by_page_in_order(engine: Engine) -> None:
    start = await put(engine, "start")
    for begin in range(0, 2_500, 500):
        last = await commit(engine, *(Put("b", f"k{key:05d}", b"") for key in range(begin, begin + 500)))
    async with engine.watch("default", "b", from_revision=start) as watch:
        seen = []
        while watch.revision < last:
            item = await anext(watch)
            assert isinstance(item, Change)
            seen.append(item.key)
        assert seen == [f"k{key:05d}" for key in range(2_500)]


async def test_one_who_resumes_within_a_commit_misses_nothing_of_it(engine: Engine) -> None:
    await put(engine, "before")
    async with engine.watch("default", "b") as watch:
        await commit(engine, Put("b", "a", b""), Put("b", "c", b""))
        assert isinstance(await anext(watch), Change)
        resume = watch.revision
    async with engine.watch("default", "b", from_revision=resume) as watch:
        keys = [item.key for item in (await anext(watch), await anext(watch)) if isinstance(item, Change)]
    assert keys == ["a", "c"]


async def test_a_mirror_that_breaks_off_and_resumes_under_load_ends_up_equal(engine: Engine) -> None:
    async def load(writer: int) -> None:
        for number in range(60):
            key = f"k{(writer * 7 + number) % 20}"
            await commit(engine, Delete("b", key) if number % 3 == 0 else Put("b", key, b"%d/%d" % (writer, number)))

    loads = [asyncio.ensure_future(load(writer)) for writer in range(8)]
    copy: dict[str, bytes] = {}
    revision = 0
    while not all(one.done() for one in loads):
        async with engine.watch("default", "b", from_revision=revision) as watch:
            for _ in range(10):
                try:
                    item = await asyncio.wait_for(anext(watch), 0.05)
                except TimeoutError:
                    break
                if isinstance(item, Resync):
                    copy = {record.key: record.value for record in item.records}
                elif item.kind is ChangeKind.PUT:
                    copy[item.key] = item.value
                else:
                    copy.pop(item.key, None)
            revision = watch.revision
    await asyncio.gather(*loads)
    until = await put(engine, "end")
    async with engine.watch("default", "b", from_revision=0) as watch:
        assert await mirror(watch, until) == await contents(engine)
    async with engine.watch("default", "b", from_revision=revision) as watch:
        while watch.revision < until:
            item = await anext(watch)
            assert isinstance(item, Change)
            if item.kind is ChangeKind.PUT:
                copy[item.key] = item.value
            else:
                copy.pop(item.key, None)
    assert copy == await contents(engine)


async def test_two_watches_both_see_all_and_one_that_ended_ends_its_reader(engine: Engine) -> None:
    async with engine.watch("default", "b") as one:
        async with engine.watch("default", "b") as two:
            revision = await put(engine, "k")
            assert (await anext(one)).revision == (await anext(two)).revision == revision
        assert [item async for item in two] == []


async def test_closing_the_engine_ends_watches_with_an_error_that_says_to_come_again(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        watch = engine.watch("default", "b")
        await watch.__aenter__()
        coming = asyncio.ensure_future(anext(watch))
        await put(engine, "k")
        await coming
        coming = asyncio.ensure_future(anext(watch))
        await turn()
    with pytest.raises(errors.ServiceUnavailable, match="watch again"):
        await coming
    await watch.__aexit__(None, None, None)
