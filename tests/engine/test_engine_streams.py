"""Contract of every engine: streams, what appends to them, who waits for them, and what is trimmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import (
    MAX_BATCH_OPERATIONS,
    MAX_VALUE_BYTES,
    Append,
    Batch,
    Check,
    Engine,
    Entries,
    Entry,
    Presence,
    Put,
    Record,
    StreamState,
)
from tests.engine.engine_parts import OpenEngine, batch, commit, fill, turn


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    async with open_engine() as engine:
        yield engine


async def append(engine: Engine, *values: bytes, stream: str = "s") -> tuple[int, ...]:
    """Append in one batch; return the positions."""
    return (await engine.commit(batch(*(Append(stream, value) for value in values)))).positions


async def values_in(engine: Engine, stream: str = "s") -> list[bytes]:
    """All that is left in a stream, read page by page."""
    found: list[bytes] = []
    after = 0
    while True:
        page = await engine.read("default", stream, after=after, limit=1_000)
        found += [entry.value for entry in page.entries]
        if not page.more and len(page.entries) < 1_000:
            return found
        after = page.entries[-1].position


async def test_entries_are_read_as_they_were_appended_in_order(engine: Engine, clock: ManualClock) -> None:
    first = await append(engine, b"a", b"\x00")
    clock.advance(5)
    second = await append(engine, b"")
    positions = first + second
    assert positions[0] >= 1
    assert list(positions) == sorted(set(positions))
    now = clock.now()
    expected = tuple(map(Entry, positions, (now - 5, now - 5, now), (b"a", b"\x00", b"")))
    assert await engine.read("default", "s") == Entries(expected, more=False)
    assert await engine.read("default", "s", reverse=True) == Entries(expected[::-1], more=False)


async def test_positions_of_a_batch_stand_in_the_order_of_its_appends(engine: Engine) -> None:
    await append(engine, b"before", stream="t")
    operations = (Append("s", b"1"), Put("b", "k", b""), Append("t", b"2"), Append("s", b"3"))
    committed = await engine.commit(batch(*operations))
    one, two, three = committed.positions
    assert (await engine.read("default", "s")).entries == (
        Entry(one, (await engine.read("default", "s")).entries[0].at, b"1"),
        Entry(three, (await engine.read("default", "s")).entries[1].at, b"3"),
    )
    assert (await engine.read("default", "t", reverse=True, limit=1)).entries[0].position == two
    assert await engine.get("default", "b", "k") == Record("k", b"", committed.revision)


async def test_a_stream_that_never_was_is_empty(engine: Engine) -> None:
    assert await engine.read("default", "none") == Entries((), more=False)
    assert await engine.stream_state("default", "none") == StreamState(first=1, last=0, count=0, size=0)
    assert await engine.backlog("default", "none", 0) == 0
    assert await engine.find_position("default", "none", 0.0) == 0
    assert await engine.find_size_position("default", "none", 0) == 0
    assert await engine.streams("default") == ()
    await engine.trim("default", "none", 5)
    await engine.drop_stream("default", "none")
    assert (await append(engine, b"first", stream="none"))[0] >= 1


async def test_streams_of_different_names_and_namespaces_are_apart(engine: Engine) -> None:
    await append(engine, b"s", stream="s")
    await append(engine, b"t", stream="t")
    await engine.commit(batch(Append("s", b"other"), namespace="other"))
    assert await values_in(engine, "s") == [b"s"]
    assert await values_in(engine, "t") == [b"t"]
    assert [entry.value for entry in (await engine.read("other", "s")).entries] == [b"other"]
    assert (await engine.read("default", "s", after=(1 << 53) - 1)).entries == ()
    assert [
        entry.value for entry in (await engine.read("default", "s", after=(1 << 53) - 1, reverse=True)).entries
    ] == [b"s"]
    assert await engine.streams("default") == ("s", "t")
    assert await engine.streams("other") == ("s",)


async def test_a_refused_batch_appends_nothing_and_uses_no_position(engine: Engine) -> None:
    (before,) = await append(engine, b"1")
    with pytest.raises(errors.Conflict, match="b/k"):
        await engine.commit(batch(Append("s", b"x"), Append("new", b"x"), Check("b", "k", Presence.PRESENT)))
    assert await values_in(engine) == [b"1"]
    assert await engine.streams("default") == ("s",)
    good, bad, also_good = await asyncio.gather(
        engine.commit(batch(Append("s", b"2"))),
        engine.commit(batch(Append("s", b"x"), Append("new", b"x"), Check("b", "k", Presence.PRESENT))),
        engine.commit(batch(Append("s", b"3"))),
        return_exceptions=True,
    )
    assert isinstance(bad, errors.Conflict)
    assert not isinstance(good, BaseException)
    assert not isinstance(also_good, BaseException)
    assert await values_in(engine) == [b"1", b"2", b"3"]
    assert before < good.positions[0] < also_good.positions[0]
    assert await engine.streams("default") == ("s",)


async def test_an_append_gets_a_revision_that_stays_after_a_restart(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        first = await fill(engine, "k")
        second = await commit(engine, Append("s", b"1"))
        third = await commit(engine, Append("s", b"2"))
        assert first < second < third
    async with open_engine() as engine:
        assert (await engine.commit(batch())).revision == third
        (position,) = await append(engine, b"3")
        assert await fill(engine, "k") > third
        assert [entry.position for entry in (await engine.read("default", "s")).entries][-1] == position
        assert await values_in(engine) == [b"1", b"2", b"3"]


async def test_appends_do_not_disturb_a_watch_from_a_revision_of_theirs(engine: Engine) -> None:
    await fill(engine, "before")
    async with engine.watch("default", "b") as live:
        start = await commit(engine, Append("s", b"1"))
        middle = await commit(engine, Put("b", "a", b""), Append("s", b"2"))
        await commit(engine, Append("s", b"3"))
        end = await commit(engine, Append("s", b"4"))
        assert (await anext(live)).revision == middle
    async with engine.watch("default", "b", from_revision=start) as watch:
        item = await anext(watch)
        assert (item.revision, watch.revision) == (middle, middle)
    async with engine.watch("default", "b", from_revision=end) as watch:
        later = await fill(engine, "later")
        assert (await anext(watch)).revision == later


@pytest.mark.parametrize("limit", [1, 3, 300, 1_000])
@pytest.mark.parametrize("reverse", [False, True])
async def test_pages_put_together_are_the_whole_in_order(engine: Engine, limit: int, reverse: bool) -> None:
    wanted = [b"%d" % number for number in range(1_500 if limit > 100 else 20)]
    for start in range(0, len(wanted), 500):
        await append(engine, *wanted[start : start + 500])
    found: list[bytes] = []
    after = 0
    while True:
        page = await engine.read("default", "s", after=after, limit=limit, reverse=reverse)
        assert not page.more
        found += [entry.value for entry in page.entries]
        if len(page.entries) < limit:
            break
        after = page.entries[-1].position
    assert found == (wanted[::-1] if reverse else wanted)


@pytest.mark.parametrize("limit", [100, 1_000])
async def test_a_page_that_ends_for_its_size_says_so(engine: Engine, limit: int) -> None:
    for _ in range(10):
        await append(engine, bytes(MAX_VALUE_BYTES))
    positions: list[int] = []
    while True:
        page = await engine.read("default", "s", after=positions[-1] if positions else 0, limit=limit)
        assert 0 < len(page.entries) < 10
        positions += [entry.position for entry in page.entries]
        if not page.more:
            break
    assert len(positions) == len(set(positions)) == 10


async def test_state_and_backlog_count_what_is_left(engine: Engine) -> None:
    positions = await append(engine, b"1", b"22", b"333", b"4444")
    state = await engine.stream_state("default", "s")
    assert state == StreamState(positions[0], positions[-1], 4, 10)
    assert [await engine.backlog("default", "s", after) for after in (0, *positions)] == [4, 3, 2, 1, 0]
    await engine.trim("default", "s", positions[1])
    assert await engine.stream_state("default", "s") == StreamState(positions[2], positions[-1], 2, 7)
    assert [await engine.backlog("default", "s", after) for after in (0, *positions)] == [2, 2, 2, 1, 0]


async def test_a_position_is_found_by_time(engine: Engine, clock: ManualClock) -> None:
    start = clock.now()
    positions: list[int] = []
    for number in range(20):
        positions += await append(engine, b"%d" % number, b"")
        clock.advance(10)
    for number in range(20):
        after = await engine.find_position("default", "s", start + 10 * number)
        assert [one.position for one in (await engine.read("default", "s", after=after)).entries] == positions[
            2 * number :
        ]
        assert await engine.find_position("default", "s", start + 10 * number - 5) == after
    assert await engine.find_position("default", "s", clock.now()) == positions[-1]
    await engine.trim("default", "s", positions[5])
    after = await engine.find_position("default", "s", 0.0)
    assert [one.position for one in (await engine.read("default", "s", after=after)).entries] == positions[6:]


async def test_the_position_behind_which_no_more_than_a_size_is_left(engine: Engine) -> None:
    sizes = [3, 0, 5, 1, 0, 0, 4, 2]
    positions = await append(engine, *(b"x" * size for size in sizes))
    await engine.commit(batch(Append("other", b"x" * 100)))
    await engine.trim("default", "s", positions[1])
    for most in range(20):
        through = await engine.find_size_position("default", "s", most)
        left = [size for position, size in zip(positions[2:], sizes[2:], strict=True) if position > through]
        assert sum(left) <= most
        if through >= positions[2]:  # one more would be too much
            first = max(number for number, position in enumerate(positions) if position <= through)
            assert sum(left) + sizes[first] > most
    assert await engine.find_size_position("default", "s", 12) < positions[2]
    await engine.trim("default", "s", positions[-1])
    assert await engine.find_size_position("default", "s", 0) >= positions[-1]


async def test_times_never_fall_within_a_stream(
    engine: Engine, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(engine, b"1")
    at = clock.now()
    monkeypatch.setattr(clock, "now", lambda: at - 100)
    await append(engine, b"2")
    assert [entry.at for entry in (await engine.read("default", "s")).entries] == [at, at]


async def test_what_is_trimmed_is_gone_at_once_and_its_positions_are_not_given_out_again(
    open_engine: OpenEngine,
) -> None:
    async with open_engine() as engine:
        positions = await append(engine, b"1", b"2", b"3")
        await engine.trim("default", "s", positions[0])
        assert await values_in(engine) == [b"2", b"3"]
        assert [entry.value for entry in (await engine.read("default", "s", reverse=True)).entries] == [b"3", b"2"]
        await engine.trim("default", "s", 0)  # what is trimmed already stays so
        await engine.trim("default", "s", positions[2] + 1_000)
        assert await values_in(engine) == []
        state = await engine.stream_state("default", "s")
        assert state == StreamState(positions[2] + 1, positions[2], 0, 0)
    async with open_engine() as engine:
        assert await engine.stream_state("default", "s") == state
        assert await engine.streams("default") == ("s",)
        assert (await append(engine, b"4"))[0] > positions[2]
        assert await values_in(engine) == [b"4"]
        assert (await engine.stream_state("default", "s")).size == 1


async def test_a_dropped_stream_is_gone_and_one_of_its_name_goes_on_behind_it(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        positions = await append(engine, b"1", b"2")
        await append(engine, b"t", stream="t")
        await engine.drop_stream("default", "s")
        assert await engine.streams("default") == ("t",)
        assert await values_in(engine) == []
    async with open_engine() as engine:
        assert await engine.streams("default") == ("t",)
        later = await append(engine, b"3")
        assert later[0] > positions[-1]
        assert await engine.streams("default") == ("s", "t")
        assert await values_in(engine) == [b"3"]
        assert await engine.stream_state("default", "s") == StreamState(later[0], later[0], 1, 1)


async def test_trims_and_appends_that_wait_together_happen_in_their_order(engine: Engine) -> None:
    await append(engine, b"1")
    await asyncio.gather(
        append(engine, b"2"),
        engine.drop_stream("default", "s"),
        append(engine, b"3"),
        engine.trim("default", "t", 9),
    )
    assert await values_in(engine) == [b"3"]


async def test_a_tail_tells_at_once_what_is_there_and_waits_for_what_comes(engine: Engine) -> None:
    (first,) = await append(engine, b"1")
    async with engine.tail("default", "s") as tail:
        assert await tail.moved(0) == first
        coming = asyncio.ensure_future(tail.moved(first))
        await append(engine, b"other", stream="t")
        with pytest.raises(errors.Conflict):
            await engine.commit(batch(Append("s", b"x"), Check("b", "k", Presence.PRESENT)))
        await turn()
        assert not coming.done()
        positions = await append(engine, b"2", b"3")
        assert await coming == positions[-1]
        # What came between two waits is not missed.
        (later,) = await append(engine, b"4")
        assert await tail.moved(positions[-1]) == later


async def test_several_may_wait_on_one_tail_and_one_that_gives_up_disturbs_nobody(engine: Engine) -> None:
    async with engine.tail("default", "s") as tail:
        waiting = [asyncio.ensure_future(tail.moved(0)) for _ in range(3)]
        far = asyncio.ensure_future(tail.moved(1_000))
        await turn()
        waiting[0].cancel()
        (position,) = await append(engine, b"1")
        assert await asyncio.gather(*waiting[1:]) == [position, position]
        assert not far.done()
        far.cancel()


async def test_a_tail_does_not_tell_of_an_entry_before_it_can_be_read(engine: Engine) -> None:
    async with engine.tail("default", "s") as tail:
        appending = [asyncio.ensure_future(append(engine, b"%d" % number)) for number in range(50)]
        seen: list[bytes] = []
        after = 0
        while len(seen) < 50:
            last = await tail.moved(after)
            page = await engine.read("default", "s", after=after)
            seen += [entry.value for entry in page.entries]
            after = page.entries[-1].position
            assert after >= last
        await asyncio.gather(*appending)
    assert seen == [b"%d" % number for number in range(50)]


async def test_who_reads_page_after_page_lets_others_have_their_turn(engine: Engine) -> None:
    for _ in range(5):
        await append(engine, *(b"" for _ in range(1_000)))
    await fill(engine, *(f"k{number:04}" for number in range(1_000)))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await turn()

    counting = asyncio.ensure_future(count_turns())
    position = pages = 0
    async with engine.tail("default", "s") as tail:
        while position < 5_000:
            await tail.moved(position)
            position = (await engine.read("default", "s", after=position)).entries[-1].position
            pages += 1
    assert turns >= pages == 50
    turns, after, pages = 0, "", 0
    while True:
        page = await engine.scan("default", "b", after=after)
        pages += 1
        if page.cursor is None:
            break
        after = page.cursor
    assert turns >= pages - 1 == 9
    counting.cancel()


async def test_closing_the_engine_ends_a_tail(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        tail = engine.tail("default", "s")
        await tail.__aenter__()
        coming = asyncio.ensure_future(tail.moved(0))
        await turn()
    with pytest.raises(errors.ServiceUnavailable, match="closing"):
        await coming
    await tail.__aexit__(None, None, None)
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.tail("default", "s").__aenter__()
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.trim("default", "s", 1)
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.read("default", "s")


async def test_a_tail_that_was_left_ends_who_still_waits(engine: Engine) -> None:
    async with engine.tail("default", "s") as tail:
        coming = asyncio.ensure_future(tail.moved(0))
        await turn()
    with pytest.raises(errors.ServiceUnavailable):
        await coming


async def test_what_is_malformed_is_refused_before_anything_happens(engine: Engine) -> None:
    for operations, error, word in (
        ((Append("", b""),), errors.BadRequest, "stream"),
        ((Append("s" * 129, b""),), errors.BadRequest, "128"),
        ((Append("s", "text"),), errors.BadRequest, "str, not bytes"),  # type: ignore[arg-type]
        ((Append("s", bytes(MAX_VALUE_BYTES + 1)),), errors.PayloadTooLarge, "entry of s"),
        (tuple(Append("s", b"") for _ in range(MAX_BATCH_OPERATIONS + 1)), errors.PayloadTooLarge, "1001"),
        (tuple(Append("s", bytes(MAX_VALUE_BYTES)) for _ in range(9)), errors.PayloadTooLarge, "batch"),
    ):
        with pytest.raises(error, match=word):
            await engine.commit(batch(*operations))
    with pytest.raises(errors.BadRequest, match="limit"):
        await engine.read("default", "s", limit=1_001)
    with pytest.raises(errors.BadRequest, match="position"):
        await engine.read("default", "s", after=-1)
    with pytest.raises(errors.BadRequest, match="position"):
        await engine.trim("default", "s", -1)
    with pytest.raises(errors.BadRequest, match="stream"):
        engine.tail("default", "")
    with pytest.raises(errors.BadRequest, match="time"):
        await engine.find_position("default", "s", float("nan"))
    with pytest.raises(errors.BadRequest, match="size"):
        await engine.find_size_position("default", "s", -1)
    assert await engine.streams("default") == ()
    await engine.commit(batch(*(Append("s" * 128, b"") for _ in range(MAX_BATCH_OPERATIONS))))


async def test_a_tail_is_told_the_entries_of_each_commit_before_who_made_it_goes_on(engine: Engine) -> None:
    told: list[tuple[int, list[tuple[int, bytes]]]] = []

    def on_entries(before: int, entries: Sequence[Entry]) -> None:
        told.append((before, [(entry.position, entry.value) for entry in entries]))

    await engine.commit(Batch("n", (Append("s", b"0"),)))
    async with engine.tail("n", "s", on_entries):
        committed = await engine.commit(Batch("n", (Append("s", b"1"), Append("other", b"x"), Append("s", b"2"))))
        assert told == [(1, [(committed.positions[0], b"1"), (committed.positions[2], b"2")])]
        page = await engine.read("n", "s", after=1)
        assert [(entry.position, entry.value) for entry in page.entries] == told[0][1]
    await engine.commit(Batch("n", (Append("s", b"3"),)))
    assert len(told) == 1


async def test_a_follower_that_fails_harms_nobody(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def on_entries(before: int, entries: Sequence[Entry]) -> None:
        raise ValueError("a fault")

    async with engine.tail("n", "s", on_entries) as tail:
        await engine.commit(Batch("n", (Append("s", b"1"),)))
        assert await tail.moved(0) == 1
    assert "following n/s failed" in caplog.text
