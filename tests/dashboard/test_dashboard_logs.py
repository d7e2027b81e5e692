"""The logs, in a browser: as they are written, filtered, paused, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Route

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter
from tests.dashboard.shop import SHOP
from tests.runtime_e2e.runtime_bench import versioned


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def shop(desk: Desk) -> AsyncIterator[None]:
    desk.bench.write("shop/main.py", SHOP)
    await desk.bench.run("shop", instances=2)
    yield


async def _say(desk: Desk, text: str) -> None:
    await desk.bench.call("shop.say", text=text)


async def test_lines_come_as_they_are_written(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/logs/shop")
    await browsing.live()
    await _say(desk, "first words")
    await expect(browsing.page.locator("#lines li", has_text="first words")).to_be_visible()
    await _say(desk, "<b>no markup</b>")
    await expect(browsing.page.locator("#lines li", has_text="<b>no markup</b>")).to_be_visible()


async def test_all_services_together_and_those_that_come_later(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/logs")
    await browsing.live()
    await _say(desk, "from the shop")
    line = browsing.page.locator("#lines li", has_text="from the shop")
    await expect(line.locator("b")).to_have_text("shop")
    source = versioned(1, "later").replace("return 1", 'print("from the new one", flush=True)\n    return 1')
    desk.bench.write("later/main.py", source)
    async with desk.bench.session("later") as session:
        await session.running("later")
        await desk.bench.call("later.version")
        await expect(browsing.page.locator("#lines li", has_text="from the new one").locator("b")).to_have_text("later")


async def test_lines_are_filtered_by_text_and_level(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/logs/shop")
    await browsing.live()
    await _say(desk, "a needle")
    await _say(desk, "hay")
    await desk.bench.call("shop.create", customer="Ann", items=[{"sku": "x"}])
    warning = browsing.page.locator("#lines li", has_text="an order of Ann")
    await expect(warning).to_be_visible()
    await browsing.page.get_by_role("searchbox", name="Text").fill("needle")
    await expect(warning).to_be_hidden()
    await expect(browsing.page.locator("#lines li:visible")).to_have_count(1)
    await browsing.page.get_by_role("searchbox", name="Text").fill("")
    await browsing.page.get_by_label("Level").select_option("warning")
    await expect(warning).to_be_visible()
    await expect(browsing.page.locator("#lines li", has_text="hay")).to_be_hidden()


async def test_one_node_alone(desk: Desk, browsing: Browsing) -> None:
    for number in range(8):
        await _say(desk, f"said {number}")
    await browsing.open("/logs/shop")
    await expect(browsing.page.locator("#lines li", has_text="said 7")).to_be_visible()
    await browsing.page.get_by_label("Node").select_option("shop-2")
    await expect(browsing.page).to_have_url(f"{desk.url}/logs/shop?node=shop-2")
    await browsing.live()
    nodes = await browsing.page.locator("#lines li i").all_inner_texts()
    assert set(nodes) <= {"shop-2"}


async def test_paused_lines_are_kept_for_later(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/logs/shop")
    await browsing.live()
    await browsing.page.get_by_role("button", name="Pause").click()
    await _say(desk, "while it was paused")
    await expect(browsing.page.locator("#log-count")).to_contain_text("1 new while paused")
    await expect(browsing.page.locator("#lines li", has_text="while it was paused")).to_have_count(0)
    await browsing.page.get_by_role("button", name="Go on").click()
    await expect(browsing.page.locator("#lines li", has_text="while it was paused")).to_be_visible()


async def test_the_past_is_not_new_to_a_page_that_is_paused(desk: Desk, browsing: Browsing) -> None:
    """Also where it arrives only then: it stands on the page from the start."""
    await _say(desk, "before the page")
    paused = asyncio.Event()

    async def hold(route: Route) -> None:
        await paused.wait()
        await route.continue_()

    await browsing.page.route("**/live/logs*", hold)
    await browsing.open("/logs/shop")
    await browsing.page.get_by_role("button", name="Pause").click()
    paused.set()
    await browsing.live()
    await _say(desk, "behind the pause")
    await expect(browsing.page.locator("#log-count")).to_contain_text("1 new while paused")
    await expect(browsing.page.locator("#lines li", has_text="before the page").first).to_be_visible()


async def test_the_page_keeps_no_more_lines_than_a_browser_can_bear(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/logs/shop")
    await browsing.live()
    for number in range(7):
        await _say(desk, "\n".join(f"flood {number}" for _ in range(1000)))
    await expect(browsing.page.locator("#lines li").last).to_contain_text("flood 6")
    assert await browsing.page.locator("#lines li").count() <= 5000


async def test_the_last_lines_without_scripts(desk: Desk, enter: Enter) -> None:
    await _say(desk, "for plain readers")
    browsing = await enter(scripts=False)
    await browsing.open("/logs/shop")
    await expect(browsing.page.locator("#lines li", has_text="for plain readers").first).to_be_visible()
    await browsing.page.get_by_label("Service").select_option("")
    await browsing.page.get_by_role("button", name="Show").click()
    await expect(browsing.page.locator("#lines li b").first).to_have_text("shop")


async def test_a_log_of_nobody_says_so(browsing: Browsing) -> None:
    await browsing.open("/logs/nobody")
    await expect(browsing.page.get_by_role("alert")).to_have_text('Service "nobody" not found')
