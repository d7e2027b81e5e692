"""The API docs, in a browser: Swagger UI from our own files, and what is tried out there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter
from tests.dashboard.shop import SHOP


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def shop(desk: Desk) -> AsyncIterator[None]:
    desk.bench.write("shop/main.py", SHOP)
    await desk.bench.run("shop")
    yield


async def test_an_endpoint_is_tried_out(browsing: Browsing) -> None:
    """The request goes to the gateway, which lets pages of all origins call what is open."""
    await browsing.open("/docs?service=shop")
    operation = browsing.page.locator(".opblock-post", has_text="/shop/big")
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    await operation.locator("textarea").first.fill('{"number": 41}')
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")
    await expect(operation.locator(".live-responses-table pre").first).to_contain_text("41")


async def test_all_services_or_one(browsing: Browsing) -> None:
    await browsing.open("/docs")
    for name in ("shop", "auth", "runtime", "store", "tx"):
        tag = browsing.page.locator(f".opblock-tag[data-tag={name}]")
        await expect(tag).to_be_visible()
    await tag.click()
    await expect(browsing.page.locator(".opblock").first).to_be_visible()
    await browsing.page.get_by_label("Service").select_option("shop")
    await expect(browsing.page.locator(".opblock-tag", has_text="shop")).to_be_visible()
    await expect(browsing.page.locator(".opblock-tag", has_text="runtime")).to_have_count(0)


async def test_the_docs_are_dark_where_all_is(enter: Enter) -> None:
    browsing = await enter(scheme="dark")
    await browsing.open("/docs?service=shop")
    await expect(browsing.page.locator(".opblock").first).to_be_visible()
    colour = "getComputedStyle(document.querySelector('#swagger .swagger-ui')).backgroundColor"
    assert await browsing.page.evaluate(colour) == "rgb(20, 23, 26)"


async def test_both_documents_are_to_be_had(browsing: Browsing) -> None:
    await browsing.open("/docs")
    for name, member in (("OpenAPI", "openapi"), ("AsyncAPI", "asyncapi")):
        path = await browsing.page.get_by_role("link", name=name, exact=True).get_attribute("href")
        document = await (await browsing.page.request.get(f"{browsing.desk.url}{path}")).json()
        assert document[member].startswith("3.")
