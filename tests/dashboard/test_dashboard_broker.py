"""The page of messages, in a browser: publish, listen, see who is subscribed, end a subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.dashboard.browsing import Browsing, Desk, Scheme, expect
from tests.dashboard.conftest import Enter

LISTENER = """
import asyncio

from microlite import Service

listener = Service("listener")


@listener.subscribe("prices.>", queue="shared", limit=5)
async def on_price(price: dict[str, float]) -> None:
    if price.get("wait"):
        await asyncio.sleep(600)


if __name__ == "__main__":
    listener.run()
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def listener(desk: Desk) -> AsyncIterator[None]:
    desk.bench.write("listener/main.py", LISTENER)
    await desk.bench.run("listener")
    while not any(one["active"] for one in await desk.bench.call("broker.subscriptions")):
        await asyncio.sleep(0.01)
    yield


async def listening(browsing: Browsing) -> None:
    await expect(browsing.page.locator("#follow-state")).to_have_text("Listening")
    while not any(one["account"] != "listener-1" and not one["queue"] for one in await subscriptions(browsing)):
        await asyncio.sleep(0.01)


async def subscriptions(browsing: Browsing) -> list[dict[str, object]]:
    found: list[dict[str, object]] = await browsing.desk.bench.call("broker.subscriptions")
    return found


async def test_what_is_published_shows_with_who_took_it(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/broker")
    await browsing.live()
    await listening(browsing)
    await page.get_by_label("Topic", exact=True).fill("prices.eur")
    await page.get_by_label("Message, as JSON").fill('{"amount": 1.5}')
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#notices")).to_contain_text("Published: 2 subscribers took it")
    item = page.locator("#follow-items li").first
    await expect(item.locator("b")).to_have_text("prices.eur")
    await expect(item.locator("code")).to_have_text('{"amount":1.5}')
    await expect(page.locator("#topics tr", has_text="prices.eur")).to_contain_text("2")


async def test_a_pattern_is_listened_to_and_what_is_shown_can_be_paused(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/broker")
    await page.get_by_label("Topic or pattern").fill("news.*")
    await page.get_by_role("button", name="Listen").click()
    await expect(page).to_have_url(f"{browsing.desk.url}/broker?topic=news.*")
    await listening(browsing)
    await browsing.desk.bench.call("broker.publish", topic="other", value=1)
    await browsing.desk.bench.call("broker.publish", topic="news.today", value="<b>first</b>")
    items = page.locator("#follow-items li")
    await expect(items).to_have_count(1)
    await expect(items.locator("code")).to_have_text('"<b>first</b>"')
    await page.get_by_role("button", name="Pause").click()
    await browsing.desk.bench.call("broker.publish", topic="news.today", value="second")
    await browsing.desk.bench.call("broker.publish", topic="news.today", value="third")
    await page.get_by_role("button", name="Go on").click()
    await expect(items.first.locator("code")).to_have_text('"third"')


async def test_a_slow_subscriber_shows_what_it_lost_and_can_be_ended(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/broker")
    await browsing.live()
    await browsing.desk.bench.call("broker.publish", topic="prices.wait", value={"wait": 1})
    for _ in range(20):
        await browsing.desk.bench.call("broker.publish", topic="prices.eur", value={"amount": 1})
    row = page.locator("#subscriptions tr", has_text="shared")
    await expect(row.locator("strong[data-tone=bad]")).not_to_have_text("0")
    await expect(row).to_contain_text(" of 5")
    before = await page.locator("#subscriptions tbody tr").count()
    (ended,) = [one for one in await subscriptions(browsing) if one["queue"] == "shared"]
    await row.get_by_role("button", name="End").click()
    await page.locator("#confirm-yes").click()
    await expect(page.locator("#notices")).to_contain_text("The subscription has ended")
    await expect(page.locator(f"#subscription-{ended['id']}")).to_contain_text("not its turn")
    assert before >= 1


async def test_what_is_no_topic_and_no_json_is_said(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/broker")
    for topic, value, text in (("a..b", "1", "a dot without a word"), ("a", "{", "that is no JSON document")):
        await page.get_by_label("Topic", exact=True).fill(topic)
        await page.get_by_label("Message, as JSON").fill(value)
        await page.get_by_role("button", name="Publish").click()
        await expect(page.locator("#notices")).to_contain_text(text)
    browsing.errors.clear()  # the browser itself tells of the answers 400


async def test_it_works_without_scripts(enter: Enter) -> None:
    browsing = await enter(scripts=False)
    await browsing.open("/broker")
    await browsing.page.get_by_label("Topic", exact=True).fill("plain")
    await browsing.page.get_by_role("button", name="Publish").click()
    await expect(browsing.page.locator("#topics tr", has_text="plain")).to_contain_text("1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_by_all_and_fits_a_narrow_window(enter: Enter, scheme: Scheme) -> None:
    browsing = await enter(scheme=scheme, width=400)
    await browsing.open("/broker")
    await listening(browsing)
    await browsing.desk.bench.call("broker.publish", topic="prices.eur", value={"a": "x" * 300})
    await expect(browsing.page.locator("#follow-items li")).to_have_count(1)
    assert "\n".join(await browsing.complaints()) == ""
    assert await browsing.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
