"""Credit: the sender waits for room, the receiver gives it as it reads, and neither trusts the other."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.rpc.flow import CreditGate, ItemQueue
from tests.rpc.rpc_parts import turn


async def test_a_sender_waits_for_credit_and_one_item_may_overdraw_it() -> None:
    gate = CreditGate(100)
    await gate.wait()
    gate.take(1_000)
    waiting = asyncio.ensure_future(gate.wait())
    gate.give(964)
    await turn()
    assert not waiting.done()
    assert not gate.open
    gate.give(1)
    await waiting
    assert gate.open


async def test_several_senders_of_one_stream_are_all_woken_or_all_told() -> None:
    gate = CreditGate(0)
    waiting = [asyncio.ensure_future(gate.wait()) for _ in range(3)]
    await turn()
    waiting[0].cancel()
    await turn()
    gate.give(1)
    await asyncio.gather(*waiting[1:])
    gate.take(1)
    told = [asyncio.ensure_future(gate.wait()) for _ in range(2)]
    await turn()
    gate.close(errors.Canceled("enough"))
    assert [type(result) for result in await asyncio.gather(*told, return_exceptions=True)] == [errors.Canceled] * 2
    assert not gate.open


async def test_what_came_before_an_error_is_read_first() -> None:
    queue = ItemQueue(lambda size: None)
    queue.put(b"one")
    queue.end(errors.Timeout("late"))
    queue.put(b"after the end")
    assert await queue.get() == b"one"
    for _ in range(2):
        with pytest.raises(errors.Timeout):
            await queue.get()


async def test_a_reader_that_waits_is_woken_by_an_item_and_by_the_end() -> None:
    queue = ItemQueue(lambda size: None)
    reading = asyncio.ensure_future(queue.get())
    await turn()
    queue.put(b"x")
    assert await reading == b"x"
    readers = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    await turn()
    queue.end()
    assert await asyncio.gather(*readers) == [None, None]


async def test_a_sender_without_credit_is_cut_off_and_what_it_had_credit_for_is_read() -> None:
    queue = ItemQueue(lambda size: None, window=200)
    assert queue.put(bytes(36))
    assert queue.put(bytes(36))
    assert not queue.put(b"too much")
    assert queue.held == 200
    assert [await queue.get(), await queue.get()] == [bytes(36), bytes(36)]
    with pytest.raises(errors.BadRequest, match="more than it had credit for"):
        await queue.get()


@given(st.integers(1, 500), st.lists(st.integers(0, 400), max_size=60), st.randoms(use_true_random=False))
def test_an_honest_sender_is_never_cut_off_and_never_starves(window: int, sizes: list[int], random: object) -> None:
    """Whatever the window and the sizes, and however items and grants interleave, all items arrive."""
    choose = random.random  # type: ignore[attr-defined]  # random.Random, which hypothesis types as object
    grants: list[int] = []
    queue = ItemQueue(grants.append, window)
    gate = CreditGate(window)
    on_the_way: list[int] = []
    to_send = list(sizes)
    received = 0

    async def run() -> None:
        nonlocal received
        while received < len(sizes):
            moves = []
            if to_send and gate.open:
                moves.append("send")
            if on_the_way:
                moves.append("arrive")
            if queue.held:
                moves.append("read")
            if grants:
                moves.append("grant")
            assert moves, "nobody can move: the stream starved"
            match moves[int(choose() * len(moves))]:
                case "send":
                    gate.take(to_send[0])
                    on_the_way.append(to_send.pop(0))
                case "arrive":
                    assert queue.put(bytes(on_the_way.pop(0)))
                    assert queue.held <= window + 400 + 64
                case "read":
                    assert await queue.get() is not None
                    received += 1
                case _:
                    gate.give(grants.pop(0))

    asyncio.run(run())
