"""What travels with a call: deadline, cancellation, metadata, trace; and what its log lines carry."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Context, Service, errors
from microlite.core.context import parse_traceparent
from microlite.core.library.log_format import LineFormat

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
def chain() -> tuple[Service, Service, Service]:
    """Three services in a row: `first` calls `second` calls `third`; each says what it saw."""
    first, second, third = Service("first"), Service("second"), Service("third")

    def seen(ctx: Context) -> dict[str, Any]:
        return {"metadata": dict(ctx.metadata), "deadline": ctx.deadline, "trace": str(ctx.trace)}

    @first.endpoint(name="look")
    async def look_first(ctx: Context) -> list[dict[str, Any]]:
        return [seen(ctx), *await ctx.call("second.look")]

    @second.endpoint(name="look")
    def look_second(ctx: Context) -> list[dict[str, Any]]:
        return [seen(ctx), *ctx.sync.call("third.look")]

    @third.endpoint(name="look")
    async def look_third(ctx: Context) -> list[dict[str, Any]]:
        return [seen(ctx)]

    return first, second, third


async def serve_all(platform: RunningPlatform, services: tuple[Service, ...]) -> None:
    for service in services:
        await platform.serve(service)


async def test_metadata_goes_through_all_services(
    platform: RunningPlatform, chain: tuple[Service, Service, Service]
) -> None:
    await serve_all(platform, chain)
    seen = await platform.options(metadata={"X-Tenant": "blue", "lang": "de"}).call("first.look")
    assert [{"x-tenant": one["metadata"]["x-tenant"], "lang": one["metadata"]["lang"]} for one in seen] == [
        {"x-tenant": "blue", "lang": "de"}
    ] * 3


async def test_a_trace_goes_through_all_services_with_a_span_for_each(
    platform: RunningPlatform, chain: tuple[Service, Service, Service]
) -> None:
    await serve_all(platform, chain)
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traces = [
        parse_traceparent(one["trace"])
        for one in await platform.options(metadata={"traceparent": given}).call("first.look")
    ]
    assert [trace.trace_id for trace in traces if trace is not None] == ["0af7651916cd43dd8448eb211c80319c"] * 3
    spans = {trace.span_id for trace in traces if trace is not None}
    assert len(spans) == 3
    assert "b7ad6b7169203331" not in spans


@pytest.mark.parametrize("given", [None, "00-zz-zz-01", "nonsense"])
async def test_without_a_valid_trace_a_new_one_begins_and_is_carried_on(
    platform: RunningPlatform, chain: tuple[Service, Service, Service], given: str | None
) -> None:
    await serve_all(platform, chain)
    caller = platform.options(metadata={"traceparent": given}) if given else platform.options()
    traces = [parse_traceparent(one["trace"]) for one in await caller.call("first.look")]
    assert None not in traces
    assert len({trace.trace_id for trace in traces if trace is not None}) == 1


async def test_options_of_a_context_carry_its_own_span(platform: RunningPlatform) -> None:
    outer, inner = Service("outer"), Service("inner")

    @outer.endpoint
    async def look(ctx: Context) -> list[str]:
        return [str(ctx.trace), await ctx.options(metadata={"a": "b"}).call("inner.look")]

    @inner.endpoint(name="look")
    async def look_inside(ctx: Context) -> str:
        assert ctx.metadata["a"] == "b"
        return ctx.metadata["traceparent"]

    await serve_all(platform, (outer, inner))
    mine, theirs = await platform.call("outer.look")
    assert mine == theirs


async def test_the_deadline_shrinks_on_its_way(
    platform: RunningPlatform, chain: tuple[Service, Service, Service]
) -> None:
    await serve_all(platform, chain)
    deadlines = [one["deadline"] for one in await platform.options(timeout=5).call("first.look")]
    assert all(0 < deadline <= 5 for deadline in deadlines)
    assert deadlines == sorted(deadlines, reverse=True)


async def test_without_a_limit_a_call_has_no_deadline(platform: RunningPlatform) -> None:
    service = Service("calm")

    @service.endpoint
    async def deadline(ctx: Context) -> float | None:
        return ctx.deadline

    await platform.serve(service)
    assert await platform.options(timeout=math.inf).call("calm.deadline") is None
    assert 29 < await platform.call("calm.deadline") <= 30


async def test_a_timeout_of_nothing_is_refused(platform: RunningPlatform) -> None:
    with pytest.raises(errors.BadRequest, match="above 0"):
        platform.options(timeout=0)


class Deep:
    """`top.wait` waits for `mid.wait`, which waits for `low.wait`, which waits for ever."""

    def __init__(self, *, blocking: bool = False) -> None:
        self.begun = asyncio.Event()
        self.canceled = asyncio.Event()
        self.released = threading.Event()
        self.raised: list[BaseException] = []
        self.top, self.mid, self.low = Service("top"), Service("mid"), Service("low")

        @self.top.endpoint(name="wait")
        async def wait_top(ctx: Context) -> None:
            await ctx.call("mid.wait")

        @self.low.endpoint(name="wait")
        async def wait_low(ctx: Context) -> None:
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.canceled.set()

        if blocking:

            @self.mid.endpoint(name="wait")
            def wait_blocking(ctx: Context) -> None:
                try:
                    ctx.sync.call("low.wait")
                except BaseException as error:
                    self.raised.append(error)
                    raise
                finally:
                    self.released.set()

        else:

            @self.mid.endpoint(name="wait")
            async def wait_mid(ctx: Context) -> None:
                await ctx.call("low.wait")


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_deadline_ends_the_whole_chain(platform: RunningPlatform, blocking: bool) -> None:
    deep = Deep(blocking=blocking)
    await serve_all(platform, (deep.top, deep.mid, deep.low))
    with pytest.raises(errors.Timeout):
        await platform.options(timeout=0.3).call("top.wait")
    await asyncio.wait_for(deep.canceled.wait(), 5)
    if blocking:
        assert await asyncio.to_thread(deep.released.wait, 5)


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_caller_that_gives_up_cancels_the_whole_chain(platform: RunningPlatform, blocking: bool) -> None:
    deep = Deep(blocking=blocking)
    await serve_all(platform, (deep.top, deep.mid, deep.low))
    calling = asyncio.create_task(platform.options(timeout=math.inf).call("top.wait"))
    await asyncio.wait_for(deep.begun.wait(), 5)
    calling.cancel()
    await asyncio.wait_for(deep.canceled.wait(), 5)
    if blocking:
        assert await asyncio.to_thread(deep.released.wait, 5)
        assert [type(error) for error in deep.raised] == [errors.Canceled]


async def test_a_stream_carries_deadline_metadata_and_trace(platform: RunningPlatform) -> None:
    outer, inner = Service("outer"), Service("inner")

    @outer.endpoint
    async def read(ctx: Context) -> AsyncIterator[str]:
        async for item in ctx.stream("inner.read"):
            yield item

    @inner.endpoint(name="read")
    async def read_inside(ctx: Context) -> AsyncIterator[str]:
        yield ctx.metadata["x-who"]
        yield ctx.trace.trace_id
        yield str(ctx.deadline is not None and ctx.deadline <= 7)

    await serve_all(platform, (outer, inner))
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    caller = platform.options(timeout=7, metadata={"x-who": "Ann", "traceparent": given})
    assert [item async for item in caller.stream("outer.read")] == ["Ann", "0af7651916cd43dd8448eb211c80319c", "True"]


async def test_a_stream_ends_at_its_deadline(platform: RunningPlatform) -> None:
    service = Service("silent")

    @service.endpoint
    async def read() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    await platform.serve(service)
    stream = aiter(platform.options(timeout=0.2).stream("silent.read"))
    assert await anext(stream) == 1
    with pytest.raises(errors.Timeout):
        await anext(stream)


async def test_log_lines_carry_the_trace_of_their_call(
    platform: RunningPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("talker")

    @service.endpoint
    async def speak(ctx: Context) -> str:
        ctx.log.info("speaking of %s", "things", extra={"color": "red"})
        return ctx.trace.trace_id

    caplog.set_level(logging.INFO)
    await platform.serve(service)
    trace = await platform.call("talker.speak")
    (record,) = [record for record in caplog.records if record.name == "talker"]
    assert LineFormat().format(record) == f"INFO speaking of things trace={trace}"
    assert vars(record)["color"] == "red"
    assert vars(record)["endpoint"] == "speak"


async def test_sleep_and_ids_follow_the_clock_of_the_platform(platform: RunningPlatform) -> None:
    service = Service("sleeper")
    asleep = asyncio.Event()

    @service.endpoint
    async def nap(ctx: Context) -> list[str]:
        before = ctx.new_id()
        asleep.set()
        await ctx.sleep(60)
        return [before, ctx.new_id()]

    await platform.serve(service)
    napping = asyncio.create_task(platform.call("sleeper.nap"))
    await asleep.wait()
    platform.advance(60)
    before, after = await napping
    assert before < after
    assert len(before) == 26
