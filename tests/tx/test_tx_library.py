"""`ctx.transaction()` and `ctx.transact()`, as a service and a script use them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import microlite
from microlite import errors

if TYPE_CHECKING:
    from microlite.core.library.caller import Caller
    from microlite.testing import RunningPlatform


@dataclass(frozen=True)
class Order:
    """Something that is stored."""

    id: str
    amount: int = 1


async def test_all_changes_are_there_when_the_block_was_left(m: Caller) -> None:
    await m.store.write("gone", 1)
    async with m.transaction() as tx:
        tx.store.write("a", Order("a"))
        tx.store.table("orders").write("b", [1, 2], ttl=60)
        tx.store.delete("gone")
    assert await m.store.read("a", Order) == Order("a")
    assert await m.store.table("orders").read("b") == [1, 2]
    assert await m.store.get("gone") is None
    record = await m.store.get("a")
    assert record is not None
    assert record.revision == tx.revision > 0


async def test_an_exception_forgets_everything(m: Caller) -> None:
    tx = m.transaction()

    async def fail() -> None:
        async with tx:
            tx.store.write("a", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await m.store.get("a") is None
    with pytest.raises(errors.BadRequest, match="this transaction is over"):
        tx.store.write("a", 1)


async def test_it_sees_its_own_changes(m: Caller) -> None:
    await m.store.write("a", 1)
    async with m.transaction() as tx:
        assert await tx.store.read("a") == 1
        tx.store.write("a", Order("x"))
        assert await tx.store.read("a", Order) == Order("x")
        tx.store.delete("a")
        assert await tx.store.read("a", default=None) is None
        with pytest.raises(errors.NotFound, match="no record 'a'"):
            await tx.store.read("a")
        assert await tx.store.increment("n", 2) == 2
        assert await tx.store.increment("n") == 3
        assert await tx.store.read_many(["a", "n", "z"]) == {"n": 3}
    assert await m.store.read("n") == 3
    assert await m.store.get("a") is None


async def test_a_value_is_taken_as_it_is_when_it_is_written(m: Caller) -> None:
    items = ["tea"]
    async with m.transaction() as tx:
        await tx.store.write("items", items)  # awaiting it does no harm
        items.append("honey")
    assert await m.store.read("items") == ["tea"]


@pytest.mark.parametrize("there", [True, False])
async def test_what_was_read_must_be_unchanged_at_the_commit(m: Caller, there: bool) -> None:
    if there:
        await m.store.write("read", 1)
    tx = m.transaction()
    await tx.store.read("read", default=None)
    tx.store.write("written", 1)
    await m.store.write("read", 2)
    with pytest.raises(errors.Conflict, match=r"store/default/default/read.*nothing of the transaction took place"):
        await tx.commit()
    assert await m.store.get("written") is None


async def test_what_was_written_unread_wins(m: Caller) -> None:
    async with m.transaction() as tx:
        tx.store.write("a", "ours")
        await m.store.write("a", "theirs")
    assert await m.store.read("a") == "ours"


async def test_an_expectation_of_its_own_holds_too(m: Caller) -> None:
    revision = await m.store.write("a", 1)
    async with m.transaction() as tx:
        tx.store.write("a", 2, expect=revision)
        tx.store.write("b", 2, expect="absent")
    tx = m.transaction()
    tx.store.write("b", 3, expect="absent")
    with pytest.raises(errors.Conflict, match="store/default/default/b"):
        await tx.commit()
    tx = m.transaction()
    await tx.store.read("a")
    with pytest.raises(errors.Conflict, match="'a' is at revision"):
        tx.store.write("a", 3, expect=revision)


async def test_two_reads_that_no_moment_had_are_a_conflict(m: Caller) -> None:
    """Also where nothing is written: what a transaction has read was there at the same time."""
    await m.store.write_many({"a": 1, "b": 1})
    tx = m.transaction()
    await tx.store.read("a")
    await m.store.write_many({"a": 2, "b": 2})
    await tx.store.read("b")
    with pytest.raises(errors.Conflict):
        await tx.commit()
    async with m.transaction() as tx:
        await tx.store.read("a")
    assert tx.revision == 0  # one record alone was as it was read


async def test_transact_runs_again_until_it_was_first(m: Caller) -> None:
    await m.store.write("n", 0)
    runs = 0

    async def add(tx: Any) -> int:
        nonlocal runs
        runs += 1
        number: int = await tx.store.read("n", int)
        await asyncio.sleep(0)
        tx.store.write("n", number + 1)
        return number + 1

    sums = await asyncio.gather(*(m.transact(add, tries=50) for _ in range(8)))
    assert sorted(sums) == list(range(1, 9))
    assert await m.store.read("n") == 8
    assert runs > 8


async def test_transact_gives_up_with_the_conflict(m: Caller) -> None:
    runs = 0

    async def disturbed(tx: Any) -> None:
        nonlocal runs
        runs += 1
        await tx.store.read("a", default=None)
        tx.store.write("b", 1)
        await m.store.write("a", runs)

    with pytest.raises(errors.Conflict, match="store/default/default/a"):
        await m.transact(disturbed, tries=3)
    assert runs == 3


async def test_a_conflict_of_the_function_itself_is_not_tried_again(m: Caller) -> None:
    runs = 0

    async def refuse(tx: Any) -> None:
        nonlocal runs
        runs += 1
        raise errors.Conflict("there is such an order")

    with pytest.raises(errors.Conflict, match="such an order"):
        await m.transact(refuse)
    assert runs == 1


async def test_of_several_with_one_id_the_first_takes_place(m: Caller) -> None:
    for number in range(3):
        async with m.transaction(id="order-7") as tx:
            tx.store.write("a", number)
        assert tx.repeated is (number > 0)
    assert await m.store.read("a") == 0
    record = await m.store.get("a")
    assert record is not None
    assert record.revision == tx.revision
    assert (await m.call("tx.outcome", id="order-7"))["revision"] == tx.revision
    with pytest.raises(errors.NotFound, match="no transaction 'order-8'"):
        await m.call("tx.outcome", id="order-8")


async def test_a_script_and_a_plain_function_use_the_blocking_form(platform: RunningPlatform) -> None:
    def script() -> list[Any]:
        with microlite.connect(platform.home) as m:
            with m.transaction() as tx:
                tx.store.write("a", 1)
                assert tx.store.read("a") == 1
            seen = [m.store.read("a") == 1, tx.revision > 0]

            def add(tx: Any) -> int:
                number: int = tx.store.read("a")
                tx.store.table("t").write("b", number)
                return number + 1

            return [*seen, m.transact(add), m.store.table("t").read("b")]

    assert await asyncio.to_thread(script) == [True, True, 2, 1]


async def test_too_much_is_refused_in_words(m: Caller) -> None:
    tx = m.transaction()
    for number in range(1001):
        tx.store.write(f"{number}", 1)
    with pytest.raises(errors.PayloadTooLarge, match="1001 operations are too many for one transaction"):
        await tx.commit()
    for size in (900_000, 2_000_000):
        tx = m.transaction()
        for number in range(10):
            tx.store.write(f"{number}", b"x" * size)
        with pytest.raises(errors.PayloadTooLarge, match="bytes are too many"):
            await tx.commit()
    assert await m.store.list() == []


async def test_what_cannot_be_is_said_with_its_place(m: Caller) -> None:
    tx = m.transaction()
    tx.store.write("a", 1)
    tx.store.table("a b").write("a", 1)
    with pytest.raises(errors.BadRequest, match=r"operations\[1\]: .* is no name for a table"):
        await tx.commit()
    with pytest.raises(errors.BadRequest, match="no event is being handled here"):
        m.transaction().ack()
    assert await m.store.list() == []
