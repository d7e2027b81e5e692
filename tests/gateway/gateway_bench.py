"""A gateway on a real socket, in front of services that the test itself answers for.

Known to the tests here through `conftest.py`, which other modules cannot import from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from microlite.core import errors
from microlite.core.auth.authority import Authority
from microlite.core.auth.standing import Standing
from microlite.core.clock import SystemClock
from microlite.core.description.structs import EndpointDescription, Role, ServiceDescription, Streaming
from microlite.core.rpc.call import Call, LocalInbound, Receiver
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.server import Gateway
from microlite.web.gateway.table import BUILT_IN, PathTable

TOKEN = "the-admin-token"

NUMBERS = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "price": {"type": "number"},
        "paid": {"type": "boolean"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "customer": {"$ref": "#/$defs/Customer"},
        "id": {"type": "string"},
    },
    "$defs": {"Customer": {"type": "object", "properties": {"age": {"type": "integer"}, "zip": {"type": "string"}}}},
}

LARGE = msgspec.json.encode({"text": "wörter " * 200_000})
"""So large that nothing is done with it on the loop."""


def describe(name: str, *endpoints: EndpointDescription, metadata: Mapping[str, str] | None = None) -> Any:
    return ServiceDescription(name=name, metadata=dict(metadata or {}), endpoints=endpoints)


ECHO = describe(
    "echo",
    EndpointDescription(name="call", request=NUMBERS),
    EndpointDescription(name="later"),
    EndpointDescription(name="hold"),
    EndpointDescription(name="large"),
    EndpointDescription(name="nothing"),
    EndpointDescription(name="fail"),
    EndpointDescription(name="crash"),
    EndpointDescription(name="meta"),
    EndpointDescription(name="read", request=NUMBERS, route="GET /echo/items/{id}"),
    EndpointDescription(name="special", request=NUMBERS, route="GET /echo/items/special"),
    EndpointDescription(name="count", streaming=Streaming.SERVER),
    EndpointDescription(name="tick", streaming=Streaming.SERVER),
    EndpointDescription(name="flood", streaming=Streaming.SERVER),
    EndpointDescription(name="sum", streaming=Streaming.CLIENT),
    EndpointDescription(name="chat", streaming=Streaming.BIDIRECTIONAL),
    EndpointDescription(name="private", scopes=("secret",)),
)
STORE = describe(
    "store",
    EndpointDescription(name="read", reads=True, role=Role.ADMIN),
    EndpointDescription(name="write", role=Role.ADMIN),
)


class Held(Receiver):
    """A call that waits for the test, and what its caller said meanwhile."""

    def __init__(self, inbound: LocalInbound) -> None:
        self.inbound = inbound
        self.items: list[bytes] = []
        self.credit = inbound.credit
        self.more = asyncio.Event()
        self.ended = asyncio.Event()
        self.canceled = asyncio.Event()
        inbound.receiver = self

    def on_item(self, payload: bytes) -> None:
        self.items.append(payload)
        self.inbound.grant(len(payload) + 64)
        self.more.set()

    def on_end(self) -> None:
        self.ended.set()

    def on_credit(self, size: int) -> None:
        self.credit += size
        self.more.set()

    def on_cancel(self, error: errors.Error) -> None:
        self.canceled.set()


class Services:
    """Stands in for the router: answers calls by the name of their endpoint."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.held: asyncio.Queue[Held] = asyncio.Queue()

    def send(self, call: Call) -> None:
        self.calls.append(call)
        inbound = LocalInbound(call, 0.0)
        name = call.endpoint
        loop = asyncio.get_running_loop()
        if name == "later":
            loop.call_soon(inbound.reply, call.payload)
        elif name in ("hold", "tick", "flood", "sum", "chat"):
            self.held.put_nowait(Held(inbound))
        elif name == "large":
            inbound.reply(LARGE)
        elif name == "nothing":
            inbound.reply(b"null")
        elif name == "fail":
            error = msgspec.json.decode(call.payload, type=dict[str, Any])
            inbound.fail(errors.restore(error.get("code", 409), error.get("status", ""), "it went wrong", "echo.fail"))
        elif name == "crash":
            raise ZeroDivisionError("a router that raises, which it must not")
        elif name == "meta":
            account = call.account.id if call.account is not None else None
            inbound.reply(msgspec.json.encode({**(call.metadata or {}), "account": account, "timeout": call.timeout}))
        elif name == "count":
            for number in range(3):
                inbound.item(b'{"n":\n%d}' % number)
            inbound.end()
        else:
            inbound.reply(call.payload)


class Answer(msgspec.Struct):
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: str = "HTTP/1.1"

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Wire:
    """A client that sends what the test says, byte by byte, and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def head(self) -> Answer:
        """The head of the next answer; 100 Continue counts as one."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw[:-4].split("\r\n")
        version, status, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Answer(int(status), headers, b"", version)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body, empty for the last."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        body = await self.reader.readexactly(size + 2)
        return body[:-2]

    async def answer(self, method: str = "GET") -> Answer:
        """The next whole answer."""
        answer = await self.head()
        if method == "HEAD" or answer.status in (100, 204, 304):
            return answer
        if "content-length" in answer.headers:
            answer.body = await self.reader.readexactly(int(answer.headers["content-length"]))
        elif answer.headers.get("transfer-encoding") == "chunked":
            while chunk := await self.chunk():
                answer.body += chunk
        else:
            answer.body = await self.reader.read()
        return answer

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and return its answer."""
        lines = {"Host": "localhost", **(headers or {})}
        if body is not None:
            lines.setdefault("Content-Type", "application/json")
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b""))
        return await self.answer(method)

    async def send_until_cut_off(self, data: str) -> None:
        """Send the same again and again, until the other side resets the connection."""
        while True:
            self.send(data)
            await self.writer.drain()

    async def closed(self) -> bool:
        """Whether the other side closes without sending anything more."""
        return await self.reader.read(1) == b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


class NoPrograms:
    """There are no HTTP programs."""

    async def acquire(self, namespace: str, name: str) -> Any:
        raise errors.ServiceUnavailable(f'no program "{name}" is up')


class Bench:
    """A running gateway with what surrounds it."""

    def __init__(self, gateway: Gateway, table: PathTable, services: Services) -> None:
        self.gateway = gateway
        self.table = table
        self.services = services
        self._wires: list[Wire] = []

    async def connect(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.gateway.port))
        self._wires.append(wire)
        return wire

    async def close(self) -> None:
        for wire in self._wires:
            await wire.close()
        await self.gateway.stop(grace=0.5)

    async def busy(self) -> None:
        """Return when a request is being answered."""
        while not self.gateway.edge.active:
            await asyncio.sleep(0)

    async def disconnected(self) -> None:
        """Return when no connection is open."""
        await self.gateway.edge.emptied(self.gateway.connections)

    async def idle(self) -> None:
        """Return when no request is being answered. Fails by the test's own time limit."""
        while self.gateway.edge.active:
            await asyncio.sleep(0)


Start = Callable[..., Awaitable[Bench]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], Any]] | None:
    """Every test here runs on both loops: they differ in how they close, half-close and pause."""
    if item.path.parent != Path(__file__).parent:
        return None
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a gateway with options of the test's own."""
    benches: list[Bench] = []

    async def start(*, programs: Any = None, descriptions: Any = (), **options: Any) -> Bench:
        options.setdefault("cors_origins", ("*",))
        services = Services()
        table = PathTable()
        table.update("default", ECHO)
        table.update(BUILT_IN, STORE)
        for description in descriptions:
            table.update("default", description)
        standing = Standing(TOKEN)
        gateway = Gateway(
            GatewayOptions(port=0, **options),
            table=table,
            send=services.send,
            programs=programs or NoPrograms(),
            authority=Authority(standing, standing, {"store": STORE}.get, standing),
            clock=SystemClock(),
        )
        await gateway.start()
        benches.append(Bench(gateway, table, services))
        return benches[-1]

    yield start
    for bench in benches:
        await bench.close()


@pytest.fixture(params=["fast", "asgi"])
def way(request: pytest.FixtureRequest) -> str:
    """Both ways of answering: from the parser's callbacks, and by the ASGI application."""
    return str(request.param)


@pytest.fixture
async def bench(start: Start, way: str) -> Bench:
    """A gateway, once for each way."""
    return await start(fast=way == "fast")


@pytest.fixture
async def wire(bench: Bench) -> Wire:
    """A connection to `bench`."""
    return await bench.connect()
