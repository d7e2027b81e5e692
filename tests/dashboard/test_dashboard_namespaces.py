"""The pages of namespaces, in a browser: one is made, limited, seen in use and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter


def row(browsing: Browsing, name: str) -> Any:
    return browsing.page.locator(f"tr#namespace-{name}")


async def test_one_is_made_limited_and_deleted(desk: Desk, browsing: Browsing) -> None:
    """By the forms alone; the name has to be typed once more before all that is in it goes."""
    page = browsing.page
    await page.get_by_role("link", name="Namespaces", exact=True).click()
    await browsing.live()
    await expect(row(browsing, "default")).to_be_visible()
    await page.get_by_label("Name", exact=True).fill("shop")
    await page.get_by_label("Bytes", exact=True).fill("2MB")
    await page.get_by_label("Hosts").fill("shop.example.org *.shop.example.org")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="shop", exact=True)).to_be_visible()
    made = await desk.bench.call("namespaces.read", name="shop")
    assert (made["limits"]["bytes"], made["hosts"]) == (2_000_000, ["shop.example.org", "*.shop.example.org"])
    await page.get_by_label("Records", exact=True).fill("10")
    await page.get_by_label("Bytes", exact=True).fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".notice")).to_have_text("shop may use that from now on")
    made = await desk.bench.call("namespaces.read", name="shop")
    assert (made["limits"]["records"], made["limits"]["bytes"]) == (10, 0)
    await expect(page.get_by_role("progressbar", name="records")).to_be_visible()
    await page.get_by_label("Type its name").fill("shop")
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Namespaces", exact=True)).to_be_visible()
    await expect(row(browsing, "shop")).to_have_count(0)
    assert [one["name"] for one in await desk.bench.call("namespaces.list")] == ["default"]


async def test_what_is_used_is_seen_beside_the_limit(desk: Desk, browsing: Browsing) -> None:
    await desk.bench.call("namespaces.create", name="blue", max_records=100)
    try:
        await browsing.open("/namespaces")
        await browsing.live()
        await expect(row(browsing, "blue")).to_contain_text("0 of 100")
        await desk.bench.caller.options(namespace="blue").call("store.write", key="k", value=1)
        held = (await desk.bench.call("namespaces.usage", name="blue"))[0]["records"]
        await expect(row(browsing, "blue")).to_contain_text(f"{held} of 100")
    finally:
        async for _ in desk.bench.caller.stream("namespaces.delete", name="blue", confirm="blue"):
            pass


async def test_what_cannot_be_is_said(browsing: Browsing) -> None:
    await browsing.open("/namespaces")
    await browsing.page.get_by_label("Name", exact=True).fill("api")
    await browsing.page.get_by_role("button", name="Create").click()
    await expect(browsing.page.locator(".notice")).to_contain_text("reserved")
    await browsing.page.get_by_label("Bytes", exact=True).fill("many")
    await browsing.page.get_by_role("button", name="Create").click()
    await expect(browsing.page.locator(".notice").last).to_contain_text("is no size")
    browsing.errors.clear()  # Chromium names each refused request


async def test_default_has_no_way_to_delete_it(browsing: Browsing) -> None:
    await browsing.open("/namespaces/default")
    await expect(browsing.page.get_by_role("button", name="Save")).to_be_visible()
    await expect(browsing.page.get_by_role("button", name="Delete")).to_have_count(0)


async def test_it_works_without_scripts(desk: Desk, enter: Enter) -> None:
    browsing = await enter(scripts=False)
    page = browsing.page
    await browsing.open("/namespaces")
    await page.get_by_label("Name", exact=True).fill("plain")
    await page.get_by_role("button", name="Create").click()
    await expect(page).to_have_url(f"{desk.url}/namespaces/plain")
    await page.get_by_label("Type its name").fill("plain")
    await page.get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(f"{desk.url}/namespaces")


@pytest.mark.parametrize("path", ["/namespaces", "/namespaces/default"])
async def test_the_pages_are_in_order(path: str, enter: Enter) -> None:
    """For those who cannot see, in the dark and on a narrow screen."""
    for scheme, width in (("light", 1280), ("dark", 400)):
        browsing = await enter(scheme=scheme, width=width)
        await browsing.open(path)
        assert await browsing.complaints() == []
