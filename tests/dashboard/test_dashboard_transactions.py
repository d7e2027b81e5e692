"""The explorer makes a form of a transaction: each operation with its own fields."""

from __future__ import annotations

import json

from tests.dashboard.browsing import Browsing, expect


async def test_operations_are_chosen_by_their_kind(browsing: Browsing) -> None:
    await browsing.open("/explorer/tx/call")
    field, page = browsing.field, browsing.page
    for number, (kind, fields) in enumerate(
        [
            ("StoreWrite", {"key": "from the explorer", "value": '{"left": 9}'}),
            ("EventsPublish", {"topic": "explored", "payload": "7"}),
        ]
    ):
        await field("operations").get_by_role("button", name="Add an item").click()
        item = field("operations").locator(".parts > li").nth(number)
        await item.get_by_role("combobox").first.select_option(kind)
        for name, value in fields.items():
            member = item.locator(".member", has=page.get_by_text(name, exact=True)).first
            await member.locator("input[type=text], textarea").first.fill(value)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#answer-code")).to_have_text("200 OK")
    answer = json.loads(await page.locator("#answer-text").inner_text())
    assert answer["published"][0]["topic"] == "explored"
    record = await browsing.desk.bench.call("store.read", key="from the explorer")
    assert record["value"] == {"left": 9}
