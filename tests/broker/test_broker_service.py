"""The broker as those see it who look, and over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microlite import Context, Message, Service, errors
from microlite.core.broker.headers import headers_of
from microlite.testing import RunningPlatform


@pytest.fixture
async def lines(platform: RunningPlatform) -> AsyncIterator[asyncio.StreamReader]:
    """A subscription to `prices.>` over HTTP, as server-sent events; what was read so far is its head."""
    host, port = platform.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET /broker/subscribe?topic=prices.%3E HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {platform.token}\r\n\r\n".encode()
    )
    await subscribed(platform)
    yield reader
    writer.close()


async def subscribed(platform: RunningPlatform, count: int = 1) -> list[dict[str, Any]]:
    """Return when so many are subscribed."""
    while len(found := await platform.call("broker.subscriptions")) < count:
        await asyncio.sleep(0)
    return found  # type: ignore[no-any-return]


async def post(
    platform: RunningPlatform, path: str, body: object, headers: str = "", token: str = ""
) -> tuple[int, Any]:
    """Send a request and return status and answer."""
    host, port = platform.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    )
    head += f"Authorization: Bearer {token or platform.token}\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    said, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(said.split()[1]), json.loads(answer)


async def test_http_publishes_and_subscribes_with_the_requests_headers(
    platform: RunningPlatform, lines: asyncio.StreamReader
) -> None:
    status, answer = await post(
        platform,
        "/broker/publish",
        {"topic": "prices.eur", "value": {"amount": 1.5}},
        "X-Tenant: a\r\nUser-Agent: x\r\n",
    )
    assert (status, answer) == (200, {"subscribers": 1})
    async with asyncio.timeout(10):
        while not (line := await lines.readline()).startswith(b"data: "):
            pass
    message = json.loads(line.removeprefix(b"data: "))
    trace = message["headers"].pop("traceparent")
    assert trace.startswith("00-")
    assert message == {
        "topic": "prices.eur",
        "value": {"amount": 1.5},
        "headers": {"x-tenant": "a"},
        "dropped": 0,
        "json": True,
    }


async def test_nobody_without_an_account_publishes_or_hears(platform: RunningPlatform) -> None:
    assert (await post(platform, "/broker/publish", {"topic": "t"}, token="wrong"))[0] == 401
    assert (await post(platform, "/broker/topics", {}, token="wrong"))[0] == 401


async def test_topics_and_subscriptions_are_listed_for_their_namespace(
    platform: RunningPlatform, lines: asyncio.StreamReader
) -> None:
    await platform.call("broker.publish", topic="prices.eur", value=1)
    await platform.call("broker.publish", topic="prices.eur", value=2)
    await platform.call("broker.publish", topic="other")
    now = platform.clock.now()
    assert await platform.call("broker.topics") == [
        {"name": "other", "messages": 1, "subscribers": 0, "last": now},
        {"name": "prices.eur", "messages": 2, "subscribers": 1, "last": now},
    ]
    (subscription,) = await platform.call("broker.subscriptions")
    assert (subscription["topic"], subscription["service"], subscription["account"]) == ("prices.>", "", "admin")
    assert (subscription["active"], subscription["overflow"], subscription["limit"]) == (True, "drop_oldest", 1000)
    await platform.call("namespaces.create", name="blue")
    blue = platform.options(namespace="blue")
    assert await blue.call("broker.topics") == await blue.call("broker.subscriptions") == []
    with pytest.raises(errors.NotFound):
        await blue.call("broker.unsubscribe", id=subscription["id"])


async def test_a_subscription_is_ended_by_its_id(platform: RunningPlatform, lines: asyncio.StreamReader) -> None:
    (subscription,) = await platform.call("broker.subscriptions")
    await platform.call("broker.unsubscribe", id=subscription["id"])
    assert b"event: end" in await asyncio.wait_for(lines.readuntil(b"event: end"), 10)
    while await platform.call("broker.subscriptions"):
        await asyncio.sleep(0)


async def test_a_reader_that_leaves_is_subscribed_no_more(platform: RunningPlatform) -> None:
    messages = platform.stream("broker.subscribe", topic="t")
    await platform.call("broker.publish", topic="t")
    waiting = asyncio.ensure_future(anext(aiter(messages)))
    await subscribed(platform)
    await platform.call("broker.publish", topic="t", value=1)
    assert (await waiting)["value"] == 1
    await messages.aclose()
    while await platform.call("broker.subscriptions"):
        await asyncio.sleep(0)


async def test_a_reader_under_disconnect_hears_that_it_was_too_slow(platform: RunningPlatform) -> None:
    messages = platform.stream("broker.subscribe", topic="t", limit=1, overflow="disconnect")
    waiting = asyncio.ensure_future(anext(aiter(messages)))
    await subscribed(platform)
    value = "x" * 200_000
    while (await platform.call("broker.publish", topic="t", value=value))["subscribers"]:
        pass
    assert (await waiting)["value"] == value
    with pytest.raises(errors.ServiceUnavailable, match="too slowly"):
        async for _ in messages:
            pass


async def test_what_is_no_topic_is_refused_with_what_to_write(platform: RunningPlatform) -> None:
    with pytest.raises(errors.BadRequest, match=r"are for those who subscribe"):
        await platform.call("broker.publish", topic="prices.>")
    with pytest.raises(errors.BadRequest, match="comes last"):
        await anext(aiter(platform.stream("broker.subscribe", topic="a.>.b")))
    with pytest.raises(errors.PayloadTooLarge):
        await platform.call("broker.publish", topic="t", value="x" * (1 << 20))


async def test_only_the_last_thousand_topics_are_remembered(platform: RunningPlatform) -> None:
    for number in range(1_010):
        await platform.call("broker.publish", topic=f"t{number}")
    names = [topic["name"] for topic in await platform.call("broker.topics")]
    assert len(names) == 1_000
    assert "t9" not in names
    assert "t10" in names


def test_headers_are_the_metadata_without_what_is_about_http_and_are_bounded() -> None:
    metadata = {"accept": "*/*", "cookie": "secret", "authorization": "x", "sec-fetch-mode": "cors", "tenant": "a"}
    assert headers_of(metadata, {"Tenant": "b", "N": "1"}) == {"tenant": "b", "n": "1"}
    with pytest.raises(errors.BadRequest, match="at most 64 headers"):
        headers_of({str(number): "" for number in range(65)}, {})
    with pytest.raises(errors.BadRequest, match="characters together"):
        headers_of({"a": "x" * 20_000}, {})


async def test_what_is_published_as_json_comes_as_the_types_of_the_handler(platform: RunningPlatform) -> None:
    service = Service("shop")
    heard: list[object] = []

    @service.subscribe("t")
    async def on_value(value: dict[int, bytes]) -> None:
        heard.append(value)

    @service.subscribe("t")
    async def on_message(message: Message[dict[int, bytes]]) -> None:
        heard.append(message.value)

    @service.endpoint
    async def listen(ctx: Context) -> int:
        async for message in ctx.broker.subscribe("t", dict[int, bytes]):
            heard.append(message.value)
            return len(message.headers)
        return 0

    await platform.serve(service)
    listening = asyncio.ensure_future(platform.call("shop.listen"))
    await subscribed(platform, 3)
    assert (await post(platform, "/broker/publish", {"topic": "t", "value": {"1": "aGVsbG8="}}))[1] == {
        "subscribers": 3
    }
    assert await listening == 1  # the trace, and nothing of our own
    while len(heard) < 3:
        await asyncio.sleep(0)
    assert heard == [{1: b"hello"}] * 3
    await platform.call("broker.publish", topic="t", value={1: b"again"})
    while len(heard) < 5:
        await asyncio.sleep(0)
    assert heard[3:] == [{1: b"again"}] * 2
