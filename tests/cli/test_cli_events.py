"""`microlite events`, on a whole platform."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.live import Live, live

__all__ = ["live"]


async def fill(live: Live, count: int = 3) -> None:
    for number in range(count):
        await live.platform.call("events.publish", topic="orders", payload={"n": number}, key=str(number))


async def kill(live: Live, error: str = "no stock", group: str = "mailer") -> None:
    """Let the next event of a group become a dead letter."""
    (event,) = await live.platform.call("events.pull", topic="orders", group=group, max=1, wait=5)
    await live.platform.call("events.nack", delivery=event["delivery"], error=error, dead=True)


async def test_an_event_is_published_and_read(live: Live) -> None:
    await live.do("events", "publish", "orders", '{"n": 1}', "--key", "a", "--metadata", "tenant=x")
    said = await live("events", "read", "orders")
    position, _, _, key, payload = said.out.split()
    assert (position, key, payload) == ("1", "a", '{"n":1}')
    event = await live.read("events", "read", "orders")
    assert (event["payload"], event["metadata"]["tenant"], event["position"]) == ({"n": 1}, "x", 1)


async def test_a_duplicate_is_said_and_a_delayed_one_is_not_there_yet(live: Live) -> None:
    await live.do("events", "publish", "orders", "1", "--dedup-id", "x")
    assert "has the same de-duplication id" in (await live("events", "publish", "orders", "1", "--dedup-id", "x")).err
    assert (await live.read("events", "publish", "orders", "2", "--delay", "1h"))["position"] == 0
    assert len((await live("events", "read", "orders")).out.splitlines()) == 1


async def test_reading_goes_from_a_position_a_time_or_backwards_and_over_pages(live: Live) -> None:
    await live.platform.call(
        "events.publish-many", batch=[{"type": "publish", "topic": "orders", "payload": n} for n in range(500)]
    )
    await live.platform.call(
        "events.publish-many", batch=[{"type": "publish", "topic": "orders", "payload": n} for n in range(500, 600)]
    )

    async def payloads(*words: str) -> list[int]:
        lines = (await live("-o", "json", "events", "read", "orders", *words)).out.splitlines()
        return [json.loads(line)["payload"] for line in lines]

    assert await payloads("-n", "600") == list(range(600))
    assert await payloads("-n", "550", "--reverse") == list(range(599, 49, -1))
    assert await payloads("--after", "597") == [597, 598, 599]
    assert await payloads("--since", "1h", "-n", "2") == [0, 1]
    assert await payloads("--since", "2100-01-01") == []


async def test_following_shows_what_comes(live: Live) -> None:
    await fill(live)
    following = live.start("events", "follow", "orders", "--after", "2", "-n", "2")
    await live.platform.call("events.publish", topic="orders", payload="new")
    said = await following
    assert [line.split()[-1] for line in said.out.splitlines()] == ['{"n":2}', '"new"']


async def test_consuming_with_ack_settles_what_was_printed(live: Live) -> None:
    await fill(live)
    said = await live("events", "consume", "orders", "--group", "mailer", "--ack", "-n", "2")
    assert [line.split()[-1] for line in said.out.splitlines()] == ['{"n":0}', '{"n":1}']
    assert await live("events", "groups", "lag", "orders", "mailer") == (0, "1\n", "")
    said = await live("events", "consume", "orders", "--group", "mailer", "--ack", "--no-wait")
    assert [line.split()[-1] for line in said.out.splitlines()] == ['{"n":2}']


async def test_consuming_without_ack_names_the_delivery_for_ack_and_nack(live: Live) -> None:
    await fill(live, 2)
    said = await live("-o", "json", "events", "consume", "orders", "--group", "mailer", "-n", "2")
    first, second = [json.loads(line)["delivery"] for line in said.out.splitlines()]
    await live.do("events", "ack", first)
    await live.do("events", "nack", second, "--error", "no stock", "--dead")
    (group,) = await live.read("events", "groups", "list", "orders")
    assert (group["lag"], group["dead"]) == (0, 1)


async def test_topics_are_made_described_changed_and_removed(live: Live, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["n"]}')
    await live.do(
        *("events", "topics", "create", "orders", "--age", "2d", "--events", "100", "--size", "1.5MB"),
        *("--schema", str(schema), "--misfits", "quarantine"),
    )
    assert "is there already" in (await live("events", "topics", "create", "orders")).err.lower()
    settings = await live.read("events", "topics", "settings", "orders")
    assert settings["retention"] == {"age": 172800.0, "count": 100, "size": 1_500_000}
    assert settings["schema"] == {"type": "object", "required": ["n"]}
    await live.do("events", "topics", "settings", "orders", "--age", "0")
    settings = await live.read("events", "topics", "settings", "orders")
    assert (settings["retention"]["age"], settings["retention"]["count"]) == (0, 100)
    await fill(live)
    said = await live("events", "publish", "orders", "[]")
    assert "was put aside" in said.err
    out = (await live("events", "topics", "describe", "orders")).out
    assert "events    3, positions 1 to 3" in out
    assert "1 events do not fit the schema" in out
    _, line = (await live("events", "topics", "list", "or")).out.splitlines()
    assert line.split()[:2] == ["orders", "3"]
    assert "say --yes" in (await live("events", "topics", "delete", "orders")).err
    await live.do("events", "topics", "delete", "orders", "--yes")
    assert await live("events", "topics", "list") == (0, "", "")


async def test_groups_are_listed_set_reset_and_removed(live: Live) -> None:
    await fill(live)
    await live.do("events", "groups", "settings", "orders", "mailer", "--retries", "2", "--ack-wait", "1m")
    await live("events", "consume", "orders", "--group", "mailer", "--ack", "-n", "3")
    _, line = (await live("events", "groups", "list")).out.splitlines()
    assert line.split()[:3] == ["orders", "mailer", "0"]
    await live.do("events", "groups", "reset", "orders", "mailer", "--position", "2")
    assert (await live("events", "groups", "lag", "orders", "mailer")).out == "2\n"
    await live.do("events", "groups", "reset", "orders", "mailer", "--to", "new")
    assert (await live("events", "groups", "lag", "orders", "mailer")).out == "0\n"
    await live.do("events", "groups", "settings", "orders", "mailer", "--retries", "7")
    (group,) = await live.read("events", "groups", "list", "orders")
    assert (group["settings"]["retries"], group["settings"]["ack_wait"]) == (7, 60)
    await live.do("events", "groups", "delete", "orders", "mailer", "--yes")
    assert await live.read("events", "groups", "list", "orders") == []


async def test_dead_letters_are_grouped_shown_edited_redriven_and_removed(live: Live) -> None:
    await fill(live, 4)
    for error in ("no stock", "no stock", "no address", "no stock"):
        await kill(live, error)
    lines = (await live("events", "dead", "list")).out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["orders", "mailer", "3"], ["orders", "mailer", "1"]]
    letters = await live.read("events", "dead", "list", "orders", "--each", "--kind", "no stock")
    assert [one["event"]["payload"]["n"] for one in letters] == [0, 1, 3]
    first = letters[0]["id"]
    await live.do("events", "dead", "edit", "orders", "mailer", first, '{"n": 100}')
    out = (await live("events", "dead", "show", "orders", "mailer", first)).out
    assert "no stock" in out
    assert "edited   yes" in out
    assert '"n": 100' in out
    assert await live("events", "dead", "redrive", "orders", "mailer", first) == (0, "1\n", "")
    assert await live("events", "dead", "redrive", "orders", "mailer", "--kind", "no stock") == (0, "2\n", "")
    (event,) = await live.platform.call("events.pull", topic="orders", group="mailer", wait=5)
    assert event["payload"] == {"n": 100}
    assert "say --yes" in (await live("events", "dead", "delete", "orders", "mailer", "--all")).err
    assert await live("events", "dead", "delete", "orders", "mailer", "--all", "--yes") == (0, "1\n", "")
    assert await live("events", "dead", "list", "orders") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("publish", "a b", "1"), "is no name"),
        (("publish", "orders", "1", "--delay", "soon"), "is no duration"),
        (("read", "orders", "--since", "soon"), "is no time"),
        (("groups", "reset", "orders", "g"), "--to or --position"),
        (("groups", "lag", "orders", "nobody"), "nobody"),
        (("dead", "redrive", "orders", "g"), "say which"),
        (("dead", "list", "--each"), "name the topic"),
        (("topics", "create", "t", "--size", "much"), "is no size"),
        (("topics", "create", "t", "--schema", "/nowhere"), "cannot be read"),
        (("consume", "orders"), "--group"),
    ],
)
async def test_what_is_wrong_is_a_sentence(live: Live, words: tuple[str, ...], said: str) -> None:
    result = await live("events", *words)
    assert result.code != 0, result.out
    assert said in result.err.lower()
    assert len(result.err.splitlines()) == 1


async def test_ctrl_c_is_not_needed_where_nothing_is_waited_for(live: Live) -> None:
    async with asyncio.timeout(10):
        said = await live("events", "consume", "orders", "--group", "g", "--ack", "--no-wait")
    assert said == (0, "", "")
