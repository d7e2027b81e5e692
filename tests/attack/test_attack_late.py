"""What was right a moment ago: tokens, connections and streams that outlive what they were allowed by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from microlite import Context, Service, errors
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import RunningPlatform, platform
from tests.library.test_library_peers import Hops

SECRET = "a secret of the test"


class Kept:
    """A connection to the gateway that is kept alive, and sends the same bytes again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.request = request

    async def ask(self) -> int:
        """The code of the next answer."""
        self.writer.write(self.request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
        await self.reader.readexactly(size)
        return int(head.split()[1])


@pytest.fixture
def service() -> Service:
    service = Service("orders")

    @service.endpoint
    async def pay(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    @service.endpoint
    async def ticks() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    return service


@pytest_asyncio.fixture
async def running(service: Service) -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        await running.call("auth.accounts.create", id="ann", scopes=["buyer"], secret=SECRET)
        await running.serve(service)
        yield running


async def kept(running: RunningPlatform, path: str, token: str = "", more: str = "") -> Kept:
    address = urlsplit(running.http)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    shown = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    return Kept(reader, writer, f"{head}{shown}{more}\r\n{{}}".encode())


async def deny(running: RunningPlatform) -> None:
    await running.call("auth.rules.create", id="no", resource={"name": "orders"}, access="denied", priority=9)
    await running.call("auth.rules.create", id="no-store", resource={"name": "store"}, access="denied", priority=9)


async def narrow(running: RunningPlatform) -> None:
    await running.call("auth.accounts.update", id="ann", scopes=[])


async def disable(running: RunningPlatform) -> None:
    await running.call("auth.accounts.update", id="ann", disabled=True)


async def delete(running: RunningPlatform) -> None:
    await running.call("auth.accounts.delete", id="ann")


async def change_secret(running: RunningPlatform) -> None:
    await running.call("auth.accounts.change-secret", id="ann", new_secret="another secret")


Act = Callable[[RunningPlatform], Awaitable[None]]


@pytest.mark.parametrize("act", [deny, narrow, disable, delete, change_secret])
@pytest.mark.parametrize("path", ["/orders/pay", "/store/list"])
@pytest.mark.parametrize("more", ["", "Micro-Namespace: default\r\n"])
async def test_what_is_taken_back_is_taken_from_connections_that_are_open(
    act: Act, path: str, more: str, running: RunningPlatform
) -> None:
    """On the ways that remember a head, and on those that do not."""
    token = (await running.call("auth.token", id="ann", secret=SECRET))["access_token"]
    connections = [await kept(running, path, token, more) for _ in range(3)]
    for connection in connections:
        assert [await connection.ask() for _ in range(3)] == [200, 200, 200]
    await act(running)
    for connection in connections:
        after = {await connection.ask() for _ in range(3)}
        if act is deny:
            assert after == {403}
        elif path.startswith("/store"):
            assert after == {401}
        else:
            assert (await running.call("auth.rules.list"))[0]["id"] == "default"  # it is open to nobody in particular
            assert after == {200}
        connection.writer.close()


async def test_a_rule_holds_for_nobody_too_on_connections_that_are_open(running: RunningPlatform) -> None:
    connection = await kept(running, "/orders/pay")
    assert [await connection.ask() for _ in range(3)] == [200, 200, 200]
    await deny(running)
    assert [await connection.ask() for _ in range(2)] == [401, 401]
    await running.call("auth.rules.delete", id="no")
    assert await connection.ask() == 200
    connection.writer.close()


class Ticks:
    """A stream of server-sent events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def begun(self) -> None:
        """Return when it has."""
        await self.reader.readuntil(b"data: 1\n\n\r\n")

    async def rest(self) -> str:
        """All that comes until it is over."""
        found = (await self.reader.readuntil(b"0\r\n\r\n")).decode()
        self.writer.close()
        return found


async def ticks(running: RunningPlatform, token: str) -> Ticks:
    connection = await kept(running, "/orders/ticks", token, "Accept: text/event-stream\r\n")
    connection.writer.write(connection.request)
    stream = Ticks(connection.reader, connection.writer)
    await stream.begun()
    return stream


@pytest.mark.parametrize("act", [deny, narrow, disable, delete, change_secret, None])
async def test_a_stream_ends_with_what_allowed_it(act: Act | None, running: RunningPlatform) -> None:
    """That of who keeps his rights goes on, although his token has expired meanwhile. None stands for logging out."""
    await running.call("auth.accounts.create", id="bob", scopes=["buyer"], secret=SECRET)
    token, other = [(await running.call("auth.token", id=who, secret=SECRET))["access_token"] for who in ("ann", "bob")]
    personal = (await running.call("auth.tokens.create", name="t", account="ann"))["token"]
    shown = [token, personal] if act is not None else [token]
    streams = [await ticks(running, one) for one in shown]
    stays = await ticks(running, other)
    async with asyncio.timeout(10):
        if act is not None:
            await act(running)
        else:
            await running.call("auth.logout", token=token)
        for stream in streams:
            said = await stream.rest()
            assert ("403" if act is deny else "401") in said, said
        if act is deny:
            assert "403" in await stays.rest()
            return
        running.advance(3_600)
        await running.call("auth.accounts.update", id="bob", scopes=["seller"])
        assert "401" in await stays.rest(), "it went on until now"


@pytest.mark.parametrize("act", [deny, disable])
async def test_a_stream_on_the_wire_ends_with_what_allowed_it(act: Act, running: RunningPlatform) -> None:
    token = (await running.call("auth.token", id="ann", secret=SECRET))["access_token"]
    client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
    for service, endpoint, fields in (("orders", "ticks", {}), ("store", "watch", {"table": "t"})):
        payload = msgspec.msgpack.encode(fields)
        call = StreamCall(
            service, endpoint, payload, token=token, namespace="default", timeout=None, credit=INITIAL_CREDIT
        )
        async with asyncio.timeout(10), call:
            call_items = call.items()
            client.start(call)
            reading = asyncio.ensure_future(_all(call_items))
            while not running._booted.authority.standing._streams:
                await asyncio.sleep(0)
            if endpoint == "ticks" or act is deny:
                await act(running)
            with pytest.raises(errors.Forbidden if act is deny else errors.Unauthorized):
                await reading
        if act is deny:
            await running.call("auth.rules.delete", id="no")
            await running.call("auth.rules.delete", id="no-store")
    client.close()
    await client.closed


async def _all(items: AsyncIterator[bytes]) -> None:
    async for _ in items:
        pass


@pytest.mark.parametrize("act", [narrow, disable, delete, change_secret])
async def test_a_call_that_is_under_way_acts_for_nobody_who_is_gone(act: Act, running: RunningPlatform) -> None:
    """A handler that goes on after its caller's account was taken away: neither the platform nor other nodes, which it
    calls directly, take the token any more.
    """
    outer, inner = Service("outer"), Service("inner")
    begun, go_on = asyncio.Event(), asyncio.Event()

    @inner.endpoint
    async def answer(ctx: Context) -> str:
        return ctx.account.id if ctx.account is not None else "nobody"

    @outer.endpoint
    async def ask(ctx: Context, waits: bool = False) -> list[str]:
        found: list[str] = []
        if waits:
            begun.set()
            await go_on.wait()
        for target in ("inner.answer", "auth.whoami", "store.list", "schedules.list"):
            try:
                found.append(str(await ctx.call(target)))
            except errors.Error as error:
                found.append(type(error).__name__)
        return found

    await running.serve(inner)
    await running.serve(outer)
    token = (await running.call("auth.token", id="ann", secret=SECRET))["access_token"]
    hops = Hops(running)
    client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")

    async def called(**fields: bool) -> list[str]:
        call = UnaryCall("outer", "ask", msgspec.msgpack.encode(fields), token=token, namespace="default")
        answered: list[str] = msgspec.msgpack.decode(await call.run(client.start))
        return answered

    async with asyncio.timeout(20):
        while True:
            before = hops.of("inner.answer")
            assert (await called())[0] == "ann"
            if hops.of("inner.answer") == before:
                break  # it went directly
        late = asyncio.ensure_future(called(waits=True))
        await begun.wait()
        await act(running)
        go_on.set()
        assert await late == ["Unauthorized"] * 4
    client.close()
    await client.closed
