"""The records, in a browser: looked through, changed with a check of their revision, and live."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

import microlite
from microlite.core.library.caller import Caller
from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def m(desk: Desk) -> AsyncIterator[Caller]:
    """A script."""
    async with microlite.connect(desk.bench.platform.options.home) as m:
        yield m


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def records(m: Caller) -> None:
    shop = m.store.database("shop")
    open_, tea = shop.table("open"), m.store.database("tea")
    for table in (open_, tea, m.store):
        await table.delete_many(await table.list())
    await open_.write_many({f"order/{n:03}": {"id": n, "text": "<b>&"} for n in range(120)})
    await open_.write("photo", b"\x00\x01")
    await open_.write("note", "two\nlines", expires_at=datetime(2100, 1, 2, tzinfo=UTC))
    await tea.write("green", 3)


async def _value(m: Caller, key: str) -> Any:
    return await m.store.database("shop").table("open").read(key)


def record(key: str) -> str:
    """The page of an order."""
    return f"/store/record?database=shop&table=open&key={key}"


async def test_databases_and_tables_lead_to_their_records(browsing: Browsing) -> None:
    await browsing.open("/")
    page = browsing.page
    await page.get_by_role("link", name="Records", exact=True).click()
    await page.locator("summary", has_text="tea").click()
    await page.locator("details", has=page.locator("summary", has_text="tea")).get_by_role("link").click()
    await expect(page.locator(".records tbody tr")).to_have_count(1)
    await expect(page.locator(".records")).to_contain_text("green")
    await page.locator("summary", has_text="shop").click()
    await page.get_by_role("link", name="Show its tables").click()
    await page.get_by_role("link", name="open", exact=True).click()
    await expect(page.locator(".records tbody tr")).to_have_count(50)


async def test_records_are_found_by_the_beginning_and_the_end_of_their_keys(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/store?database=shop&table=open")
    await page.get_by_label("Keys that begin with").fill("order/")
    await page.get_by_label("and end with").fill("7")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".records tbody tr")).to_have_count(12)
    await page.get_by_label("Order").select_option("Z to A")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".records tbody th").first).to_have_text("order/117")
    await page.get_by_label("Keys that begin with").fill("nothing")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_text("No record of open is so called.")).to_be_visible()


async def test_a_long_table_has_pages(browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/store?database=shop&table=open")
    await expect(page.locator(".records tbody th").first).to_have_text("note")
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator(".records tbody th").first).to_have_text("order/049")
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator(".records tbody th").last).to_have_text("photo")
    await page.get_by_role("link", name="First page").click()
    await expect(page.locator(".records tbody th").first).to_have_text("note")


async def test_the_list_follows_what_is_written(m: Caller, browsing: Browsing) -> None:
    await browsing.open("/store?database=tea&table=default")
    await browsing.live()
    await m.store.database("tea").write("black", {"price": 4})
    await expect(browsing.page.locator(".records tbody tr").first).to_contain_text('{"price":4}')
    await m.store.database("tea").delete("green")
    await expect(browsing.page.locator(".records tbody tr")).to_have_count(1)


async def test_a_record_is_changed_and_deleted(m: Caller, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open(record("order/007"))
    await expect(page.get_by_label("Value", exact=True)).to_have_value('{\n  "id": 7,\n  "text": "<b>&"\n}')
    await page.get_by_label("Value", exact=True).fill('{"id": 8}')
    await page.get_by_label("Expires after").fill("1h")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Value", exact=True)).to_have_value('{\n  "id": 8\n}')
    await expect(page.locator(".facts")).not_to_contain_text("never")
    assert await _value(m, "order/007") == {"id": 8}
    await page.get_by_role("button", name="Delete").click()
    await page.locator("#confirm-yes").click()
    await expect(page.get_by_role("heading", name="Records", exact=True)).to_be_visible()
    assert await m.store.database("shop").table("open").get("order/007") is None


async def test_a_change_of_somebody_else_is_told_and_not_written_over(m: Caller, browsing: Browsing) -> None:
    page, table = browsing.page, m.store.database("shop").table("open")
    await browsing.open(record("order/001"))
    await browsing.live()
    await table.write("order/001", {"theirs": True})
    await expect(page.locator("#news")).to_contain_text("It was changed just now")
    await page.get_by_label("Value", exact=True).fill('{"mine": true}')
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("It was changed meanwhile")
    await expect(page.locator(".theirs pre")).to_have_text('{"theirs":true}')
    await expect(page.get_by_label("Value", exact=True)).to_have_value('{"mine": true}')
    assert await _value(m, "order/001") == {"theirs": True}
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert await _value(m, "order/001") == {"mine": True}


async def test_what_was_changed_meanwhile_is_not_deleted(m: Caller, browsing: Browsing) -> None:
    page, table = browsing.page, m.store.database("shop").table("open")
    await browsing.open(record("order/006"))
    await table.write("order/006", {"theirs": True})
    await page.get_by_role("button", name="Delete").click()
    await page.locator("#confirm-yes").click()
    await expect(page.get_by_role("alert")).to_contain_text("it was not deleted")
    assert await _value(m, "order/006") == {"theirs": True}
    await page.get_by_role("button", name="Delete").click()
    await page.locator("#confirm-yes").click()
    await expect(page.get_by_role("heading", name="Records", exact=True)).to_be_visible()


async def test_what_cannot_be_saved_is_said_and_kept(m: Caller, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open(record("order/002"))
    await page.get_by_label("Value", exact=True).fill("{nonsense")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("the value is no JSON")
    await expect(page.get_by_label("Value", exact=True)).to_have_value("{nonsense")
    await page.get_by_label("Value, written as").select_option("Text")
    await page.get_by_label("Expires after").fill("soon")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("no duration")
    await page.get_by_label("Expires after").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert await _value(m, "order/002") == "{nonsense"


async def test_text_and_bytes_are_shown_as_what_they_are(m: Caller, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open(record("note"))
    await expect(page.get_by_label("Value, written as")).to_have_value("text")
    await expect(page.locator(".facts")).to_contain_text("2100-01-02 00:00:00")
    before = await page.locator(".facts").inner_text()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".facts")).not_to_have_text(before, use_inner_text=True)
    await expect(page.locator(".facts")).to_contain_text("2100-01-02 00:00:00")
    assert await _value(m, "note") == "two\nlines"
    await browsing.open(record("photo"))
    await expect(page.get_by_label("Value, written as")).to_have_value("base64")
    await page.get_by_label("Value", exact=True).fill("aGVs bG8=")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Value", exact=True)).to_have_value("aGVsbG8=")
    assert await _value(m, "photo") == b"hello"
    async with page.expect_download() as found:
        await page.get_by_role("link", name="Download").click()
    download = await found.value
    assert download.suggested_filename == "photo"
    assert (await download.path()).read_bytes() == b"hello"


async def test_a_new_record_never_takes_the_place_of_one(m: Caller, browsing: Browsing) -> None:
    page = browsing.page
    await browsing.open("/store?database=shop&table=open")
    await page.get_by_role("link", name="New record").click()
    await page.get_by_label("Key").fill("order/003")
    await page.get_by_label("Value", exact=True).fill("1")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_contain_text("There is such a record already")
    assert await _value(m, "order/003") == {"id": 3, "text": "<b>&"}
    await browsing.open("/store/record?database=shop&table=open")
    await page.get_by_label("Key").fill("a new/one?&")
    await page.get_by_label("Value", exact=True).fill("1")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="a new/one?&")).to_be_visible()
    assert await _value(m, "a new/one?&") == 1


async def test_records_are_changed_without_scripts(m: Caller, enter: Enter) -> None:
    browsing = await enter(scripts=False)
    page = browsing.page
    await browsing.open(record("order/004"))
    await page.get_by_label("Value", exact=True).fill('"plain"')
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Value", exact=True)).to_have_value("plain")
    assert await _value(m, "order/004") == "plain"
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Records", exact=True)).to_be_visible()


@pytest.mark.parametrize("path", ["/store?database=shop&table=open", record("order/005"), "/store/record"])
async def test_the_pages_are_for_everybody(enter: Enter, path: str) -> None:
    """axe finds nothing to complain of, in both schemes, and nothing is wider than a phone."""
    for scheme in ("light", "dark"):
        browsing = await enter(scheme=scheme)
        await browsing.open(path)
        assert await browsing.complaints() == []
    browsing = await enter(width=400)
    await browsing.open(path)
    assert await browsing.page.evaluate("document.documentElement.scrollWidth") <= 400
