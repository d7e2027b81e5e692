"""`ctx.store`, as a service uses it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import microlite
from microlite.core import errors
from microlite.core.library.state.store import Change, Store
from microlite.core.store.api import ChangeKind
from microlite.testing import RunningPlatform
from tests.store.conftest import Holder, holder_of


class Order(msgspec.Struct, frozen=True):
    """A value with what JSON has no types for."""

    id: int
    paid: Decimal
    at: datetime
    photo: bytes = b""


@dataclass
class Plain:
    """Another kind of value."""

    name: str


ORDER = Order(7, Decimal("12.30"), datetime(2026, 11, 27, 16, tzinfo=UTC), b"\x00\xff")


async def test_a_value_comes_back_as_the_type_that_is_asked_for(holder: Holder) -> None:
    async def work(store: Store) -> None:
        for key, value, of in (
            ("order", ORDER, Order),
            ("plain", Plain("Ann"), Plain),
            ("bytes", b"\x00\x01", bytes),
            ("text", "a", str),
            ("list", [1, None, 2.5], list[Any]),
            ("maybe", None, int | None),
            ("time", ORDER.at, datetime),
        ):
            await store.write(key, value)
            assert await store.read(key, of) == value
        assert await store.read("order") == {"id": 7, "paid": "12.30", "at": ORDER.at, "photo": b"\x00\xff"}

    await holder.run(work)


async def test_a_value_of_another_type_is_refused_with_its_place(holder: Holder) -> None:
    async def work(store: Store) -> None:
        await store.write("order", {"id": "seven"})
        with pytest.raises(errors.Unprocessable, match=r"the value of 'order' is no Order: .*\$\.id"):
            await store.read("order", Order)

    await holder.run(work)


async def test_what_is_not_there_is_an_error_or_the_default(holder: Holder) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(errors.NotFound, match="there is no record 'a'"):
            await store.read("a")
        assert await store.read("a", int, default=None) is None
        assert await store.get("a") is None
        await store.delete("a")

    await holder.run(work)


async def test_each_service_has_a_database_of_its_own_and_can_share_one(
    platform: RunningPlatform, holder: Holder
) -> None:
    other = await holder_of(platform, "billing")
    await holder.run(lambda store: store.write("a", 1))
    assert await other.run(lambda store: store.get("a")) is None
    assert await other.run(lambda store: store.database("orders").read("a")) == 1
    await holder.run(lambda store: store.database("shared").table("prices").write("tea", 3))
    assert await other.run(lambda store: store.database("shared").table("prices").read("tea")) == 3
    assert await other.run(lambda store: store.databases()) == ["orders", "shared"]
    assert await other.run(lambda store: store.database("shared").tables()) == ["prices"]
    async with microlite.connect(platform.home) as m:
        await m.store.write("script", True)
        assert await m.store.databases() == ["default", "orders", "shared"]


async def test_a_revision_decides_who_writes(holder: Holder) -> None:
    async def work(store: Store) -> None:
        first = await store.write("a", 1, expect="absent")
        with pytest.raises(errors.Conflict):
            await store.write("a", 2, expect="absent")
        second = await store.write("a", 2, expect=first)
        with pytest.raises(errors.Conflict):
            await store.write("a", 3, expect=first)
        with pytest.raises(errors.Conflict):
            await store.delete("a", expect=first)
        record = await store.get("a", int)
        assert record is not None
        assert (record.value, record.revision) == (2, second)
        await store.delete("a", expect=second)
        assert await store.write_if_absent("b", 1) is not False
        assert await store.write_if_absent("b", 2) is False
        with pytest.raises(errors.Conflict):
            await store.write("c", 1, expect="present")
        with pytest.raises(errors.BadRequest, match="expect"):
            await store.write("c", 1, expect="missing")

    await holder.run(work)


async def test_a_record_goes_when_its_time_has_come(platform: RunningPlatform, holder: Holder) -> None:
    now = platform.clock.now()

    async def write(store: Store) -> None:
        await store.write("a", 1, ttl=10)
        await store.write("b", 1, ttl=timedelta(seconds=20))
        await store.write("c", 1, expires_at=datetime.fromtimestamp(now + 30, UTC))
        record = await store.get("c")
        assert record is not None
        assert record.expires_at == pytest.approx(now + 30)
        with pytest.raises(errors.BadRequest, match="time zone"):
            await store.write("d", 1, expires_at=datetime(2026, 1, 1))
        with pytest.raises(errors.BadRequest, match="ttl"):
            await store.write("d", 1, ttl=0)

    await holder.run(write)
    for seconds, left in ((9.0, ["a", "b", "c"]), (1.0, ["b", "c"]), (10.0, ["c"]), (10.0, [])):
        platform.advance(seconds)
        assert await holder.run(lambda store: store.list()) == left


async def test_increments_add_up_however_many_come_at_once(platform: RunningPlatform, holder: Holder) -> None:
    async def work(store: Store) -> None:
        sums = await asyncio.gather(*(store.increment("n") for _ in range(100)))
        assert sorted(sums) == list(range(1, 101))
        assert await store.increment("n", -0.5) == 99.5
        await store.write("text", "a")
        with pytest.raises(errors.BadRequest, match="no number"):
            await store.increment("text")
        await store.write("most", (1 << 63) - 1)
        with pytest.raises(errors.BadRequest, match="no number that can be kept"):
            await store.increment("most")
        await store.increment("window", ttl=60)

    await holder.run(work)
    platform.advance(30)
    assert await holder.run(lambda store: store.increment("window", ttl=60)) == 2
    platform.advance(31)
    assert await holder.run(lambda store: store.increment("window", ttl=60)) == 1


async def test_an_update_is_done_again_when_somebody_else_was_faster(holder: Holder) -> None:
    async def work(store: Store) -> None:
        async def add(number: int) -> None:
            await store.update("list", lambda old: [*old, number], default=[])

        await asyncio.gather(*map(add, range(8)))
        assert sorted(await store.read("list")) == list(range(8))

    await holder.run(work)


async def test_several_records_are_written_together_and_read_as_of_one_moment(holder: Holder) -> None:
    async def work(store: Store) -> None:
        revision = await store.write_many({"a": 1, "b": 2})
        assert await store.read_many(["b", "nothing", "a"], int) == {"b": 2, "a": 1}
        record = await store.get("a")
        assert record is not None
        assert record.revision == revision
        await store.delete_many(["a", "b", "a"])
        assert await store.count() == 0
        with pytest.raises(errors.PayloadTooLarge):
            await store.write_many({str(n): n for n in range(1001)})
        assert await store.count() == 0

    await holder.run(work)


async def test_pages_follow_one_another_without_being_asked_for(holder: Holder) -> None:
    async def work(store: Store) -> None:
        keys = [f"k/{n:04}" for n in range(1500)]
        await store.write_many(dict.fromkeys(keys[:1000], 0))
        await store.write_many(dict.fromkeys(keys[1000:], 0))
        assert [record.key async for record in store.scan(prefix="k/")] == keys
        assert await store.list("k/", order="desc", limit=1200, offset=100) == keys[::-1][100:1300]
        page = await store.page(prefix="k/", limit=2, offset=1)
        assert [record.key for record in page.records] == keys[1:3]
        following = await store.page(prefix="k/", limit=1, cursor=page.cursor or "")
        assert following.records[0].key == keys[3]

    await holder.run(work)


async def _next(changes: AsyncIterator[Change[Any]]) -> tuple[str, str, Any]:
    change = await anext(changes)
    return change.kind, change.key, change.value


async def test_a_watch_tells_what_happens_to_its_keys(platform: RunningPlatform) -> None:
    async with microlite.connect(platform.home) as m:
        store = m.store
        await store.write("o/1", {"id": 1})
        page = await store.page()
        changes = store.watch(prefix="o/", since=page.revision)
        await store.write("p", 1)
        await store.write("o/2", {"id": 2}, ttl=10)
        await store.delete("o/1")
        assert await _next(changes) == ("write", "o/2", {"id": 2})
        assert await _next(changes) == ("delete", "o/1", None)
        platform.advance(11)
        assert await _next(changes) == ("expire", "o/2", None)
        one = store.watch("o/3", since=page.revision)
        await store.write("o/33", 1)
        await store.write("o/3", 1)
        assert await _next(one) == ("write", "o/3", 1)


async def test_a_watch_can_begin_with_the_state(platform: RunningPlatform) -> None:
    async with microlite.connect(platform.home) as m:
        await m.store.write_many({"a": 1, "b": 2})
        changes = m.store.watch(state=True)
        assert [await _next(changes) for _ in range(4)] == [
            (ChangeKind.RESET, "", None),
            (ChangeKind.WRITE, "a", 1),
            (ChangeKind.WRITE, "b", 2),
            (ChangeKind.SYNCED, "", None),
        ]
        await m.store.write("c", 3)
        assert await _next(changes) == (ChangeKind.WRITE, "c", 3)


async def test_the_blocking_form_has_the_same(platform: RunningPlatform) -> None:
    def work() -> None:
        with microlite.connect(platform.home) as m:
            table = m.store.table("blocking")
            table.write_many({"a": 1, "b": 2})
            assert table.read("a", int) == 1
            assert [record.key for record in table.scan()] == ["a", "b"]
            assert table.update("a", lambda value: value + 1) == 2
            changes = iter(table.watch(state=True))
            assert [next(changes).kind for _ in range(4)] == ["reset", "write", "write", "synced"]
            changes.close()
            assert m.store.tables() == ["blocking"]

    await asyncio.to_thread(work)


def test_who_keeps_nothing_loads_nothing_of_it() -> None:
    script = "import sys; from microlite import Service, Context; Service('a'); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not [name for name in said.stdout.split() if "store" in name or "library.state" in name]


async def test_a_conflict_names_the_record_and_says_what_to_do(platform: RunningPlatform) -> None:
    async with microlite.connect(platform.home) as m:
        revision = await m.store.write("a", 1)
        with pytest.raises(errors.Conflict) as told:
            await m.store.write("a", 2, expect=revision + 1)
    assert told.value.detail == (
        f"the record 'a' expected at revision {revision + 1}, is at {revision}: read it again, and decide anew"
    )
