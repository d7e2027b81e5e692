"""Deadlines: short ones by a timer, long ones by a sweep, on both sides, and nothing is left running."""

from __future__ import annotations

import asyncio
import math

import pytest

from microlite.core import errors
from microlite.core.rpc import frames, outgoing
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.frames import encode
from tests.rpc.rpc_parts import Service, Watched, joined, on_wire, turn


async def test_a_short_deadline_ends_the_call_on_time_and_cancels_it_at_the_callee() -> None:
    service = Service()
    async with joined(service) as (client, _):
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(errors.Timeout, match=r"s\.hold did not answer in time"):
            await UnaryCall("s", "hold", timeout=0.02).run(client.start)
        assert loop.time() - started >= 0.019
        hearing = await service.arrived.get()
        await hearing.canceled
        assert client.load == 0


async def test_a_long_deadline_is_found_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "_SHORT", 0)  # so that the sweep has it, whatever it is
    service = Service()
    async with joined(service) as (client, _):
        with pytest.raises(errors.Timeout):
            await UnaryCall("s", "hold", timeout=0.05).run(client.start)
        await (await service.arrived.get()).canceled


async def test_the_callee_gives_up_by_itself_when_its_caller_says_nothing() -> None:
    service = Service()
    connection, wire = on_wire(service)
    connection.data_received(encode(frames.Call(1, "s", "hold", timeout=1)) + encode(frames.Call(3, "s", "hold")))
    hearing = await service.arrived.get()
    assert isinstance(await hearing.canceled, errors.Timeout)
    await turn()
    failure = wire.frames()[-1]
    assert isinstance(failure, frames.Failure)
    assert (failure.id, failure.code, failure.status) == (1, 408, "Request Timeout")
    assert connection.serving == 1
    assert connection._sweeper is None, "the call that has no deadline keeps no sweep going"
    connection.connection_lost(None)


async def test_sweeps_end_with_the_last_deadline_and_begin_again_with_the_next() -> None:
    async with joined() as (client, server):
        for _ in range(2):
            await UnaryCall("s", "echo", timeout=30).run(client.start)
            assert client._sweeper is not None
            while client._sweeper is not None or server._sweeper is not None:
                await client.ping()


async def test_the_time_that_is_left_travels_along() -> None:
    service = Service()
    async with joined(service) as (client, _):
        loop = asyncio.get_running_loop()
        call = Watched("hold", timeout=5)
        client.start(call)
        hearing = await service.arrived.get()
        assert 4.5 < hearing.inbound.expires - loop.time() <= 5
        forever = Watched("hold", timeout=None)
        client.start(forever)
        assert (await service.arrived.get()).inbound.expires == math.inf
        assert forever.expires == math.inf


async def test_a_deadline_that_has_passed_sends_nothing() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = Watched()
        call.expires = asyncio.get_running_loop().time() - 1
        client.start(call)
        assert isinstance(call.error, errors.Timeout)
        await client.ping()
        assert service.seen == []


async def test_a_stream_has_a_deadline_too_and_what_came_before_is_read() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = StreamCall("s", "hold", credit=1_000, timeout=0.05)
        client.start(call)
        hearing = await service.arrived.get()
        hearing.inbound.item(b"one")
        items = call.items()
        assert await anext(items) == b"one"
        with pytest.raises(errors.Timeout):
            await anext(items)
        await hearing.canceled


async def test_a_timer_left_from_an_answered_call_harms_nobody() -> None:
    async with joined() as (client, _):
        calls = [Watched(timeout=0.03) for _ in range(10)]
        for call in calls:
            client.start(call)
        await client.ping()
        late = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, late.set_result, None)
        await late
        assert [call.ends for call in calls] == [[b""]] * 10
