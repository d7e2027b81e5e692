"""The platform's routing as services and operators see it, over real nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from microlite import Context, Service, errors
from microlite.core.library.peers import RefuseCalls
from microlite.core.network.balancer import EJECT_AFTER
from microlite.core.rpc.call import UnaryCall
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.testing import RunningPlatform


@pytest.fixture
def shop() -> Service:
    service = Service("shop", version="1.2.0")

    @service.endpoint(idempotent=True)
    async def node(ctx: Context) -> str:
        return ctx.node

    return service


async def test_routes_name_the_nodes_of_each_service(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    await platform.serve(shop)
    (route,) = await platform.call("network.routes", service="shop")
    assert [node["node"] for node in route["nodes"]] == ["shop-1", "shop-2"]
    assert {(node["version"], node["ejected"], tuple(node["idempotent"])) for node in route["nodes"]} == {
        ("1.2.0", False, ("node",))
    }
    assert await platform.call("network.routes", service="other") == []
    await platform.call("namespaces.create", name="blue")
    assert await platform.options(namespace="blue").call("network.routes") == []


async def test_a_watch_tells_the_whole_state_and_then_each_change(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    async with asyncio.timeout(20), platform.stream("network.watch") as routes:
        news = aiter(routes)

        async def next_nodes() -> list[tuple[str, int]]:
            route: dict[str, Any] = await anext(news)
            assert route["service"] == "shop"
            return [(node["node"], node["generation"]) for node in route["nodes"]]

        assert await next_nodes() == [("shop-1", 0)]
        await platform.serve(shop)
        assert await next_nodes() == [("shop-1", 0), ("shop-2", 0)]
        await platform.restart(shop)
        assert await next_nodes() == [("shop-1", 1), ("shop-2", 1)]
        await platform.stop(shop)
        while nodes := await next_nodes():
            assert nodes == [("shop-2", 1)]


async def test_a_failing_node_is_ejected_while_another_is_there(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    await platform.serve(shop)
    fault = platform.faults.fail("shop.node", errors.InternalServerError("disk on fire"), node="shop-1")
    failed = 0
    for _ in range(200):
        try:
            assert await platform.call("shop.node") == "shop-2"
        except errors.InternalServerError:
            failed += 1
    assert failed == EJECT_AFTER
    (route,) = await platform.call("network.routes", service="shop")
    assert [node["ejected"] for node in route["nodes"]] == [True, False]
    fault.remove()


async def test_refusals_of_what_is_asked_eject_nobody(platform: RunningPlatform, shop: Service) -> None:
    await platform.serve(shop)
    await platform.serve(shop)
    refused = 0
    with platform.faults.fail("shop.node", errors.NotFound("no such thing"), node="shop-1"):
        for _ in range(100):
            try:
                await platform.call("shop.node")
            except errors.NotFound:
                refused += 1
    assert refused > EJECT_AFTER
    (route,) = await platform.call("network.routes", service="shop")
    assert not any(node["ejected"] for node in route["nodes"])


async def test_built_in_names_cannot_be_taken(platform: RunningPlatform) -> None:
    properties = {"service": "store", "node": "store-1"}
    taker = await dial(str(platform_socket(platform.home)), RefuseCalls(), role="node", properties=properties)
    with pytest.raises(errors.ServiceUnavailable, match="turned away"):
        await UnaryCall("registry", "list", b"\x80").run(taker.start)
    await asyncio.wait_for(taker.closed, 5)


async def test_a_relayed_stream_is_kept_nowhere(platform: RunningPlatform) -> None:
    service = Service("flood")
    chunk = bytes(20_000)
    made = 0

    @service.endpoint
    async def pour(chunks: int) -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(chunks):
            made += 1
            yield chunk

    @service.endpoint
    async def ping() -> None:
        return None

    await platform.serve(service)
    router, lag = platform._booted.router, 0
    async with platform.stream("flood.pour", chunks=2_000) as stream:
        read = 0
        async for _ in stream:
            read += 1
            if read % 100 == 0:
                await platform.call("flood.ping")  # time for the source to run ahead, if nothing holds it
                lag = max(lag, made - read)
                entry = router.table.find("default", "flood")
                assert entry is not None
                assert all(link.connection is not None and link.connection.unsent == 0 for link in entry.links)
    assert read == 2_000
    assert lag * len(chunk) < 1_500_000, "40 MB passed; what is under way stays within the credit of the reader"


async def test_local_calls_end_at_their_deadline(platform: RunningPlatform) -> None:
    with pytest.raises(errors.Timeout):
        async for _ in platform.options(timeout=0.1).stream("network.watch"):
            pass
