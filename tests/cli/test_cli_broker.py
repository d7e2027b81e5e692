"""`microlite publish` and `microlite broker`, on a whole platform."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli.live import Live, live

__all__ = ["live"]


async def subscribed(live: Live) -> None:
    while not await live.platform.call("broker.subscriptions"):
        await asyncio.sleep(0.01)


async def test_publish_says_ok_and_as_json_how_many_took_it(live: Live) -> None:
    assert await live("publish", "prices.eur", '{"amount": 1.5}') == (0, "ok\n", "")
    assert await live.read("broker", "publish", "prices.eur") == {"subscribers": 0}


async def test_subscribe_prints_what_comes(live: Live) -> None:
    following = live.start("broker", "subscribe", "prices.>", "-n", "2")
    await subscribed(live)
    await live.platform.call("broker.publish", topic="prices.eur", value={"amount": 1})
    await live.platform.call("broker.publish", topic="prices.usd", value="text")
    said = await following
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == ['prices.eur  {"amount":1}', 'prices.usd  "text"']


async def test_as_json_a_message_has_its_headers(live: Live) -> None:
    following = live.start("-o", "json", "broker", "subscribe", "t", "-n", "1")
    await subscribed(live)
    await live.platform.call("broker.publish", topic="t", value=1, headers={"tenant": "a"})
    message = json.loads((await following).out)
    assert (message["topic"], message["value"], message["headers"]["tenant"]) == ("t", 1, "a")


async def test_who_is_subscribed_and_what_was_published_are_listed(live: Live) -> None:
    assert await live("broker", "topics") == await live("broker", "subscriptions") == (0, "", "")
    messages = live.platform.stream("broker.subscribe", topic="t.*", queue="workers")
    following = asyncio.ensure_future(anext(aiter(messages)))
    await subscribed(live)
    await live.platform.call("broker.publish", topic="t.a", value=1)
    await following
    head, line = (await live("broker", "topics")).out.splitlines()
    assert head.split() == ["TOPIC", "MESSAGES", "SUBSCRIBERS", "LAST"]
    assert line.split()[:3] == ["t.a", "1", "1"]
    _, line = (await live("broker", "subscriptions")).out.splitlines()
    topic, queue, who, *_, subscription = line.split()
    assert (topic, queue, who) == ("t.*", "workers", "admin")
    await live.do("broker", "unsubscribe", subscription)
    assert [item async for item in messages] == []
    assert await live.read("broker", "subscriptions") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("publish", "t", "{"), "error creating request"),
        (("publish", "t.>", "1"), "are for those who subscribe"),
        (("broker", "subscribe", "a.>.b"), "comes last"),
        (("broker", "unsubscribe", "nobody"), "nobody is subscribed under the id"),
        (("broker", "listen", "x"), "unrecognized subcommand for microlite broker: listen"),
        (("publish", "t", "1", "--header", "x"), "write key=value"),
    ],
)
async def test_what_is_wrong_is_a_sentence(live: Live, words: tuple[str, ...], said: str) -> None:
    result = await live(*words)
    assert result.code != 0
    assert said in result.err.lower()
    assert len(result.err.splitlines()) == 1
