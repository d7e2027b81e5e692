"""What HTTP/1.1 asks of a connection, and the traps of answering from the parser's callbacks."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from tests.gateway.gateway_bench import Bench, Start, Wire

POST = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HOLD = POST.replace("/echo", "/echo/hold")


def post(body: str, path: str = "/echo") -> str:
    return f"{POST.replace('/echo', path)}Content-Length: {len(body)}\r\n\r\n{body}"


async def test_pipelined_requests_are_answered_in_order(bench: Bench, wire: Wire) -> None:
    """A slow answer is not overtaken by the quick ones behind it."""
    wire.send(post('{"n":0}', "/echo/hold") + "".join(post(f'{{"n":{n}}}') for n in range(1, 5)))
    held = await bench.services.held.get()
    assert len(bench.services.calls) == 1
    held.inbound.reply(b'{"n":0}')
    assert [(await wire.answer()).json()["n"] for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_a_slow_request_behind_a_quick_one(bench: Bench, wire: Wire) -> None:
    wire.send(post('{"n":1}', "/echo/later") + post('{"n":2}', "/echo/hold") + post('{"n":3}'))
    assert (await wire.answer()).json() == {"n": 1}
    held = await bench.services.held.get()
    held.inbound.reply(b"{}")
    await wire.answer()
    assert (await wire.answer()).json() == {"n": 3}


async def test_many_pipelined_requests_at_once(wire: Wire) -> None:
    wire.send("".join(post(f'{{"n":{n}}}') for n in range(50)))
    assert [(await wire.answer()).json()["n"] for _ in range(50)] == list(range(50))


async def test_a_malformed_request_does_not_overtake_the_answer_before_it(bench: Bench, wire: Wire) -> None:
    wire.send(post('{"n":1}', "/echo/hold") + "this is not HTTP\r\n\r\n")
    held = await bench.services.held.get()
    held.inbound.reply(b'{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert set(answer.json()) == {"id", "code", "detail", "status"}
    assert await wire.closed()


async def test_a_malformed_request_behind_two_others(bench: Bench, wire: Wire) -> None:
    """The body of the second breaks: the first is answered, the second is refused, the third does not exist."""
    chunked = (
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    wire.send(post('{"n":1}', "/echo/hold") + chunked + "zz\r\n" + post("{}"))
    held = await bench.services.held.get()
    held.inbound.reply(b'{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}
    assert (await wire.answer()).status == 400
    assert await wire.closed()
    assert len(bench.services.calls) == 1


@pytest.mark.parametrize(
    "request_",
    [
        "nonsense\r\n\r\n",
        "GET /echo HTTP/3.0\r\nHost: localhost\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n",
        "GET /echo\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        POST + "Content-Length: two\r\n\r\n{}",
        POST + "Content-Length: -2\r\n\r\n{}",
        POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_what_is_malformed_is_refused_and_ends_the_connection(request_: str, bench: Bench, wire: Wire) -> None:
    """Nothing of it reaches a service, however a second reader might have understood it."""
    wire.send(request_)
    answer = await wire.answer()
    assert answer.status == 400
    assert answer.json()["status"] == "Bad Request"
    assert await wire.closed()
    await bench.idle()
    assert bench.services.calls == []


async def test_an_unknown_version_is_refused(wire: Wire) -> None:
    wire.send("GET /echo HTTP/2.0\r\nHost: localhost\r\n\r\n")
    assert (await wire.answer()).status == 505
    assert await wire.closed()


async def test_chunked_bodies(wire: Wire) -> None:
    wire.send(POST + 'Transfer-Encoding: chunked\r\n\r\n3\r\n{"n\r\n4;x=y\r\n":1}\r\n0\r\n\r\n')
    assert (await wire.answer()).json() == {"n": 1}


@pytest.mark.parametrize("seed", range(10))
async def test_torn_requests(seed: int, wire: Wire) -> None:
    """However the bytes arrive, the answers are the same."""
    rng = random.Random(seed)
    chunked = POST + 'Transfer-Encoding: chunked\r\n\r\n7\r\n{"n":5}\r\n0\r\nX-Trailer: 1\r\n\r\n'
    stream = (
        post('{"n":1}') + post('{"n":1}') + post('{"n":3}', "/echo/later") + "\r\n" + post('{"n":4}') + chunked
    ).encode()
    wire.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while stream:
        size = rng.choice((1, 2, 7, 30, 100, 300))
        wire.send(stream[:size])
        stream = stream[size:]
        await wire.writer.drain()
        await asyncio.sleep(0)
    assert [(await wire.answer()).json()["n"] for _ in range(5)] == [1, 1, 3, 4, 5]


async def test_a_body_in_many_pieces(wire: Wire) -> None:
    body = '{"text":"' + "x" * 300_000 + '"}'
    wire.send(post(body)[:100])
    await wire.writer.drain()
    wire.send(post(body)[100:])
    assert (await wire.answer()).body == body.encode()


async def test_trailers_are_not_headers(bench: Bench, wire: Wire) -> None:
    """They come after the decision, and cannot forge what it was based on."""
    wire.send(
        "POST /echo/meta HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        "\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer the-admin-token\r\nX-Forged: yes\r\n\r\n"
    )
    answer = await wire.answer()
    assert "x-forged" not in answer.json()
    assert answer.json()["account"] is None
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_expect_continue(wire: Wire) -> None:
    """The client is told to go on, and only then sends the body."""
    wire.send(POST + "Expect: 100-continue\r\nContent-Length: 7\r\n\r\n")
    assert (await wire.head()).status == 100
    wire.send('{"n":1}')
    assert (await wire.answer()).json() == {"n": 1}
    assert (await wire.request("POST", "/echo", b"{}")).status == 200


async def test_expect_continue_for_what_is_refused(wire: Wire) -> None:
    """Whether the body still comes is not known, so the connection ends."""
    wire.send(POST.replace("/echo", "/nobody") + "Expect: 100-continue\r\nContent-Length: 7\r\n\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert await wire.closed()


async def test_a_connection_is_closed_when_the_client_wants_it(bench: Bench, wire: Wire) -> None:
    """And nothing that comes behind such a request is looked at."""
    close = post("{}").replace("Host:", "Connection: close\r\nHost:")
    wire.send(close + post("{}"))
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.closed()
    assert len(bench.services.calls) == 1


async def test_http_1_0_gets_one_answer_that_ends_with_the_connection(wire: Wire) -> None:
    wire.send("GET /echo HTTP/1.0\r\n\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"{}", "close")
    assert await wire.closed()


async def test_http_1_0_gets_a_stream_without_chunks(wire: Wire) -> None:
    wire.send("GET /echo/count HTTP/1.0\r\nHost: localhost\r\n\r\n")
    answer = await wire.answer()
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b'{"n": 0}\n{"n": 1}\n{"n": 2}\n'


async def test_head_has_the_head_of_get(wire: Wire) -> None:
    get = await wire.request("GET", "/echo?name=x")
    head = await wire.request("HEAD", "/echo?name=x")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert (await wire.request("GET", "/echo")).status == 200


async def test_options_says_what_is_possible(wire: Wire) -> None:
    assert (await wire.request("OPTIONS", "/echo")).headers["allow"] == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert (await wire.request("OPTIONS", "/echo/sum")).headers["allow"] == "POST, PUT, PATCH, DELETE, OPTIONS"
    assert (await wire.request("OPTIONS", "*")).status == 204
    assert (await wire.request("OPTIONS", "/nobody")).status == 404


async def test_a_page_of_another_origin_may_ask_for_leave(wire: Wire) -> None:
    asked = {
        "Origin": "http://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
    }
    answer = await wire.request("OPTIONS", "/echo", headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "http://a.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "content-type, authorization"
    assert "access-control-allow-credentials" not in answer.headers


async def test_only_chosen_origins(start: Start) -> None:
    bench = await start(cors_origins=("http://b.example",))
    wire = await bench.connect()
    asked = {"Origin": "http://a.example", "Access-Control-Request-Method": "POST"}
    answer = await wire.request("OPTIONS", "/echo", headers=asked)
    assert not any(name.startswith("access-control") for name in answer.headers)
    answer = await wire.request("OPTIONS", "/echo", headers={**asked, "Origin": "http://b.example"})
    assert answer.headers["access-control-allow-origin"] == "http://b.example"


async def test_no_origin_at_all(start: Start) -> None:
    bench = await start(cors_origins=())
    wire = await bench.connect()
    answer = await wire.request("POST", "/echo", b"{}", {"Origin": "http://a.example"})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_target_with_host(wire: Wire) -> None:
    """It says more than the header Host, also about whether it is allowed."""
    wire.send("GET http://localhost/echo HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert (await wire.answer()).status == 200
    wire.send("GET http://evil.example/echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await wire.answer()).status == 421


async def test_a_missing_host(wire: Wire) -> None:
    wire.send("GET /echo HTTP/1.1\r\n\r\n")
    assert (await wire.answer()).status == 400


async def test_this_is_no_proxy(wire: Wire) -> None:
    wire.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
    assert (await wire.answer()).status == 405
    assert await wire.closed()


async def test_an_upgrade_to_http_2_is_ignored(wire: Wire) -> None:
    """As curl --http2 sends it: the body is there all the same, and so is the next request."""
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    wire.send(POST + upgrade + 'Content-Length: 7\r\n\r\n{"n":1}' + post('{"n":2}'))
    assert (await wire.answer()).json() == {"n": 1}
    assert (await wire.answer()).json() == {"n": 2}
    wire.send(POST + upgrade + 'Transfer-Encoding: chunked\r\n\r\n7\r\n{"n"')
    await wire.writer.drain()
    wire.send(":3}\r\n0\r\n\r\n")
    assert (await wire.answer()).json() == {"n": 3}


async def test_a_client_that_goes_away_cancels_its_call(bench: Bench, wire: Wire) -> None:
    wire.send(post("{}", "/echo/hold"))
    held = await bench.services.held.get()
    await wire.close()
    await held.canceled.wait()
    await bench.idle()
    assert bench.table.stats["default", "echo", "hold"].codes == {499: 1}


async def test_an_answer_for_a_client_that_is_gone_is_dropped(bench: Bench, wire: Wire) -> None:
    """A reply in the same turn as the loss of the connection harms nobody."""
    wire.send(post("{}", "/echo/hold"))
    held = await bench.services.held.get()
    for connection in list(bench.gateway.connections):
        connection.transport.abort()
    held.inbound.reply(b"{}")
    await bench.idle()
    other = await bench.connect()
    assert (await other.request("POST", "/echo", b"{}")).status == 200


async def test_a_client_that_goes_away_within_a_body(bench: Bench, wire: Wire) -> None:
    wire.send(POST + "Content-Length: 100\r\n\r\n{")
    other = await bench.connect()
    assert (await other.request("POST", "/echo", b"{}")).status == 200
    await wire.close()
    await bench.idle()
    assert len(bench.services.calls) == 1


async def test_writing_pauses_for_a_client_that_does_not_read(bench: Bench) -> None:
    """Answers wait in the client's requests, not in our memory."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port, limit=1024)
    wire = Wire(reader, writer)
    body = '{"text":"' + "x" * 100_000 + '"}'
    sent = 0
    for _ in range(200):
        wire.send(post(body))
        sent += 1
        try:
            await asyncio.wait_for(writer.drain(), 0.05)
        except TimeoutError:
            break
    for connection in bench.gateway.connections:
        assert connection.transport.get_write_buffer_size() < 1_000_000
    assert len(bench.services.calls) < sent or sent < 200
    for _ in range(sent):
        assert (await wire.answer()).body == body.encode()
    await wire.close()
