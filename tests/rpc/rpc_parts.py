"""A service with an endpoint for each kind of call, two connections joined by a socket, and a transport made of lists."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.call import Call
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.flow import CreditGate, ItemQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from microlite.core.rpc.call import Inbound

HELLO = frames.Hello(frames.VERSION, "peer", {"of": "tests"})


class Hearing:
    """A receiver that writes down what it hears, and a flow to serve a stream with."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        self.queue = ItemQueue(inbound.grant)
        self.gate = CreditGate(inbound.credit)
        self.items: list[bytes] = []
        self.ended = asyncio.Event()
        self.canceled: asyncio.Future[errors.Error] = asyncio.get_running_loop().create_future()
        inbound.receiver = self

    def on_item(self, payload: bytes) -> None:
        self.items.append(payload)
        self.queue.put(payload)

    def on_end(self) -> None:
        self.ended.set()
        self.queue.end()

    def on_credit(self, size: int) -> None:
        self.gate.give(size)

    def on_cancel(self, error: errors.Error) -> None:
        assert not self.canceled.done(), "canceled twice"
        self.canceled.set_result(error)
        self.queue.end(error)
        self.gate.close(error)


class Service:
    """Serves `echo`, `fail`, `refuse`, `hold`, `count`, `total`, `chat` and `flood`; keeps what arrived.

    Attributes:
        seen: the payload of each call, in order of arrival.
        arrived: calls of `hold` and of the streams, as they come.
    """

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.arrived: asyncio.Queue[Hearing] = asyncio.Queue()
        self.sent = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, inbound: Inbound) -> None:
        self.seen.append(inbound.payload)
        match inbound.endpoint:
            case "echo":
                inbound.reply(inbound.payload)
            case "tell":
                told = [inbound.service, inbound.encoding, inbound.namespace, inbound.metadata, inbound.credit]
                inbound.reply(json.dumps(told).encode())
            case "fail":
                code, status, detail, error_id = json.loads(inbound.payload)
                inbound.fail(errors.restore(code, status, detail, error_id))
            case "refuse":
                inbound.refuse("not now")
            case "hold":
                self.arrived.put_nowait(Hearing(inbound))
            case "count" | "total" | "chat" | "flood":
                hearing = Hearing(inbound)
                self.arrived.put_nowait(hearing)
                self._start(getattr(self, f"_{inbound.endpoint}")(hearing))
            case _:
                inbound.fail(errors.EndpointNotFound(inbound.endpoint))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _count(self, hearing: Hearing) -> None:
        """Stream as many items of as many bytes as the request says (`"3 100"`), within the caller's credit."""
        count, size = map(int, hearing.inbound.payload.split())
        with contextlib.suppress(errors.Error):
            for number in range(count):
                await hearing.gate.wait()
                payload = str(number).encode().ljust(size, b".")
                hearing.gate.take(len(payload))
                hearing.inbound.item(payload)
                self.sent += 1
            hearing.inbound.end()

    async def _total(self, hearing: Hearing) -> None:
        total = 0
        try:
            while (payload := await hearing.queue.get()) is not None:
                total += len(payload)
            hearing.inbound.reply(str(total).encode())
        except errors.Error as error:
            hearing.inbound.fail(error)

    async def _chat(self, hearing: Hearing) -> None:
        with contextlib.suppress(errors.Error):
            while (payload := await hearing.queue.get()) is not None:
                await hearing.gate.wait()
                hearing.gate.take(len(payload))
                hearing.inbound.item(b"> " + payload)
            hearing.inbound.end()

    async def _flood(self, hearing: Hearing) -> None:
        """Send without minding any credit."""
        for _ in range(10):
            hearing.inbound.item(bytes(100_000))

    async def finished(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def joined(server: Service | None = None, client: Service | None = None) -> AsyncIterator[tuple[Any, Any]]:
    """The two ends of a connection, the dialling one first, after both said HELLO."""
    loop = asyncio.get_running_loop()
    services = (client or Service(), server or Service())
    greeted: list[asyncio.Future[None]] = [loop.create_future(), loop.create_future()]
    ends: list[Connection] = []
    for number, one in enumerate(socket.socketpair()):
        one.setblocking(False)
        _, end = await loop.create_connection(
            lambda number=number: Connection(  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                services[number],
                dialled=number == 0,
                hello=HELLO,
                on_hello=lambda _: greeted[number].set_result(None),
            ),
            sock=one,
        )
        ends.append(end)
    await asyncio.gather(*greeted)
    try:
        yield ends[0], ends[1]
    finally:
        for end in ends:
            end.abort()
            await end.closed
        for service in services:
            await service.finished()


class Wire(asyncio.Transport):
    """A transport whose other end is the test: keeps what is written, and can pretend that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.unread = 0
        self.closing = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def frames(self) -> list[frames.AnyFrame]:
        """What was written since the last look, decoded."""
        decoder = frames.FrameDecoder()
        found = decoder.feed(bytes(self.sent))
        assert decoder.error is None
        assert decoder.pending == 0
        self.sent.clear()
        return found


def on_wire(service: Service | None = None, *, dialled: bool = False, hello: bool = True) -> tuple[Connection, Wire]:
    """A connection whose other end is the test, after HELLO in both directions unless told otherwise."""
    connection = Connection(service or Service(), dialled=dialled, hello=HELLO)
    wire = Wire()
    connection.connection_made(wire)
    if hello:
        connection.data_received(frames.encode(HELLO))
    return connection, wire


async def turn() -> None:
    """Let the loop go round, so that what was written in this turn leaves."""
    for _ in range(3):
        await asyncio.sleep(0)


class Watched(Call):
    """A call that writes down how it ends, which must happen exactly once, and what came before."""

    __slots__ = ("ends", "items", "reasons")

    def __init__(self, endpoint: str = "echo", payload: bytes = b"", **options: Any) -> None:
        super().__init__("s", endpoint, payload, **options)
        self.ends: list[object] = []
        self.items: list[bytes] = []
        self.reasons: list[str] = []

    def on_reply(self, payload: bytes) -> None:
        self.ends.append(payload)

    def on_error(self, error: errors.Error) -> None:
        self.ends.append(error)

    def on_item(self, payload: bytes) -> None:
        self.items.append(payload)

    def on_end(self) -> None:
        self.ends.append(None)

    def resendable(self) -> Watched:
        """Give it a router, which only writes down that the call came back, and why."""
        self.resend = lambda _, reason: self.reasons.append(reason)
        return self

    @property
    def error(self) -> errors.Error:
        """The one error that it ended with."""
        (end,) = self.ends
        assert isinstance(end, errors.Error)
        return end
