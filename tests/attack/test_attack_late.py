"""What was right a moment ago: tokens, connections and streams that outlive what they were allowed by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from microlite import Context, Service
from microlite.testing import RunningPlatform, platform

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
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{shown}{more}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    return Kept(reader, writer, head.encode() + b"{}")


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
