"""A program that speaks the wire by itself, as any language can, and registers what is not its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from microlite.core import errors
from microlite.core.description.structs import EndpointDescription, ServiceDescription
from microlite.core.library.peers import RefuseCalls
from microlite.core.registry.api import Node, Registration
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.connection import Connection
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial
from microlite.testing import RunningPlatform, platform


@pytest.fixture
async def running() -> AsyncIterator[RunningPlatform]:
    async with platform() as running:
        yield running


async def join(running: RunningPlatform, service: str) -> Connection:
    properties = {"namespace": "default", "node": f"{service}-9", "service": service}
    return await dial(str(platform_socket(running.home)), RefuseCalls(), role="node", properties=properties)


async def register(connection: Connection, description: ServiceDescription) -> None:
    registration = Registration(service=description, node=Node(id=f"{description.name}-9"))
    call = UnaryCall("registry", "register", msgspec.msgpack.encode({"registration": registration}))
    await call.run(connection.start)


def served(name: str, endpoint: str = "call", **more: str) -> ServiceDescription:
    return ServiceDescription(name=name, endpoints=(EndpointDescription(name=endpoint, **more),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "description",
    [
        *(served("store"), served("auth"), served("Store"), served("sTORE"), served("v1.store"), served("v2.auth")),
        *(served("server"), served("api"), served("healthz"), served("static"), served(".well-known"), served("rpc")),
        *(served("a/b"), served("a.b"), served(".."), served(""), served("x" * 64), served("a\u212a"), served("v1")),
        *(served("thief", route="POST /auth/token"), served("thief", route="GET /store/{key}")),
        *(
            served("thief", route="POST /api/thief"),
            served("thief", route="GET /"),
            served("thief", route="GET /{any}"),
        ),
        *(served("thief", route="GET /healthz"), served("thief", route="GET /thieves/x"), served("thief", route="x")),
        *(served("thief", route="GET /Thief/x"), served("thief", route="GET /thief/../store/read")),
        *(served("thief", "store.read "), served("thief", "../x"), served("thief", "Call"), served("thief", "")),
        served("thief", produces="text/html\r\nSet-Cookie: microlite-session=x"),
        ServiceDescription(name="thief", endpoints=(EndpointDescription(name="a"),) * 2),
        ServiceDescription(
            name="thief", endpoints=tuple(EndpointDescription(name=f"e{number}") for number in range(2001))
        ),
    ],
    ids=lambda description: f"{description.name} {description.endpoints[0].route or description.endpoints[0].name}",
)
async def test_nobody_registers_what_is_not_its_own(description: ServiceDescription, running: RunningPlatform) -> None:
    """It is refused with a reason, and neither the paths nor the names of the platform have changed hands."""
    connection = await join(running, description.name)
    try:
        with pytest.raises(errors.Error) as refused:
            await register(connection, description)
        assert refused.value.code in (400, 401, 403, 503), refused.value  # the last where the connection is turned away
        listed = await running.call("registry.list")
        assert listed == []
    finally:
        connection.abort()


async def test_what_is_its_own_is_registered(running: RunningPlatform) -> None:
    """Which shows that the way by which the others tried it is one."""
    connection = await join(running, "honest")
    await register(connection, served("honest", route="GET /honest/{id}"))
    assert [one["name"] for one in await running.call("registry.list")] == ["honest"]
    connection.abort()
