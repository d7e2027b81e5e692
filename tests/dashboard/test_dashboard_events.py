"""The pages of events, in a browser: topics, entries, groups, dead letters."""

from __future__ import annotations

import pytest

from tests.dashboard.browsing import Browsing, Desk, Scheme, expect
from tests.dashboard.conftest import Enter


async def publish(desk: Desk, topic: str, count: int) -> None:
    batch = [{"type": "publish", "topic": topic, "payload": {"n": n}, "key": f"k{n}"} for n in range(count)]
    await desk.bench.call("events.publish-many", batch=batch)


async def kill(desk: Desk, topic: str, *problems: str) -> None:
    """Let the next events of the group `mailer` become dead letters."""
    for problem in problems:
        (event,) = await desk.bench.call("events.pull", topic=topic, group="mailer", max=1, wait=5)
        await desk.bench.call("events.nack", delivery=event["delivery"], error=problem, dead=True)


async def test_a_topic_is_made_and_the_list_is_live(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/events")
    await browsing.live()
    await page.get_by_label("Name").fill("made.here")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page).to_have_url(f"{desk.url}/events/topic/made.here")
    await browsing.open("/events")
    await browsing.live()
    row = page.locator("#topic-made-here")
    await expect(row.locator("td").first).to_have_text("0")
    await publish(desk, "made.here", 3)
    await expect(row.locator("td").first).to_have_text("3")
    await expect(row.locator("td").nth(2)).to_have_text("0.0")


async def test_the_list_of_topics_says_who_is_behind_and_what_has_failed(desk: Desk, browsing: Browsing) -> None:
    await publish(desk, "behind", 3)
    await kill(desk, "behind", "broken")
    await browsing.open("/events")
    cells = browsing.page.locator("#topic-behind td")
    await expect(cells.nth(4)).to_have_text("2")
    await expect(cells.nth(5)).to_have_text("1")
    await browsing.live()
    await kill(desk, "behind", "broken")
    await expect(cells.nth(4)).to_have_text("1")
    await expect(cells.nth(5)).to_have_text("2")


async def test_events_are_published_browsed_and_followed(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await publish(desk, "shown", 120)
    await browsing.open("/events/topic/shown")
    rows = page.locator("#entries tbody tr")
    await expect(rows).to_have_count(50)
    await expect(rows.first).to_contain_text('{"n":119}')
    await page.get_by_role("link", name="Older events").click()
    await expect(rows.first).to_contain_text('{"n":69}')
    await page.get_by_label("From position").fill("10")
    await page.get_by_role("button", name="Show").click()
    await expect(rows.last).to_contain_text('{"n":9}')
    await browsing.live()
    await expect(page.locator("#follow-state")).to_have_text("Listening")
    await page.get_by_label("Payload, as JSON").fill('{"from": "<page>"}')
    await page.get_by_label("Key", exact=True).fill("a")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#notices")).to_contain_text("Published at position 121")
    item = page.locator("#follow-items li")
    await expect(item.locator("code")).to_have_text('{"from":"<page>"}')
    await expect(item).to_contain_text("key a")


async def test_a_groups_lag_is_live_and_it_can_begin_anew(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await publish(desk, "grouped", 4)
    await browsing.open("/events/topic/grouped")
    await browsing.live()
    events = await desk.bench.call("events.pull", topic="grouped", group="mailer", max=4)
    row = page.locator("#group-mailer")
    await expect(row.locator("td").nth(2)).to_have_text("4")
    await desk.bench.call("events.ack", deliveries=[event["delivery"] for event in events])
    await expect(row.locator("td").first).to_have_text("0")
    await row.get_by_role("button", name="From the beginning").click()
    await page.locator("#confirm-yes").click()
    await expect(row.locator("td").first).to_have_text("4")
    await row.get_by_role("button", name="Skip to new").click()
    await page.locator("#confirm-yes").click()
    await expect(row.locator("td").first).to_have_text("0")
    await row.get_by_role("button", name="Remove").click()
    await page.locator("#confirm-yes").click()
    await expect(row).to_have_count(0)


async def test_dead_letters_are_grouped_looked_at_mended_and_delivered_again(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await publish(desk, "dying", 4)
    await kill(desk, "dying", "no stock", "no stock", "no address", "no stock")
    await browsing.open("/events/topic/dying")
    row = page.locator("#dead tbody tr", has_text="no stock")
    await expect(row).to_contain_text("3")
    await row.get_by_role("link").click()
    letters = page.locator(".letters > li")
    await expect(letters).to_have_count(3)
    await letters.first.get_by_text("Attempts and metadata").click()
    await expect(letters.first.locator(".attempts")).to_contain_text("no stock")
    await letters.first.get_by_label("Payload").fill('{"n": 100}')
    await letters.first.get_by_role("button", name="Save", exact=True).click()
    await expect(letters.first.locator(".tag")).to_have_text("edited")
    await letters.first.get_by_role("button", name="Deliver again", exact=True).click()
    await expect(letters).to_have_count(2)
    (event,) = await desk.bench.call("events.pull", topic="dying", group="mailer", wait=5)
    assert event["payload"] == {"n": 100}
    await letters.first.get_by_role("button", name="Remove", exact=True).click()
    await page.locator("#confirm-yes").click()
    await expect(letters).to_have_count(1)
    await page.get_by_role("button", name="Deliver all again").click()
    await expect(page).to_have_url(f"{desk.url}/events/topic/dying")
    await page.locator("#dead tbody tr", has_text="no address").get_by_role("button", name="Remove").click()
    await page.locator("#confirm-yes").click()
    await expect(page.locator("#dead")).to_have_count(0)


async def test_settings_are_changed_and_what_does_not_fit_is_put_aside(desk: Desk, browsing: Browsing) -> None:
    page = browsing.page
    await publish(desk, "strict", 1)
    await browsing.open("/events/topic/strict")
    await expect(page.get_by_label("Keep for")).to_have_value("7d")
    await page.get_by_label("Keep for").fill("2d")
    await page.get_by_label("Schema of payloads").fill('{"type": "object", "required": ["n"]}')
    await page.get_by_label("What does not fit").select_option("quarantine")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#notices")).to_contain_text("The settings are changed")
    settings = (await desk.bench.call("events.topic", topic="strict"))["settings"]
    assert (settings["retention"]["age"], settings["misfits"]) == (172800, "quarantine")
    await page.get_by_label("Payload, as JSON").fill("[]")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#notices")).to_contain_text("was put aside")
    await browsing.open("/events/topic/strict/dead?group=")
    await page.locator(".letters").get_by_label("Payload").fill('{"n": 2}')
    await page.get_by_role("button", name="Save and deliver again").click()
    await expect(page).to_have_url(f"{desk.url}/events/topic/strict/dead?group=&kind=")
    await expect(page.get_by_role("heading", name="No dead letters")).to_be_visible()
    assert (await desk.bench.call("events.topic", topic="strict"))["count"] == 2


async def test_a_topic_is_removed_after_a_question(desk: Desk, browsing: Browsing) -> None:
    await publish(desk, "brief", 1)
    await browsing.open("/events/topic/brief")
    await browsing.page.get_by_role("button", name="Remove").click()
    await browsing.page.locator("#confirm-yes").click()
    await expect(browsing.page).to_have_url(f"{desk.url}/events")
    assert not [one for one in await desk.bench.call("events.topics") if one["name"] == "brief"]


async def test_what_is_wrong_is_said(browsing: Browsing, desk: Desk) -> None:
    page = browsing.page
    await publish(desk, "wrong", 1)
    await browsing.open("/events/topic/wrong")
    await page.get_by_label("Payload, as JSON").fill("{")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.locator("#notices")).to_contain_text("that is no JSON document")
    await page.get_by_label("Keep for").fill("long")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#notices")).to_contain_text("is no duration")
    browsing.errors.clear()  # the browser itself tells of the answers 400


async def test_it_works_without_scripts(enter: Enter, desk: Desk) -> None:
    browsing = await enter(scripts=False)
    await publish(desk, "plain", 1)
    await browsing.open("/events/topic/plain")
    await browsing.page.get_by_label("Payload, as JSON").fill('"typed"')
    await browsing.page.get_by_role("button", name="Publish").click()
    await expect(browsing.page.locator("#entries tbody tr").first).to_contain_text('"typed"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_they_can_be_read_by_all_and_fit_a_narrow_window(enter: Enter, desk: Desk, scheme: Scheme) -> None:
    topic = f"narrow.{scheme}"
    await publish(desk, topic, 2)
    await kill(desk, topic, "no stock " + "x" * 200)
    browsing = await enter(scheme=scheme, width=400)
    for path in ("/events", f"/events/topic/{topic}", f"/events/topic/{topic}/dead?group=mailer"):
        await browsing.open(path)
        assert "\n".join(await browsing.complaints()) == ""
        assert await browsing.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
