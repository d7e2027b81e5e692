"""Calls over WebSockets, as a stock client makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from microlite.core import errors
from microlite.core.rpc.call import Call
from microlite.core.rpc.frames import INITIAL_CREDIT
from tests.gateway.gateway_bench import TOKEN, Bench, Held, Start

Open = Callable[..., AbstractAsyncContextManager[ClientConnection]]


def opener(bench: Bench) -> Open:
    @asynccontextmanager
    async def opening(path: str, *, host: str = "localhost", **options: Any) -> AsyncIterator[ClientConnection]:
        url = f"ws://{host}:{bench.gateway.port}{path}"
        async with connect(url, host="127.0.0.1", proxy=None, **options) as socket:
            yield socket

    return opening


@pytest.fixture
async def bench(start: Start) -> Bench:
    """A gateway that does not wait long."""
    return await start(linger=0.5)


@pytest.fixture
async def ws(bench: Bench) -> Open:
    return opener(bench)


async def closed(socket: ClientConnection) -> tuple[int | None, str]:
    """How the server closes; what it sent before must have been read."""
    with pytest.raises(ConnectionClosed):
        raise AssertionError(await socket.recv())
    return socket.close_code, socket.close_reason or ""


async def failure(socket: ClientConnection) -> dict[str, Any]:
    """The error that is the next message."""
    document = msgspec.json.decode(await socket.recv())
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"id", "code", "detail", "status"}
    return error


async def refusal(opening: AbstractAsyncContextManager[ClientConnection]) -> tuple[int, dict[str, Any]]:
    """The HTTP answer instead of a WebSocket."""
    with pytest.raises(InvalidStatus) as caught:
        async with opening:
            pass
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    return response.status_code, msgspec.json.decode(response.body)


# -- what is answered --------------------------------------------------------------------------------------------------


async def test_a_unary_endpoint_answers_one_message(ws: Open) -> None:
    async with ws("/echo") as socket:
        await socket.send('{"n": 1}')
        assert await socket.recv() == '{"n": 1}'
        assert await closed(socket) == (1000, "")


@pytest.mark.parametrize("first", ["{}", "", b"", " \n", b"{}"])
async def test_a_request_may_be_empty(first: str | bytes, ws: Open) -> None:
    """micro's own client sends an empty message where its caller gives nothing."""
    async with ws("/echo") as socket:
        await socket.send(first)
        assert await socket.recv() == "{}"


async def test_no_reply_is_null(ws: Open) -> None:
    async with ws("/echo/nothing") as socket:
        await socket.send("{}")
        assert await socket.recv() == "null"
        assert await closed(socket) == (1000, "")


async def test_the_request_is_merged_over_query_and_below_path(ws: Open) -> None:
    async with ws("/echo/items/7?name=Ann&tags=a&count=3") as socket:
        await socket.send('{"count": 4, "id": "8"}')
        assert msgspec.json.decode(await socket.recv()) == {"count": 4, "id": "7", "name": "Ann", "tags": ["a"]}


async def test_binary_messages_are_json_as_well(bench: Bench, ws: Open) -> None:
    async with ws("/echo/sum") as socket:
        await socket.send(b'{"n": 1}')
        held = await bench.services.held.get()
        await socket.send(b"1")
        await socket.send(b"")
        await held.ended.wait()
        assert held.items == [b"1"]
        held.inbound.reply(b"2")
        assert await socket.recv() == "2"


async def test_a_stream_is_a_message_an_item(ws: Open) -> None:
    async with ws("/echo/count") as socket:
        await socket.send("{}")
        assert [msgspec.json.decode(message) async for message in socket] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert (socket.close_code, socket.close_reason) == (1000, "")


async def test_both_directions_at_once(bench: Bench, ws: Open) -> None:
    """An empty message ends the client's stream, the service goes on until it has ended its own."""
    async with ws("/echo/chat") as socket:
        await socket.send('{"room": "a"}')
        held = await bench.services.held.get()
        assert held.inbound.payload == b'{"room": "a"}'
        for number in range(3):
            await socket.send(str(number))
            while len(held.items) <= number:
                held.more.clear()
                await held.more.wait()
            held.inbound.item(b'"got %b"' % held.items[number])
            assert await socket.recv() == f'"got {number}"'
        await socket.send("")
        await held.ended.wait()
        held.inbound.item(b'"bye"')
        held.inbound.end()
        assert await socket.recv() == '"bye"'
        assert await closed(socket) == (1000, "")


async def test_items_sent_at_once_arrive_in_order(bench: Bench, ws: Open) -> None:
    async with ws("/echo/sum?unit=m") as socket:
        for message in ("{}", *map(str, range(1000)), ""):
            await socket.send(message)
        held = await bench.services.held.get()
        await held.ended.wait()
        assert held.items == [b"%d" % number for number in range(1000)]
        assert held.inbound.payload == b'{"unit":"m"}'
        held.inbound.reply(b"499500")
        assert await socket.recv() == "499500"


async def test_items_wait_for_a_call_that_waits_for_its_service(bench: Bench, ws: Open) -> None:
    """As while a service is being restarted."""
    parked: list[Call] = []
    bench.gateway.edge.send = parked.append
    async with ws("/echo/sum") as socket:
        for message in ("{}", "1", ""):
            await socket.send(message)
        while not parked:
            await asyncio.sleep(0)
        bench.services.send(parked[0])
        held = await bench.services.held.get()
        await held.ended.wait()
        assert held.items == [b"1"]
        held.inbound.reply(b"1")
        assert await socket.recv() == "1"


async def test_an_early_reply_ends_a_clients_stream(bench: Bench, ws: Open) -> None:
    async with ws("/echo/sum") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        held.inbound.reply(b'"enough"')
        assert await socket.recv() == '"enough"'
        assert await closed(socket) == (1000, "")


async def test_large_messages_pass_in_both_directions(start: Start) -> None:
    """Whole or in fragments, with and without compression."""
    bench = await start(max_body=3_000_000)
    ws = opener(bench)
    text = '{"text":"' + "x" * 2_900_000 + '"}'
    for compression in ("deflate", None):
        async with ws("/echo", compression=compression, max_size=None) as socket:
            await socket.send([text[:1000], text[1000:1_500_000], text[1_500_000:]])
            assert await socket.recv() == text


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_an_error_is_a_message_and_a_code(ws: Open) -> None:
    async with ws("/echo/fail") as socket:
        await socket.send("{}")
        assert await failure(socket) == {
            "id": "echo.fail",
            "code": 409,
            "detail": "it went wrong",
            "status": "Conflict",
        }
        assert await closed(socket) == (4409, "it went wrong")


async def test_an_error_within_a_stream_comes_last(bench: Bench, ws: Open) -> None:
    async with ws("/echo/tick") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        held.inbound.item(b"1")
        held.inbound.fail(errors.InternalServerError("ü" * 100, id="echo.tick"))
        assert await socket.recv() == "1"
        assert (await failure(socket))["detail"] == "ü" * 100
        assert await closed(socket) == (4500, "ü" * 61)


async def test_where_connecting_again_helps_the_code_says_so(bench: Bench, ws: Open) -> None:
    async with ws("/echo/tick") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        held.inbound.fail(errors.ServiceUnavailable("the service restarts; call again", id="echo"))
        assert (await failure(socket))["code"] == 503
        assert await closed(socket) == (1012, "the service restarts; call again")


@pytest.mark.parametrize("request_message", ["[1", "5"])
async def test_what_cannot_be_merged_is_400(request_message: str, bench: Bench, ws: Open) -> None:
    async with ws("/echo?a=1") as socket:
        await socket.send(request_message)
        assert (await failure(socket))["code"] == 400
        assert (await closed(socket))[0] == 4400
    assert bench.services.calls == []


async def test_a_message_too_many(bench: Bench, ws: Open) -> None:
    """Empty ones are harmless: they end a stream that is none."""
    async with ws("/echo/tick") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        await socket.send("")
        await socket.send("{}")
        assert "open another WebSocket" in (await failure(socket))["detail"]
        assert (await closed(socket))[0] == 4400
        assert held.canceled.is_set()
    async with ws("/echo/sum") as socket:
        for message in ("{}", "1", "", "2"):
            await socket.send(message)
        assert "complete already" in (await failure(socket))["detail"]


async def test_a_first_message_that_does_not_come(start: Start) -> None:
    bench = await start(keep_alive=0.1)
    async with opener(bench)("/echo") as socket:
        assert (await failure(socket))["code"] == 408
        assert (await closed(socket))[0] == 4408


async def test_a_router_that_fails_is_answered(ws: Open) -> None:
    async with ws("/echo/crash") as socket:
        await socket.send("{}")
        assert (await failure(socket))["code"] == 500
        assert (await closed(socket))[0] == 4500


@pytest.mark.parametrize(
    ("path", "code"),
    [("/nobody", 404), ("/echo/none", 404), ("/echo/../x", 400), ("/store/write", 401), ("/echo?%ff", 400)],
)
async def test_what_is_wrong_before_is_answered_in_http(path: str, code: int, ws: Open) -> None:
    status, error = await refusal(ws(path))
    assert (status, error["code"]) == (code, code)


async def test_a_foreign_host(bench: Bench) -> None:
    status, _ = await refusal(connect(f"ws://evil.example:{bench.gateway.port}/echo", host="127.0.0.1", proxy=None))
    assert status == 421


async def test_too_many_at_a_time(start: Start) -> None:
    bench = await start(max_requests=1)
    ws = opener(bench)
    async with ws("/echo/tick"):
        await bench.busy()
        status, _ = await refusal(ws("/echo"))
        assert status == 503
    await bench.idle()
    async with ws("/echo") as socket:
        await socket.send("{}")
        assert await socket.recv() == "{}"


# -- who asks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["microlite", f"bearer.{TOKEN}"], "microlite"),
        ([f"bearer.{TOKEN}", "json", "microlite"], "microlite"),
        (["bearer", TOKEN], "bearer"),
        (["token", TOKEN, "json"], "token"),
        ([f"bearer.{TOKEN}", "json"], "json"),
        ([f"bearer.{TOKEN}"], f"bearer.{TOKEN}"),
        ([TOKEN], TOKEN),
    ],
)
async def test_a_token_may_be_a_subprotocol(offered: list[str], selected: str, ws: Open) -> None:
    """What is chosen was offered, and is the token only where there is nothing else."""
    async with ws("/store/write", subprotocols=[Subprotocol(name) for name in offered]) as socket:
        assert socket.subprotocol == selected
        await socket.send('{"key": "a"}')
        assert await socket.recv() == '{"key": "a"}'


async def test_a_token_in_the_header_comes_first(ws: Open) -> None:
    good = {"Authorization": f"Bearer {TOKEN}"}
    async with ws("/store/write", additional_headers=good) as socket:
        assert socket.subprotocol is None
    async with ws("/store/write", additional_headers=good, subprotocols=[Subprotocol("bearer.no")]):
        pass
    status, error = await refusal(
        ws("/store/write", additional_headers={"Authorization": "Bearer no"}, subprotocols=[Subprotocol(TOKEN)])
    )
    assert (status, error["detail"]) == (401, "the token is not valid")


async def test_a_cookie_authenticates_nobody(ws: Open) -> None:
    cookie = {"Cookie": f"micro-token={TOKEN}; microlite-session={TOKEN}"}
    assert (await refusal(ws("/store/write", additional_headers=cookie)))[0] == 401


async def test_headers_act_as_on_any_request(bench: Bench, ws: Open) -> None:
    """And what is the handshake's own, the token above all, does not reach the service."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"Timeout": "5s", "traceparent": f"00-{trace}-00f067aa0ba902b7-01", "X-Mine": "1", "Cookie": "a=1"}
    async with ws("/echo/meta", additional_headers=headers, subprotocols=[Subprotocol(f"bearer.{TOKEN}")]) as socket:
        assert socket.response is not None
        assert trace in socket.response.headers["traceparent"]
        await socket.send("{}")
        seen = msgspec.json.decode(await socket.recv())
    assert (seen.pop("account"), seen.pop("timeout"), seen["x-mine"]) == ("admin", 5.0, "1")
    assert trace in seen["traceparent"]
    assert TOKEN not in str(seen)
    assert not {key for key in seen if key.startswith(("sec-", "cookie"))}
    assert (await refusal(ws("/echo", additional_headers={"Timeout": "soon"})))[0] == 400
    assert (await refusal(ws("/echo", additional_headers={"Micro-Namespace": "shop"})))[0] == 404


async def test_deadlines_are_those_of_http(bench: Bench, ws: Open) -> None:
    """A unary call has one, a stream has none unless asked for."""
    for path, timeout in (("/echo", 30.0), ("/echo/count", None)):
        async with ws(path) as socket:
            await socket.send("{}")
            await socket.recv()
        assert bench.services.calls[-1].timeout == timeout


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example", True),
        ("http://localhost:{port}", True),
        ("https://evil.example", False),
        ("http://localhost:1", False),
        ("null", False),
    ],
)
async def test_pages_of_foreign_origins(origin: str, allowed: bool, start: Start) -> None:
    """The policy for CORS holds: a browser asks nobody before it opens a WebSocket."""
    bench = await start(cors_origins=("https://shop.example",))
    opening = opener(bench)("/echo", origin=origin.format(port=bench.gateway.port))
    if allowed:
        async with opening as socket:
            await socket.send("{}")
            assert await socket.recv() == "{}"
    else:
        status, error = await refusal(opening)
        assert status == 403
        assert "may not open WebSockets" in error["detail"]


# -- the ends ----------------------------------------------------------------------------------------------------------


async def test_a_client_that_closes_cancels_its_call(bench: Bench, ws: Open) -> None:
    async with ws("/echo/tick") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        await socket.close(4000, "enough")
        assert socket.close_code == 4000
    await held.canceled.wait()
    await bench.idle()
    await bench.disconnected()
    assert bench.gateway.edge.streams == set()


async def test_a_client_that_vanishes_cancels_its_call(bench: Bench, ws: Open) -> None:
    async with ws("/echo/hold") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        socket.transport.abort()
        await held.canceled.wait()
    await bench.idle()
    await bench.disconnected()


async def test_a_quiet_websocket_is_pinged_and_lives(start: Start) -> None:
    bench = await start(ping=0.02, pong=0.2)
    async with opener(bench)("/echo/tick") as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        await asyncio.sleep(0.5)
        held.inbound.item(b"1")
        assert await socket.recv() == "1"


async def test_a_stopping_platform_says_connect_again(bench: Bench, ws: Open) -> None:
    """To those in a call, and to those that have not said yet what they want."""
    async with ws("/echo/tick") as socket, ws("/echo/tick") as idle:
        await socket.send("{}")
        held = await bench.services.held.get()
        held.inbound.item(b"1")
        assert await socket.recv() == "1"
        stop = asyncio.create_task(bench.gateway.stop(grace=5))
        for each in (socket, idle):
            assert (await failure(each))["detail"] == "the platform is stopping; connect again"
            assert await closed(each) == (1012, "the platform is stopping; connect again")
        await stop
        assert held.canceled.is_set()


async def test_it_is_counted_and_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    bench = await start(access_log=True)
    caplog.set_level("INFO", "microlite.access")
    async with opener(bench)("/echo/count?a=1", subprotocols=[Subprotocol(f"bearer.{TOKEN}")]) as socket:
        await bench.busy()
        assert len(bench.gateway.edge.streams) == 1
        await socket.send("{}")
        assert len([message async for message in socket]) == 3
    await bench.idle()
    assert bench.table.stats["echo", "count"].codes == {101: 1}
    (line,) = [record.getMessage() for record in caplog.records if record.name == "microlite.access"]
    assert '"GET /echo/count?a=1" 101 ' in line


# -- the pace ----------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_never_makes_memory_grow(bench: Bench, ws: Open) -> None:
    """The service is stopped by its credit: what is held is bounded, and all of it arrives in the end."""
    async with ws("/echo/flood", max_queue=1, compression=None, ping_interval=None) as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        item = b'"' + b"x" * 16_000 + b'"'
        total, sent, peak = 4_000, 0, 0
        while sent < total:
            while held.credit <= 0:
                held.more.clear()
                try:
                    await asyncio.wait_for(held.more.wait(), 0.2)
                except TimeoutError:
                    break
            if held.credit <= 0:
                break
            held.credit -= len(item) + 64
            held.inbound.item(item)
            sent += 1
            peak = max(peak, *(stream.held for stream in bench.gateway.edge.streams if hasattr(stream, "held")))
        assert sent < total / 2, "the service was never stopped"
        assert peak <= INITIAL_CREDIT + len(item) + 64
        for connection in bench.gateway.connections:
            assert connection.transport.get_write_buffer_size() < 2 * INITIAL_CREDIT
        held.inbound.end()
        messages = [message async for message in socket]
        assert messages == [item.decode()] * sent
        assert socket.close_code == 1000


async def test_a_slow_service_slows_its_client_down(bench: Bench, ws: Open) -> None:
    """What the service gives no credit for stays with the client."""

    class Deaf(Held):
        def on_item(self, payload: bytes) -> None:
            self.items.append(payload)

    async with ws("/echo/sum", compression=None, ping_interval=None) as socket:
        await socket.send("{}")
        held = await bench.services.held.get()
        deaf = Deaf(held.inbound)
        item = '"' + "x" * 10_000 + '"'
        blocked = False
        for _ in range(4_000):
            try:
                await asyncio.wait_for(socket.send(item), 0.2)
            except TimeoutError:
                blocked = True
                break
        assert blocked
        assert sum(map(len, deaf.items)) <= INITIAL_CREDIT + len(item)
        socket.transport.abort()
