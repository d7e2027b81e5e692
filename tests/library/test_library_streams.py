"""Streams in all four directions, from functions on the loop and in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from microlite import Context, Service, errors

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
def numbers() -> Service:
    """Each direction twice: asynchronous, and plain with the ending `-plain`."""
    service = Service("numbers")

    @service.endpoint
    async def count(ctx: Context, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @service.endpoint
    def count_plain(ctx: Context, to: int) -> Iterator[int]:
        yield from range(to)

    @service.endpoint
    async def total(ctx: Context, numbers: AsyncIterator[int], start: int = 0) -> int:
        async for number in numbers:
            start += number
        return start

    @service.endpoint
    def total_plain(numbers: Iterator[int], start: int = 0) -> int:
        return start + sum(numbers)

    @service.endpoint
    async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @service.endpoint
    def double_plain(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number

    @service.endpoint
    async def one() -> int:
        return 1

    @service.endpoint
    def one_plain() -> int:
        return 1

    return service


@pytest.mark.parametrize("ending", ["", "-plain"])
async def test_a_server_streams(platform: RunningPlatform, numbers: Service, ending: str) -> None:
    await platform.serve(numbers)
    assert [n async for n in platform.stream(f"numbers.count{ending}", to=500)] == list(range(500))
    assert [n async for n in platform.stream(f"numbers.count{ending}", to=0)] == []


@pytest.mark.parametrize("ending", ["", "-plain"])
async def test_a_client_streams(platform: RunningPlatform, numbers: Service, ending: str) -> None:
    await platform.serve(numbers)
    async with platform.stream(f"numbers.total{ending}", start=5) as stream:
        for number in range(500):
            await stream.send(number)
        assert await stream.reply() == 5 + sum(range(500))


@pytest.mark.parametrize("ending", ["", "-plain"])
async def test_both_sides_stream_in_turn(platform: RunningPlatform, numbers: Service, ending: str) -> None:
    await platform.serve(numbers)
    async with platform.stream(f"numbers.double{ending}") as stream:
        answers = aiter(stream)
        for number in range(50):
            await stream.send(number)
            assert await anext(answers) == 2 * number
        await stream.close_send()
        with pytest.raises(StopAsyncIteration):
            await anext(answers)


@pytest.mark.parametrize("ending", ["", "-plain"])
async def test_one_answer_read_as_a_stream_is_a_stream_of_one(
    platform: RunningPlatform, numbers: Service, ending: str
) -> None:
    await platform.serve(numbers)
    assert [n async for n in platform.stream(f"numbers.one{ending}")] == [1]


async def test_a_stream_called_as_if_it_had_one_answer_is_refused(platform: RunningPlatform, numbers: Service) -> None:
    await platform.serve(numbers)
    with pytest.raises(errors.BadRequest, match="answers with a stream"):
        await platform.call("numbers.count", to=3)


@pytest.mark.parametrize("ending", ["", "-plain"])
async def test_an_item_that_does_not_fit_is_refused_by_name(
    platform: RunningPlatform, numbers: Service, ending: str
) -> None:
    await platform.serve(numbers)
    async with platform.stream(f"numbers.total{ending}") as stream:
        await stream.send("seven")
        with pytest.raises(errors.BadRequest, match="item"):
            await stream.reply()


async def test_an_error_in_the_middle_comes_after_the_items_before_it(platform: RunningPlatform) -> None:
    service = Service("feed")

    @service.endpoint
    async def read() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise errors.Conflict("the feed was cut")

    @service.endpoint
    def read_plain() -> Iterator[int]:
        yield 1
        raise ValueError("an inner matter")

    await platform.serve(service)
    stream = aiter(platform.stream("feed.read"))
    assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(errors.Conflict, match="the feed was cut"):
        await anext(stream)
    with pytest.raises(errors.InternalServerError) as caught:
        assert [item async for item in platform.stream("feed.read-plain")] == [1]
    assert "inner" not in caught.value.detail


async def test_leaving_the_loop_ends_the_stream_at_its_source(platform: RunningPlatform) -> None:
    service = Service("clock")
    ended = asyncio.Event()

    @service.endpoint
    async def ticks() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            ended.set()

    await platform.serve(service)
    async for tick in platform.stream("clock.ticks"):
        if tick == 3:
            break
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_plain_generator_is_closed_when_its_reader_leaves(platform: RunningPlatform) -> None:
    service = Service("clock")
    closed = threading.Event()
    waiting = threading.Event()
    go_on = threading.Event()

    @service.endpoint
    def ticks() -> Iterator[int]:
        try:
            yield 1
            waiting.set()
            go_on.wait(10)  # in the midst of the next item when the reader leaves
            yield 2
        finally:
            closed.set()

    await platform.serve(service)
    async with platform.stream("clock.ticks") as stream:
        assert await anext(aiter(stream)) == 1
        assert await asyncio.to_thread(waiting.wait, 5)
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 5)


async def test_a_plain_function_that_waits_for_items_ends_when_the_caller_leaves(platform: RunningPlatform) -> None:
    service = Service("sink")
    ended = threading.Event()
    begun = threading.Event()

    @service.endpoint
    def drink(items: Iterator[int]) -> int:
        try:
            for _ in items:
                begun.set()
        finally:
            ended.set()
        return 0

    await platform.serve(service)
    async with platform.stream("sink.drink") as stream:
        await stream.send(1)
        assert await asyncio.to_thread(begun.wait, 5)
    assert await asyncio.to_thread(ended.wait, 5)


async def test_a_reader_that_does_not_read_holds_up_its_source(platform: RunningPlatform) -> None:
    service = Service("flood")
    made = 0
    held_up = asyncio.Event()

    @service.endpoint
    async def pour() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(10_000)

    @service.endpoint
    async def ping() -> None:
        held_up.set()

    await platform.serve(service)
    async with platform.stream("flood.pour") as stream:
        items = aiter(stream)
        await anext(items)
        made_before = -1
        while made_before != made:  # until a whole round trip brought no item more
            made_before = made
            await platform.call("flood.ping")
        assert made * 10_000 < 2_000_000
        for _ in range(made):
            await anext(items)
        await platform.call("flood.ping")
        assert made > made_before


async def test_a_writer_is_held_up_by_a_service_that_does_not_read(platform: RunningPlatform) -> None:
    service = Service("slow")
    read = asyncio.Event()

    @service.endpoint
    async def take(items: AsyncIterator[bytes]) -> int:
        await read.wait()
        return len([item async for item in items])

    @service.endpoint
    async def ping() -> None:
        return None

    await platform.serve(service)
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < 1_000:
            await stream.send(bytes(10_000))
            sent += 1

    async with platform.stream("slow.take") as stream:
        sending = asyncio.create_task(send())
        before = -1
        while before != sent or not sent:
            before = sent
            await platform.call("slow.ping")
        assert sent * 10_000 < 2_000_000
        read.set()
        await sending
        assert await stream.reply() == 1_000


async def test_sending_on_after_the_service_has_answered_says_so(platform: RunningPlatform) -> None:
    service = Service("hasty")

    @service.endpoint
    async def first(items: AsyncIterator[int]) -> int:
        async for item in items:
            return item
        return -1

    await platform.serve(service)
    async with platform.stream("hasty.first") as stream:
        await stream.send(4)
        while not stream._call.ended:  # until the answer is there
            await asyncio.sleep(0)
        with pytest.raises(errors.Canceled, match="reads no further"):
            await stream.send(5)
        assert await stream.reply() == 4
