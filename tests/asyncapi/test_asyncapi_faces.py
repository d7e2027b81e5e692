"""The AsyncAPI document where it is asked for: the gateway and the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from microlite import Service
from tests.cli.live import Live, live

__all__ = ["live"]


async def get(live: Live, path: str, token: str = "") -> tuple[int, Any]:
    host, port = live.platform.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{authorization}\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


async def serve(live: Live) -> None:
    shop = Service("shop", version="1.0.0")

    @shop.consume("orders", group="g")
    async def take(order: dict[str, int]) -> None: ...

    plain = Service("plain")

    @plain.endpoint
    async def read() -> int:
        return 1

    await live.platform.serve(shop)
    await live.platform.serve(plain)
    await live.platform.call("events.set-topic", topic="secret", settings={"schema": {"type": "integer"}})


async def test_everybody_reads_what_services_take_and_only_an_admin_the_topics(live: Live) -> None:
    await serve(live)
    status, found = await get(live, "/asyncapi.json")
    assert (status, found["asyncapi"], set(found["operations"])) == (200, "3.0.0", {"shop.take"})
    assert set(found["channels"]) == {"events.orders"}
    assert found["servers"]["gateway"]["host"].startswith("localhost:")
    status, found = await get(live, "/asyncapi.json", live.platform.token)
    assert {"events.orders", "events.secret"} <= set(found["channels"])


async def test_it_is_to_be_had_for_one_service_and_follows_what_runs(live: Live) -> None:
    await serve(live)
    assert (await get(live, "/asyncapi.json?service=plain"))[1]["operations"] == {}
    assert (await get(live, "/asyncapi.json?service=shop"))[1]["info"]["version"] == "1.0.0"
    assert (await get(live, "/asyncapi.json?service=nobody"))[0] == 404
    assert (await get(live, "/asyncapi.json?service=events"))[0] == 401
    assert (await get(live, "/asyncapi.json?what=1"))[0] == 400
    await live.platform.stop("shop")
    assert (await get(live, "/asyncapi.json"))[1]["operations"] == {}


async def test_the_command_prints_the_same(live: Live) -> None:
    await serve(live)
    found = json.loads((await live("asyncapi")).out)
    assert {"events.orders", "events.secret"} <= set(found["channels"])
    assert set(json.loads((await live("asyncapi", "shop")).out)["channels"]) == {"events.orders"}
    said = await live("asyncapi", "nobody")
    assert (said.code, said.err) == (4, 'Service "nobody" not found\n')
