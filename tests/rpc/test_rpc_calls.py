"""Calls between two connections over a real socket: every kind of call, metadata, errors, back-pressure, cancellation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.call import StreamCall, UnaryCall
from tests.rpc.rpc_parts import Service, Watched, joined, turn

WINDOW = frames.INITIAL_CREDIT


def stream(endpoint: str, payload: bytes = b"", **options: Any) -> StreamCall:
    return StreamCall("s", endpoint, payload, credit=WINDOW, timeout=None, **options)


async def test_a_call_is_answered_in_both_directions_at_a_time() -> None:
    async with joined() as (client, server):
        answers = await asyncio.gather(
            *(UnaryCall("s", "echo", b"%d" % number).run(client.start) for number in range(200)),
            *(UnaryCall("s", "echo", b"%d" % number).run(server.start) for number in range(200, 400)),
        )
        assert answers == [b"%d" % number for number in range(400)]
        assert client.load == server.load == client.serving == server.serving == 0
        assert client.latency > 0
        assert client.peer.properties == {"of": "tests"}


@pytest.mark.parametrize("size", [0, 1, 1_023, 1_024, 8_191, 65_536, 1_000_000, frames.MAX_FRAME - 100])
async def test_payloads_of_any_size_come_back_whole(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with joined() as (client, _):
        assert await UnaryCall("s", "echo", payload).run(client.start) == payload


async def test_what_travels_with_a_call_arrives() -> None:
    async with joined() as (client, server):
        call = UnaryCall("orders", "tell", encoding=1, namespace="shop", metadata={"a": "ü"}, credit=7)
        assert json.loads(await call.run(client.start)) == ["orders", 1, "shop", {"a": "ü"}, 7]
        server.namespace = "own"
        call = UnaryCall("orders", "tell", namespace="shop")
        assert json.loads(await call.run(client.start)) == ["orders", 0, "own", None, 0]


@pytest.mark.parametrize("kind", errors.KINDS, ids=lambda kind: kind.error.__name__)
async def test_an_error_is_raised_as_the_class_it_was(kind: errors.Kind) -> None:
    sent = json.dumps([kind.error.code, kind.error.status, "what was wrong", "orders.create"]).encode()
    async with joined() as (client, _):
        with pytest.raises(kind.error) as raised:
            await UnaryCall("s", "fail", sent).run(client.start)
    assert type(raised.value) is kind.error
    assert raised.value.detail == "what was wrong"
    assert raised.value.id == "orders.create"


async def test_an_error_travels_although_its_detail_is_long_or_no_text() -> None:
    async with joined() as (client, _):
        with pytest.raises(errors.NotFound) as raised:
            await UnaryCall("s", "fail", json.dumps([404, "", "x" * 200_000, ""]).encode()).run(client.start)
        assert len(raised.value.detail) == 65_536
        with pytest.raises(errors.NotFound, match=r"file \\udcff"):
            await UnaryCall("s", "fail", json.dumps([404, "", "file \udcff", ""]).encode()).run(client.start)


async def test_what_cannot_be_sent_fails_the_call_and_not_the_connection() -> None:
    async with joined() as (client, _):
        with pytest.raises(errors.PayloadTooLarge):
            await UnaryCall("s", "echo", bytes(frames.MAX_FRAME)).run(client.start)
        with pytest.raises(errors.BadRequest, match="valid Unicode"):
            await UnaryCall("s", "echo", metadata={"x": "\ud800"}).run(client.start)
        chat = stream("chat")
        client.start(chat)
        with pytest.raises(errors.PayloadTooLarge):
            await chat.send(bytes(frames.MAX_FRAME))
        await chat.send(b"fits")
        assert await anext(chat.items()) == b"> fits"
        assert await UnaryCall("s", "echo", b"still here").run(client.start) == b"still here"


async def test_an_answer_that_is_too_large_is_an_error_at_the_caller() -> None:
    service = Service()
    async with joined(service) as (client, _):
        waiting = asyncio.ensure_future(UnaryCall("s", "hold").run(client.start))
        (await service.arrived.get()).inbound.reply(bytes(frames.MAX_FRAME))
        with pytest.raises(errors.InternalServerError, match="too large"):
            await waiting
        items = stream("hold")
        client.start(items)
        hearing = await service.arrived.get()
        hearing.inbound.item(bytes(frames.MAX_FRAME))
        with pytest.raises(errors.InternalServerError, match="too large"):
            await anext(items.items())
        assert isinstance(await hearing.canceled, errors.InternalServerError)


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_a_server_stream_gives_its_items_in_order_and_ends() -> None:
    async with joined() as (client, _):
        call = stream("count", b"500 8")
        client.start(call)
        assert [int(item.rstrip(b".")) async for item in call.items()] == list(range(500))
        assert client.load == 0


async def test_a_client_stream_is_answered_once() -> None:
    async with joined() as (client, _):
        call = StreamCall("s", "total", timeout=None)
        client.start(call)
        for _ in range(300):
            await call.send(bytes(5_000))
        call.close_send()
        assert await call.reply() == b"1500000"


async def test_both_directions_stream_at_a_time() -> None:
    async with joined() as (client, _):
        call = stream("chat")
        client.start(call)

        async def talk() -> None:
            for number in range(400):
                await call.send(b"%d" % number + bytes(3_000))
            call.close_send()

        talking = asyncio.create_task(talk())
        heard = [item async for item in call.items()]
        await talking
        assert [item.rstrip(b"\0") for item in heard] == [b"> %d" % number for number in range(400)]


async def test_an_item_larger_than_the_window_passes() -> None:
    async with joined() as (client, _):
        call = stream("count", b"3 %d" % (WINDOW * 3))
        client.start(call)
        assert [len(item) async for item in call.items()] == [WINDOW * 3] * 3


@pytest.mark.parametrize("credit", [1, 1_000, 10 * WINDOW])
async def test_a_caller_may_choose_its_window(credit: int) -> None:
    async with joined() as (client, _):
        call = StreamCall("s", "count", b"50 700", credit=credit, timeout=None)
        client.start(call)
        assert len([item async for item in call.items()]) == 50


async def test_a_slow_reader_makes_the_callee_wait_and_holds_no_more_than_the_window() -> None:
    service = Service()
    async with joined(service) as (client, server):
        call = stream("count", b"10000 1000")
        client.start(call)
        items = call.items()
        hearing = await service.arrived.get()
        for read in range(1, 1_000):
            await anext(items)
            await server.ping()  # whatever was sent so far has arrived, and both sides have gone round
            assert call._queue.held <= WINDOW + 1_064
            assert service.sent - read <= WINDOW // 1_064 + 1
            assert client.unsent == server.unsent == 0
        await items.aclose()
        call.cancel()
        await hearing.canceled


async def test_a_slow_callee_makes_the_caller_wait_and_holds_no_more_than_the_window() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = StreamCall("s", "hold", timeout=None)
        client.start(call)
        hearing = await service.arrived.get()
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(2_000):
                await call.send(bytes(1_000))
                sent += 1
            call.close_send()

        sending = asyncio.create_task(send())
        while sent * 1_064 < WINDOW:
            await client.ping()
        for read in range(2_000):
            await client.ping()
            assert hearing.queue.held <= WINDOW + 1_064
            assert sent - read <= WINDOW // 1_064 + 1
            assert await hearing.queue.get() == bytes(1_000)
        assert await hearing.queue.get() is None
        await sending
        hearing.inbound.reply(b"done")
        assert await call.reply() == b"done"


async def test_a_callee_that_minds_no_credit_breaks_its_stream_and_nothing_else() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = stream("flood")
        client.start(call)
        hearing = await service.arrived.get()
        assert isinstance(await hearing.canceled, errors.Canceled)
        assert call._queue.held <= WINDOW + 100_064
        with pytest.raises(errors.BadRequest, match="more than it had credit for"):
            async for _ in call.items():
                pass
        assert await UnaryCall("s", "echo", b"x").run(client.start) == b"x"


async def test_an_error_ends_both_directions() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = stream("hold")
        client.start(call)
        hearing = await service.arrived.get()
        hearing.inbound.item(b"one")
        hearing.inbound.fail(errors.Conflict("taken"))
        items = call.items()
        assert await anext(items) == b"one"
        with pytest.raises(errors.Conflict, match="taken"):
            await anext(items)
        with pytest.raises(errors.Conflict, match="taken"):
            await call.send(b"too late")
        call.close_send()


async def test_a_callee_may_answer_before_the_callers_stream_ends() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = StreamCall("s", "hold", timeout=None)
        client.start(call)
        (await service.arrived.get()).inbound.reply(b"enough")
        assert await call.reply() == b"enough"
        with pytest.raises(errors.Canceled, match="reads no further"):
            await call.send(b"more")


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_canceling_the_task_cancels_the_call_at_the_callee() -> None:
    service = Service()
    async with joined(service) as (client, server):
        waiting = asyncio.ensure_future(UnaryCall("s", "hold").run(client.start))
        hearing = await service.arrived.get()
        waiting.cancel()
        assert isinstance(await hearing.canceled, errors.Canceled)
        assert client.load == server.serving == 0
        hearing.inbound.reply(b"nobody wants it")
        assert await UnaryCall("s", "echo", b"next").run(client.start) == b"next"


async def test_leaving_a_stream_early_cancels_it_and_wakes_whoever_still_reads() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = stream("hold")
        client.start(call)
        hearing = await service.arrived.get()
        async with call:
            reading = asyncio.ensure_future(anext(call.items()))
            await turn()
        assert isinstance(await hearing.canceled, errors.Canceled)
        with pytest.raises(errors.Canceled):
            await reading
        with pytest.raises(errors.Canceled):
            await call.send(b"x")


async def test_a_stream_that_ended_is_not_canceled() -> None:
    service = Service()
    async with joined(service) as (client, server):
        async with stream("count", b"3 3") as call:
            client.start(call)
            assert len([item async for item in call.items()]) == 3
        hearing = await service.arrived.get()
        await client.ping()
        assert not hearing.canceled.done()
        assert server.serving == 0


async def test_what_is_said_after_the_end_is_dropped() -> None:
    service = Service()
    async with joined(service) as (client, _):
        call = Watched("hold", credit=100)
        client.start(call)
        inbound = (await service.arrived.get()).inbound
        inbound.reply(b"first")
        inbound.reply(b"second")
        inbound.fail(errors.Conflict())
        inbound.refuse("no")
        inbound.item(b"i")
        inbound.end()
        inbound.grant(5)
        await client.ping()
        assert (call.ends, call.items) == ([b"first"], [])
