"""WebSockets of HTTP programs, at an origin of their own and below a path; uvicorn with websockets plays the program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from microlite.core import errors
from tests.gateway.gateway_bench import TOKEN, Bench, Start, Wire, describe

SITE = [describe("site", metadata={"protocol": "http"})]
UPGRADE = (
    "Host: site.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class Programs:
    """Finds the one program of a test, and counts who holds it."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.leased = 0
        self.streams = 0

    async def acquire(self, namespace: str, name: str) -> Any:
        if not self.urls:
            raise errors.ServiceUnavailable(f'no program "{name}" is up')
        self.leased += 1
        return Lease(self, self.urls.pop(0) if len(self.urls) > 1 else self.urls[0])


class Lease:
    def __init__(self, programs: Programs, base_url: str) -> None:
        self.base_url = base_url
        self._programs = programs

    def begin_stream(self) -> None:
        self._programs.streams += 1

    def release(self) -> None:
        self._programs.leased -= 1


class Site:
    """An ASGI program that echoes messages, and keeps what it learns of its clients."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.ends: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.scopes.append(scope)
        if scope["path"].endswith("/refuse"):
            body = {"type": "websocket.http.response.body", "body": b"members only"}
            await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-why", b"tea")]})
            await send(body)
            return
        subprotocols = scope["subprotocols"]
        chosen = subprotocols[-1] if subprotocols else None
        await receive()
        await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"set-cookie", b"a=1")]})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.ends.put_nowait(message["code"])
                return
            if message.get("text") == "leave":
                await send({"type": "websocket.close", "code": 4321, "reason": "as you like"})
            else:
                await send({**message, "type": "websocket.send"})

    def headers(self, index: int = -1) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.scopes[index]["headers"]}


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
async def site(programs: Programs) -> AsyncIterator[Site]:
    site = Site()
    server = uvicorn.Server(
        uvicorn.Config(site, port=0, ws="websockets-sansio", log_level="error", lifespan="off", ws_max_size=2**24)
    )
    listener = uvicorn.Config(site, port=0).bind_socket()
    task = asyncio.create_task(server._serve([listener]))
    programs.urls.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
    while not server.started:
        await asyncio.sleep(0)
    yield site
    server.should_exit = server.force_exit = True
    await task
    listener.close()


@pytest.fixture
def patience() -> float:
    """Seconds that the gateway waits for a program's answer: more than any needs, but where a test is about that."""
    return 30.0


@pytest.fixture
async def bench(start: Start, programs: Programs, patience: float) -> AsyncIterator[Bench]:
    bench = await start(programs=programs, descriptions=SITE, program_timeout=patience, linger=0.5)
    yield bench
    await bench.close()
    assert programs.leased == 0
    assert bench.gateway.edge.tunnels == set()


def opening(bench: Bench, path: str = "/ws", host: str = "site.localhost", **options: Any) -> connect:
    return connect(f"ws://{host}:{bench.gateway.port}{path}", host="127.0.0.1", proxy=None, **options)


async def ended(socket: ClientConnection) -> tuple[int | None, str | None]:
    with pytest.raises(ConnectionClosed):
        raise AssertionError(await socket.recv())
    return socket.close_code, socket.close_reason


@pytest.mark.parametrize(
    ("host", "path", "arrives", "prefix"),
    [
        ("site.localhost", "/ws/a?b=c%20d", "/ws/a?b=c%20d", None),
        ("localhost", "/site/ws/a?b=c%20d", "/ws/a?b=c%20d", "/site"),
        ("localhost", "/api/Site/ws", "/ws", "/api/Site"),
        ("localhost", "/site", "/", "/site"),
    ],
)
async def test_messages_pass_both_ways(
    host: str, path: str, arrives: str, prefix: str | None, site: Site, bench: Bench, programs: Programs
) -> None:
    """The program learns where it is, and is held while the WebSocket is open."""
    async with opening(bench, path, host) as socket:
        for message in ("hello", b"\x00\xff", "x" * 1_000_000):
            await socket.send(message)
            assert await socket.recv() == message
        assert programs.leased == programs.streams == 1
        assert len(bench.gateway.edge.tunnels) == 1
    scope = site.scopes[0]
    raw = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    assert raw.decode() == arrives
    headers = site.headers()
    assert headers["host"] == headers["x-forwarded-host"] == f"{host}:{bench.gateway.port}"
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers.get("x-forwarded-prefix") == prefix
    assert headers["traceparent"].startswith("00-")
    assert await site.ends.get() == 1000
    await bench.idle()
    assert bench.table.stats["default", "site", ""].codes == {101: 1}


async def test_client_and_program_agree_by_themselves(site: Site, bench: Bench) -> None:
    """On subprotocols and compression; the program's own headers pass."""
    protocols = [Subprotocol("one"), Subprotocol("two")]
    async with opening(bench, subprotocols=protocols, origin="http://any.example") as socket:
        assert socket.subprotocol == "two"
        assert socket.response is not None
        assert socket.response.headers["set-cookie"] == "a=1"
        assert "content-security-policy" not in socket.response.headers
        assert socket.protocol.extensions, "compression was not agreed on"
        await socket.send("y" * 10_000)
        assert await socket.recv() == "y" * 10_000
    assert site.headers()["origin"] == "http://any.example"


async def test_the_platforms_credentials_are_not_passed_on(site: Site, bench: Bench) -> None:
    """Neither in a header nor as a subprotocol; a token of the program's own is its own matter."""
    secret = {"Authorization": f"Bearer {TOKEN}", "Cookie": "microlite-session=x; b=2"}
    async with opening(bench, additional_headers=secret, subprotocols=[Subprotocol(f"bearer.{TOKEN}")]):
        pass
    headers = site.headers()
    assert TOKEN not in str(headers)
    assert headers["cookie"] == "b=2"
    async with opening(bench, subprotocols=[Subprotocol("chat"), Subprotocol("bearer.theirs")]):
        pass
    assert site.headers()["sec-websocket-protocol"] == "chat, bearer.theirs"


async def test_the_program_closes(site: Site, bench: Bench) -> None:
    async with opening(bench) as socket:
        await socket.send("leave")
        assert await ended(socket) == (4321, "as you like")
    await bench.idle()


async def test_the_client_closes(site: Site, bench: Bench) -> None:
    async with opening(bench) as socket:
        await socket.close(4001, "bye")
        assert socket.close_code == 4001
    assert await site.ends.get() == 4001
    await bench.disconnected()


async def test_the_client_vanishes(site: Site, bench: Bench) -> None:
    async with opening(bench) as socket:
        await socket.send("x")
        await socket.recv()
        socket.transport.abort()
        assert await site.ends.get() in (1005, 1006)
    await bench.idle()


async def test_a_refusal_is_passed_on(site: Site, bench: Bench) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(bench, "/refuse"):
            pass
    response = caught.value.response
    assert (response.status_code, response.body, response.headers["x-why"]) == (418, b"members only", "tea")


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_answers_of_all_kinds_are_passed_on(reply: bytes, body: bytes, programs: Programs, bench: Bench) -> None:
    server = await _serve(programs, reply)
    wire = await bench.connect()
    wire.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.body) == (204 if not body else 200, body)
    assert "link" not in answer.headers
    assert await wire.closed()
    server.close()


async def _serve(programs: Programs, reply: bytes) -> asyncio.Server:
    """A program that answers every request with these bytes, and is gone."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    programs.urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    return server


@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000])
async def test_a_program_that_gives_no_answer(reply: bytes, programs: Programs, bench: Bench) -> None:
    server = await _serve(programs, reply)
    wire = await bench.connect()
    wire.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.json()["status"]) == (502, "Bad Gateway")
    server.close()


async def test_a_program_that_breaks_off(programs: Programs, bench: Bench) -> None:
    server = await _serve(programs, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    wire = await bench.connect()
    wire.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    with pytest.raises(asyncio.IncompleteReadError):
        await wire.answer()
    server.close()


@pytest.fixture
async def silent(programs: Programs) -> AsyncIterator[None]:
    """The program accepts connections, and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    programs.urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    yield
    server.close()


@pytest.mark.parametrize("patience", [0.3])
async def test_a_program_that_is_too_slow(silent: None, bench: Bench) -> None:
    wire = await bench.connect()
    wire.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    assert (await wire.answer()).status == 504
    assert bench.table.stats["default", "site", ""].codes == {504: 1}


async def test_a_client_that_is_gone_before_the_program_answers(silent: None, bench: Bench) -> None:
    gone = await bench.connect()
    gone.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    await bench.busy()
    await gone.close()
    await bench.idle()
    assert bench.table.stats["default", "site", ""].codes == {499: 1}


async def test_no_program_is_up(bench: Bench) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(bench):
            pass
    assert caught.value.response.status_code == 503
    with pytest.raises(InvalidStatus) as caught:
        async with opening(bench, host="nobody.localhost"):
            pass
    assert caught.value.response.status_code == 404


async def test_a_refused_connection_is_tried_again(site: Site, programs: Programs, bench: Bench) -> None:
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    nowhere = f"http://127.0.0.1:{closed.sockets[0].getsockname()[1]}"
    closed.close()
    await closed.wait_closed()
    programs.urls = [nowhere, nowhere, *programs.urls]
    async with opening(bench) as socket:
        await socket.send("x")
        assert await socket.recv() == "x"


async def test_a_stop_cuts_it(site: Site, bench: Bench) -> None:
    async with opening(bench) as socket:
        await socket.send("x")
        await socket.recv()
        await bench.gateway.stop(grace=5)
        assert (await ended(socket))[0] == 1006
    assert await site.ends.get() in (1005, 1006)


async def test_what_one_side_does_not_read_stays_with_the_other(programs: Programs, bench: Bench) -> None:
    """In both directions: nothing piles up in the gateway."""
    writers: list[asyncio.StreamWriter] = []
    open_for_good = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        writers.append(writer)
        await open_for_good.wait()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    programs.urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    wire = Wire(*await asyncio.open_connection("127.0.0.1", bench.gateway.port, limit=1024))
    wire.send(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n")
    assert (await wire.head()).status == 101
    assert await wire.reader.readexactly(5) == b"first"
    assert await _blocks(wire.writer)
    assert await _blocks(writers[0])
    for connection in bench.gateway.connections:
        assert connection.transport.get_write_buffer_size() < 500_000
        assert connection.channel is not None
        assert len(connection.channel._buffer) < 500_000
    wire.writer.transport.abort()
    await bench.idle()
    open_for_good.set()
    writers[0].transport.abort()
    server.close()


async def _blocks(writer: asyncio.StreamWriter) -> bool:
    """Whether writing comes to a halt before 100 MB."""
    for _ in range(1000):
        writer.write(b"x" * 100_000)
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            return True
    return False
