"""Every built-in endpoint, called by everybody, on every way: what passes is what its least role says, and nothing else.

The calls carry a request that cannot be read. Whoever may not call learns that he may not (401, 403); whoever may is told
about the request (400): nothing is done by either.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from microlite import Context, Service, errors
from microlite.core.context import NOBODY
from microlite.core.description.structs import EndpointDescription, Role
from microlite.core.library.peers import RefuseCalls
from microlite.core.rpc.call import StreamCall, UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import RunningPlatform, platform

SECRET = "a secret of the test"
UNREADABLE = b"\xc1"
"""What no MessagePack begins with."""

ADMITTED = {
    Role.PUBLIC: {"nobody", "foreign", "account", "admin", "service", "platform"},
    Role.ACCOUNT: {"account", "admin", "service", "platform"},
    Role.SERVICE: {"admin", "service", "platform"},
    Role.ADMIN: {"admin", "platform"},
    Role.PLATFORM: {"platform"},
}
"""By least role, who may call. Written down once more: the code must agree with the table, not with itself."""

CALLERS = ("nobody", "foreign", "account", "admin", "service", "platform")


class World:
    """A platform with an account of each kind."""

    def __init__(self, running: RunningPlatform, tokens: dict[str, str], client: Connection) -> None:
        self.running = running
        self.tokens = tokens
        self.client = client
        self.endpoints: list[tuple[str, EndpointDescription]] = []


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with platform(namespaces=("other",)) as running:
        ask = running.options(namespace="default").call
        other = running.options(namespace="other").call
        tokens = {"nobody": "", "platform": running.token}
        for who, call, more in (
            ("account", ask, {}),
            ("admin", ask, {"scopes": ["admin"]}),
            ("service", ask, {"type": "service"}),
            ("reader", ask, {"scopes": ["vault:read", "vault:rule"]}),
            ("foreign", other, {"scopes": ["admin", "vault:read", "vault:rule"]}),
        ):
            await call("auth.accounts.create", id=f"the-{who}", secret=SECRET, **more)
            tokens[who] = (await call("auth.token", id=f"the-{who}", secret=SECRET))["access_token"]
        client = await dial(str(platform_socket(running.home)), RefuseCalls(), role="client")
        made = World(running, tokens, client)
        for record in await ask("registry.list", built_in=True):
            described = msgspec.convert(record["endpoints"], list[EndpointDescription])
            made.endpoints += [(record["name"], endpoint) for endpoint in described]
        assert len(made.endpoints) > 100
        yield made
        client.close()
        await client.closed


Way = Callable[[World, str, str, EndpointDescription], Awaitable[int]]


async def over_the_wire(world: World, who: str, service: str, endpoint: EndpointDescription) -> int:
    """A client of the socket that shows a token."""
    token = world.tokens[who] or NOBODY
    return await _code(world.client.start, service, endpoint, token=token, namespace="default")


async def through_a_node(world: World, who: str, service: str, endpoint: EndpointDescription) -> int:
    """A service that calls for whoever calls it: what it may do itself does not help."""
    answer = UnaryCall(
        "relay",
        "ask",
        msgspec.msgpack.encode({"service": service, "endpoint": endpoint.name, "streams": _streams(endpoint)}),
        token=world.tokens[who] or NOBODY,
        namespace="default",
    )
    code: int = msgspec.msgpack.decode(await answer.run(world.client.start))
    return code


async def _code(send: Any, service: str, endpoint: EndpointDescription, **terms: Any) -> int:
    try:
        if _streams(endpoint):
            async with StreamCall(
                service, endpoint.name, UNREADABLE, timeout=5.0, credit=INITIAL_CREDIT, **terms
            ) as call:
                send(call)
                async for _ in call.items():
                    pass
        else:
            await UnaryCall(service, endpoint.name, UNREADABLE, timeout=5.0, **terms).run(send)
    except errors.Error as error:
        return error.code
    return 200


def _streams(endpoint: EndpointDescription) -> bool:
    return endpoint.streaming.from_server or endpoint.streaming.from_client


def relay() -> Service:
    service = Service("relay")

    @service.endpoint
    async def ask(ctx: Context, service: str, endpoint: str, streams: bool) -> int:
        try:
            if streams:
                async for _ in ctx.stream_raw(service, endpoint, UNREADABLE):
                    pass
            else:
                await ctx.call_raw(service, endpoint, UNREADABLE)
        except errors.Error as error:
            return error.code
        return 200

    return service


async def _mistakes(world: World, way: Way, callers: tuple[str, ...] = CALLERS) -> list[str]:
    """What is not as the table has it."""
    found = []
    for service, endpoint in world.endpoints:
        for who in callers:
            code = await way(world, who, service, endpoint)
            refused = 401 if who == "nobody" else 403
            passes = who in ADMITTED[endpoint.role]
            if (code == refused) == passes or (code in (401, 403) and code != refused):
                found.append(f"{service}.{endpoint.name} ({endpoint.role}) by {who}: {code}")
    return found


async def test_the_least_role_decides_on_the_wire(world: World) -> None:
    assert await _mistakes(world, over_the_wire) == []


async def test_a_service_that_hands_on_a_call_lends_its_rights_to_nobody(world: World) -> None:
    await world.running.serve(relay())
    assert await _mistakes(world, through_a_node) == []


async def test_the_least_role_decides_over_http(world: World) -> None:
    """An account of another namespace that names this one is refused whatever it asks for."""
    found = await asyncio.to_thread(_over_http, world)
    assert found == []


def _over_http(world: World) -> list[str]:
    address = urlsplit(world.running.http)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    found = []
    for service, endpoint in world.endpoints:
        for who in CALLERS:
            headers = {"Content-Type": "application/json", "Micro-Namespace": "default"}
            if world.tokens[who]:
                headers["Authorization"] = f"Bearer {world.tokens[who]}"
            path = f"/{service}/{endpoint.name.replace('.', '/')}"
            connection.request("POST", path, b'{"', headers)
            answer = connection.getresponse()
            body = answer.read()
            refused = 401 if who == "nobody" else 403
            passes = who in ADMITTED[endpoint.role] and who != "foreign"
            if (answer.status == refused) == passes or answer.status >= 500:
                found.append(f"{service}.{endpoint.name} ({endpoint.role}) by {who}: {answer.status} {body[:80]!r}")
            elif answer.status >= 400:
                assert set(json.loads(body)) == {"id", "code", "detail", "status"}
    connection.close()
    return found


# -- from node to node -------------------------------------------------------------------------------------------------

VAULT = {
    "free": {"nobody", "foreign", "account", "reader", "admin", "service", "platform"},
    "scoped": {"reader", "platform"},
    "ruled": {"reader", "platform"},
}
"""By endpoint of a user's service, who may call it: one is open, one demands a scope, one is closed by rules."""


def vault() -> Service:
    service = Service("vault")

    @service.endpoint
    async def free() -> int:
        return 200

    @service.endpoint(scopes=["vault:read"])
    async def scoped() -> int:
        return 200

    @service.endpoint
    async def ruled() -> int:
        return 200

    return service


def straight() -> Service:
    service = Service("straight")

    @service.endpoint
    async def ask(ctx: Context, endpoint: str) -> int:
        try:
            answer: int = await ctx.call(f"vault.{endpoint}")
        except errors.Error as error:
            return error.code
        return answer

    @service.endpoint
    async def connections(ctx: Context) -> int:
        transport: Any = ctx.transport
        return int(transport.direct)

    return service


@pytest.mark.parametrize("way", ["direct", "http"])
async def test_scopes_and_rules_decide_about_a_users_service(world: World, way: str) -> None:
    """Also where the call goes straight from one node to another, past the platform."""
    running = world.running
    await running.serve(vault())
    await running.serve(straight())
    ruled = {"name": "vault", "endpoint": "ruled"}
    ask = running.options(namespace="default").call
    await ask("auth.rules.create", id="close", resource=ruled, access="denied", priority=10)
    await ask("auth.rules.create", id="open", resource=ruled, scope="vault:rule", priority=20)
    if way == "direct":
        while not await ask("straight.connections"):
            await ask("straight.ask", endpoint="free")
    found = {
        endpoint: {who for who in sorted(VAULT["free"]) if await _reaches(world, who, endpoint, way)}
        for endpoint in VAULT
    }
    if way == "direct":
        assert await ask("straight.connections") == 1, "it was past the platform"
    else:  # an account of another namespace that names this one is refused whatever it asks for
        assert "foreign" not in found["free"]
        found = {endpoint: {*who, "foreign"} if endpoint == "free" else who for endpoint, who in found.items()}
    assert found == VAULT


async def _reaches(world: World, who: str, endpoint: str, way: str) -> bool:
    refused = 401 if who == "nobody" else 403
    if way == "direct":
        call = UnaryCall(
            "straight",
            "ask",
            msgspec.msgpack.encode({"endpoint": endpoint}),
            token=world.tokens[who] or NOBODY,
            namespace="default",
        )
        code: int = msgspec.msgpack.decode(await call.run(world.client.start))
    else:
        code = await asyncio.to_thread(_post, world, who, f"/vault/{endpoint}")
    assert code in (200, refused), (who, endpoint, code)
    return code == 200


def _post(world: World, who: str, path: str) -> int:
    address = urlsplit(world.running.http)
    headers = {"Content-Type": "application/json", "Micro-Namespace": "default"}
    if world.tokens[who]:
        headers["Authorization"] = f"Bearer {world.tokens[who]}"
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("POST", path, b"{}", headers)
        return connection.getresponse().status
    finally:
        connection.close()
