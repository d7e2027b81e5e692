"""Contract of every engine: records, their revisions, preconditions, scans."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from microlite.core import errors
from microlite.core.clock import ManualClock
from microlite.core.engine.api import (
    MAX_BATCH_OPERATIONS,
    MAX_VALUE_BYTES,
    Batch,
    Check,
    Committed,
    Delete,
    Engine,
    Presence,
    Put,
    Record,
)
from tests.engine.engine_parts import OpenEngine, batch, commit, fill


@pytest.fixture
async def engine(open_engine: OpenEngine) -> AsyncIterator[Engine]:
    async with open_engine() as engine:
        yield engine


async def test_a_record_is_read_as_it_was_put_with_the_revision_of_its_commit(engine: Engine) -> None:
    revision = await commit(engine, Put("b", "k", b"\x00\xff", 2_000_000_000.5))
    assert revision > 0
    assert await engine.get("default", "b", "k") == Record("k", b"\x00\xff", revision, 2_000_000_000.5)


async def test_what_is_not_there_reads_as_none(engine: Engine) -> None:
    await fill(engine, "k")
    assert await engine.get("default", "b", "other") is None
    assert await engine.get("default", "other", "k") is None
    assert await engine.get("other", "b", "k") is None


async def test_revisions_grow_and_stay_after_a_restart(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        first = await fill(engine, "a")
        second = await fill(engine, "a")
    async with open_engine() as engine:
        record = await engine.get("default", "b", "a")
        third = await fill(engine, "b")
    assert record == Record("a", b"a", second)
    assert 0 < first < second < third


async def test_revisions_do_not_fall_back_when_the_last_record_is_deleted(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        await fill(engine, "a")
        deleted = await commit(engine, Delete("b", "a"))
    async with open_engine() as engine:
        assert await fill(engine, "a") > deleted


async def test_put_without_expiry_makes_a_record_stay(engine: Engine, clock: ManualClock) -> None:
    await engine.commit(batch(Put("b", "k", b"1", clock.now() + 10)))
    await engine.commit(batch(Put("b", "k", b"2")))
    clock.advance(20)
    record = await engine.get("default", "b", "k")
    assert record is not None
    assert record.value == b"2"


async def test_an_expired_record_is_gone_for_every_verb_at_its_very_time(engine: Engine, clock: ManualClock) -> None:
    await engine.commit(batch(Put("b", "k", b"1", clock.now() + 10), Put("b", "stays", b"")))
    clock.advance(9)
    assert await engine.count("default", "b") == 2
    clock.advance(1)
    assert await engine.get("default", "b", "k") is None
    assert await engine.get_many("default", "b", ["k"]) == (None,)
    assert await engine.count("default", "b") == 1
    assert [record.key for record in (await engine.scan("default", "b")).records] == ["stays"]
    with pytest.raises(errors.Conflict):
        await engine.commit(batch(Delete("b", "k", Presence.PRESENT)))
    await engine.commit(batch(Put("b", "k", b"2", expect=Presence.ABSENT)))
    record = await engine.get("default", "b", "k")
    assert record is not None
    assert record.value == b"2"


async def test_get_many_answers_in_the_order_asked_twice_for_a_repeated_key(engine: Engine) -> None:
    revision = await fill(engine, "a", "b", "ü")
    found = await engine.get_many("default", "b", ["ü", "none", "a", "ü"])
    umlaut, a = Record("ü", "ü".encode(), revision), Record("a", b"a", revision)
    assert found == (umlaut, None, a, umlaut)
    assert await engine.get_many("default", "b", []) == ()


async def test_get_many_refuses_more_bytes_than_a_page_may_have(engine: Engine) -> None:
    keys = [f"k{number}" for number in range(9)]
    for key in keys:
        await engine.commit(batch(Put("b", key, bytes(MAX_VALUE_BYTES))))
    assert len(await engine.get_many("default", "b", keys[:8])) == 8
    with pytest.raises(errors.PayloadTooLarge, match="fewer"):
        await engine.get_many("default", "b", keys)


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("suffix", ["", "t"])
async def test_pages_of_a_scan_put_together_are_the_whole_in_order(
    engine: Engine, limit: int, reverse: bool, suffix: str
) -> None:
    keys = ["a", "at", "b", "bat", "bit", "bot", "but", "c", "cut", "zü", "zü𝄞", "z￿t", "\U0010ffff", "\U0010fffft"]
    await fill(engine, *keys)
    await fill(engine, "bet", bucket="other")
    for prefix in ("", "b", "z", "\U0010ffff", "none"):
        found: list[str] = []
        after = ""
        while True:
            page = await engine.scan(
                "default", "b", prefix=prefix, suffix=suffix, after=after, limit=limit, reverse=reverse
            )
            assert len(page.records) <= limit
            found += [record.key for record in page.records]
            if page.cursor is None:
                break
            after = page.cursor
        wanted = sorted(key for key in keys if key.startswith(prefix) and key.endswith(suffix))
        assert found == (wanted[::-1] if reverse else wanted)
        assert await engine.count("default", "b", prefix=prefix, suffix=suffix) == len(wanted)


async def test_a_cursor_may_be_a_key_that_is_not_there(engine: Engine) -> None:
    await fill(engine, "a", "c", "e")
    assert [one.key for one in (await engine.scan("default", "b", after="b")).records] == ["c", "e"]
    assert [one.key for one in (await engine.scan("default", "b", after="d", reverse=True)).records] == ["c", "a"]


async def test_prefix_and_suffix_are_taken_literally(engine: Engine) -> None:
    await fill(engine, "a%b", "a_b", "axb", "A%B")
    assert [one.key for one in (await engine.scan("default", "b", prefix="a%")).records] == ["a%b"]
    assert [one.key for one in (await engine.scan("default", "b", suffix="_b")).records] == ["a_b"]
    assert await engine.count("default", "b", suffix="B") == 1


async def test_a_scan_for_keys_leaves_the_values_away(engine: Engine) -> None:
    revision = await fill(engine, "a")
    page = await engine.scan("default", "b", keys_only=True)
    assert page.records == (Record("a", b"", revision),)


async def test_a_page_ends_early_when_its_values_are_large_and_the_cursor_goes_on(engine: Engine) -> None:
    for number in range(10):
        await engine.commit(batch(Put("b", f"k{number}", bytes(MAX_VALUE_BYTES))))
    found, after = [], ""
    while True:
        page = await engine.scan("default", "b", after=after, limit=1000)
        assert 0 < len(page.records) < 10
        found += [record.key for record in page.records]
        if page.cursor is None:
            break
        after = page.cursor
    assert found == [f"k{number}" for number in range(10)]


async def test_a_page_has_all_that_was_committed_up_to_its_revision(engine: Engine) -> None:
    revision = await fill(engine, "a")
    assert (await engine.scan("default", "b")).revision == revision


async def test_counts_go_on_beyond_what_is_counted_at_once(engine: Engine) -> None:
    for start in range(0, 3_000, 1_000):
        await fill(engine, *(f"{number:05d}" for number in range(start, start + 1_000)))
    assert await engine.count("default", "b") == 3_000
    assert await engine.count("default", "b", prefix="01") == 1_000


async def test_buckets_are_those_that_hold_a_living_record(engine: Engine, clock: ManualClock) -> None:
    await fill(engine, "k", bucket="z")
    await fill(engine, "k", bucket="a")
    await fill(engine, "k", bucket="emptied")
    await engine.commit(batch(Put("expired", "k", b"", clock.now() + 1), Delete("emptied", "k"), Delete("never", "k")))
    await engine.commit(batch(Put("elsewhere", "k", b""), namespace="other"))
    clock.advance(1)
    assert await engine.buckets("default") == ("a", "z")
    assert await engine.buckets("nobody") == ()


@pytest.mark.parametrize("expect", [Presence.ABSENT, Presence.PRESENT, 1, None])
@pytest.mark.parametrize("state", ["absent", "present", "deleted"])
@pytest.mark.parametrize("kind", [Put, Delete, Check])
async def test_preconditions_hold_or_refuse_naming_the_key(
    engine: Engine, expect: object, state: str, kind: type
) -> None:
    revision = 0
    if state != "absent":
        revision = await fill(engine, "k")
    if state == "deleted":
        await engine.commit(batch(Delete("b", "k")))
    present = state == "present"
    if expect == 1:
        expect = revision or 1
    holds = {Presence.ABSENT: not present, Presence.PRESENT: present, None: True}.get(expect, present)  # type: ignore[call-overload]
    if kind is Check and expect is None:
        return
    operation = Put("b", "k", b"new", expect=expect) if kind is Put else kind("b", "k", expect)  # type: ignore[arg-type]
    before = await engine.get("default", "b", "k")
    if holds:
        await engine.commit(batch(operation))
        return
    with pytest.raises(errors.Conflict, match="b/k"):
        await engine.commit(batch(operation))
    assert await engine.get("default", "b", "k") == before


async def test_a_stale_revision_is_refused(engine: Engine) -> None:
    first = await fill(engine, "k")
    second = await fill(engine, "k")
    with pytest.raises(errors.Conflict, match=f"revision {first}, is at {second}"):
        await engine.commit(batch(Put("b", "k", b"", expect=first)))


async def test_a_batch_happens_wholly_or_not_at_all(engine: Engine) -> None:
    await fill(engine, "old")
    refused = batch(Put("b", "new", b""), Delete("b", "old"), Put("c", "new", b""), Check("b", "x", Presence.PRESENT))
    with pytest.raises(errors.Conflict, match="b/x"):
        await engine.commit(refused)
    assert [one.key for one in (await engine.scan("default", "b")).records] == ["old"]
    assert await engine.buckets("default") == ("b",)
    revision = await commit(engine, *refused.operations[:3])
    assert await engine.get("default", "b", "new") == Record("new", b"", revision)
    assert await engine.get("default", "c", "new") == Record("new", b"", revision)
    assert await engine.get("default", "b", "old") is None


async def test_what_changes_nothing_gets_the_last_revision_and_wakes_nobody(engine: Engine) -> None:
    revision = await fill(engine, "k")
    async with engine.watch("default", "b") as watch:
        assert await engine.commit(batch(Delete("b", "none"))) == Committed(revision)
        assert await engine.commit(batch(Check("b", "k", revision))) == Committed(revision)
        assert await engine.commit(batch()) == Committed(revision)
        later = await fill(engine, "k")
        assert (await anext(watch)).revision == later > revision


MALFORMED = [
    (batch(Put("b", "", b"")), errors.BadRequest, "empty"),
    (batch(Put("", "k", b"")), errors.BadRequest, "bucket"),
    (batch(Put("b", "k", b""), namespace=""), errors.BadRequest, "namespace"),
    (batch(Put("b", "k" * 513, b"")), errors.BadRequest, "512"),
    (batch(Put("b", "ü" * 257, b"")), errors.BadRequest, "514"),
    (batch(Put("b" * 129, "k", b"")), errors.BadRequest, "128"),
    (batch(Put("b", "a\0b", b"")), errors.BadRequest, "NUL"),
    (batch(Put("b", "\ud800", b"")), errors.BadRequest, "UTF-8"),
    (batch(Put("b", "k", bytes(MAX_VALUE_BYTES + 1))), errors.PayloadTooLarge, "b/k"),
    (batch(Put("b", "k", "text")), errors.BadRequest, "str, not bytes"),  # type: ignore[arg-type]
    (batch(Put("b", "k", b"", float("nan"))), errors.BadRequest, "no time"),
    (batch(Put("b", "k", b"", expect=0)), errors.BadRequest, "precondition"),
    (batch(Put("b", "k", b""), Check("b", "k", 1)), errors.BadRequest, "twice"),
    (batch(*(Delete("b", f"k{n}") for n in range(MAX_BATCH_OPERATIONS + 1))), errors.PayloadTooLarge, "1001"),
    (batch(*(Put("b", f"k{n}", bytes(MAX_VALUE_BYTES)) for n in range(9))), errors.PayloadTooLarge, "batch"),
]


@pytest.mark.parametrize(("malformed", "error", "word"), MALFORMED, ids=[word for _, _, word in MALFORMED])
async def test_a_malformed_batch_is_refused_before_anything_happens(
    engine: Engine, malformed: Batch, error: type[errors.Error], word: str
) -> None:
    with pytest.raises(error, match=word):
        await engine.commit(malformed)
    assert await engine.commit(batch()) == Committed(0)


async def test_limits_are_inclusive(engine: Engine) -> None:
    key = "k" * 512
    await engine.commit(batch(Put("b" * 128, key, bytes(MAX_VALUE_BYTES)), namespace="n" * 128))
    record = await engine.get("n" * 128, "b" * 128, key)
    assert record is not None
    assert len(record.value) == MAX_VALUE_BYTES
    await engine.commit(batch(*(Put("b", f"k{n}", b"") for n in range(MAX_BATCH_OPERATIONS))))


async def test_malformed_reads_are_refused(engine: Engine) -> None:
    with pytest.raises(errors.BadRequest, match="limit"):
        await engine.scan("default", "b", limit=0)
    with pytest.raises(errors.BadRequest, match="limit"):
        await engine.scan("default", "b", limit=1001)
    with pytest.raises(errors.BadRequest, match="cursor"):
        await engine.scan("default", "b", after="\0")
    with pytest.raises(errors.BadRequest, match="key"):
        await engine.get("default", "b", "")
    with pytest.raises(errors.BadRequest, match="1001 keys"):
        await engine.get_many("default", "b", ["k"] * 1001)
    with pytest.raises(errors.BadRequest, match="no revision"):
        engine.watch("default", "b", from_revision=-1)


async def test_a_closed_engine_says_so(open_engine: OpenEngine) -> None:
    async with open_engine() as engine:
        await fill(engine, "k")
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.get("default", "b", "k")
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await fill(engine, "k")
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.scan("default", "b", limit=1000)
    with pytest.raises(errors.ServiceUnavailable, match="closed"):
        await engine.watch("default", "b").__aenter__()
