"""The pages of schedules, in a browser: what is due, as it goes, and what the buttons and the form do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter

CLOCKWORK = """
    from microlite import Context, Service, errors

    service = Service("clockwork")

    @service.every("1h30m")
    async def tick(ctx: Context) -> None: ...

    @service.every(cron="0 6 * * *", zone="Europe/Berlin", retries=0)
    async def chime(ctx: Context) -> None:
        raise errors.Conflict("the <b>spring</b> is broken")

    @service.endpoint
    async def ring(times: int = 1) -> int:
        return times

    if __name__ == "__main__":
        service.run()
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def clockwork(desk: Desk) -> AsyncIterator[None]:
    desk.bench.write("clockwork/main.py", CLOCKWORK)
    await desk.bench.run("clockwork")
    async for listed in desk.bench.caller.stream("schedules.watch"):
        if len(listed) == 2:
            break
    yield


def row(browsing: Browsing, name: str) -> Any:
    return browsing.page.locator("tbody tr").filter(has=browsing.page.get_by_role("link", name=name, exact=True))


async def test_the_list_says_what_is_due_when(browsing: Browsing) -> None:
    await browsing.page.get_by_role("link", name="Schedules", exact=True).click()
    await expect(row(browsing, "clockwork.tick")).to_contain_text("every 1h30m")
    await expect(row(browsing, "clockwork.tick").locator("time[data-until]")).to_have_text("in 1 h")
    await expect(row(browsing, "clockwork.chime")).to_contain_text("0 6 * * * Europe/Berlin")


async def test_a_run_is_seen_as_it_goes(desk: Desk, browsing: Browsing) -> None:
    """In the list, and in the history of its page, without a reload."""
    await browsing.open("/schedules")
    await browsing.live()
    await row(browsing, "clockwork.chime").get_by_role("button", name="Run now").click()
    await expect(browsing.page.locator(".notice")).to_have_text("clockwork.chime runs")
    await expect(row(browsing, "clockwork.chime").locator(".state")).to_have_text("failed")
    await row(browsing, "clockwork.chime").get_by_role("link").click()
    await browsing.live()
    await expect(browsing.page.locator("tbody tr")).to_have_count(1)
    await expect(browsing.page.locator("tbody tr")).to_contain_text("the <b>spring</b> is broken")
    await desk.bench.call("schedules.run", name="clockwork.chime")
    await expect(browsing.page.locator("tbody tr")).to_have_count(2)


async def test_a_schedule_is_paused_and_resumed(browsing: Browsing) -> None:
    await browsing.open("/schedules")
    await browsing.live()
    tick = row(browsing, "clockwork.tick")
    await tick.get_by_role("button", name="Pause").click()
    await expect(tick).to_contain_text("paused")
    await tick.get_by_role("button", name="Resume").click()
    await expect(tick.get_by_role("button", name="Pause")).to_be_visible()
    await expect(tick).to_contain_text("in 1 h")


async def test_a_schedule_is_added_and_removed(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/schedules")
    await browsing.live()
    page = browsing.page
    await page.get_by_label("Name", exact=True).fill("bells")
    await page.get_by_label("Calls").fill("clockwork.ring")
    await page.get_by_label("When").fill("2h")
    await page.get_by_label("Request, as JSON").fill('{"times": 12}')
    await page.get_by_role("button", name="Add").click()
    await expect(row(browsing, "bells")).to_contain_text("every 2h")
    assert (await desk.bench.call("schedules.get", name="bells"))["request"] == {"times": 12}
    await row(browsing, "bells").get_by_role("link").click()
    await expect(page.get_by_text(json.dumps({"times": 12}))).to_be_visible()
    await page.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(page.get_by_text("It is no longer scheduled")).to_be_visible()


async def test_a_form_that_cannot_be_says_why(browsing: Browsing) -> None:
    await browsing.open("/schedules")
    page = browsing.page
    await page.get_by_label("Name", exact=True).fill("never")
    await page.get_by_label("Calls").fill("clockwork.ring")
    await page.get_by_label("How often").select_option("cron")
    await page.get_by_label("When").fill("0 25 * * *")
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator(".notice")).to_contain_text("is no hour")
    browsing.errors.clear()  # the browser tells of the answer 400 itself


async def test_the_pages_work_without_scripts(desk: Desk, enter: Enter) -> None:
    browsing = await enter(scripts=False)
    await browsing.open("/schedules")
    page = browsing.page
    await page.get_by_label("Name", exact=True).fill("plain")
    await page.get_by_label("Calls").fill("clockwork.ring")
    await page.get_by_label("How often").select_option("delay")
    await page.get_by_label("When").fill("2h")
    await page.get_by_role("button", name="Add").click()
    await expect(row(browsing, "plain")).to_contain_text("once")
    await row(browsing, "plain").get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("It is no longer scheduled")).to_be_visible()
    while not await desk.bench.call("schedules.history"):
        await page.reload()
    await browsing.open("/schedules")
    await expect(page.get_by_role("heading", name="Single calls that were made")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
async def test_the_pages_are_accessible_in_every_dress(desk: Desk, enter: Enter, scheme: Any, width: int) -> None:
    browsing = await enter(scheme=scheme, width=width)
    for path in ("/schedules", "/schedules/clockwork.chime"):
        await browsing.open(path)
        assert await browsing.complaints() == [], path
        too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await browsing.page.evaluate(too_wide), path


async def test_the_page_of_a_service_says_what_calls_its_endpoints(browsing: Browsing) -> None:
    await browsing.open("/services/clockwork")
    await expect(browsing.page.locator("#endpoint-tick")).to_contain_text("every 1h30m")
    await expect(browsing.page.locator("#endpoint-chime")).to_contain_text("at 0 6 * * * Europe/Berlin")


async def test_the_page_of_a_schedule_offers_to_pause_it_or_to_resume_it(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/schedules/clockwork.tick")
    await browsing.live()
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    await expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()


async def test_on_a_narrow_screen_the_navigation_shows_where_one_is(enter: Enter) -> None:
    browsing = await enter(width=400)
    await browsing.open("/schedules")
    await expect(browsing.page.get_by_role("link", name="Schedules", exact=True)).to_be_in_viewport(ratio=1)
