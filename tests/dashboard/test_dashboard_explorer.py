"""The explorer, in a browser: any endpoint as a form, what it answers, streams in both directions."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter
from tests.dashboard.shop import SHOP


@pytest_asyncio.fixture(loop_scope="session", scope="module", autouse=True)
async def shop(desk: Desk) -> AsyncIterator[None]:
    desk.bench.write("shop/main.py", SHOP)
    (status,) = await desk.bench.run("shop")
    assert not status.error
    yield


async def _document(browsing: Browsing) -> object:
    """The request as the JSON tab has it."""
    return json.loads(await browsing.page.locator("#request").input_value())


async def _answer(browsing: Browsing) -> object:
    await expect(browsing.page.locator("#answer-code")).to_have_text("200 OK")
    return json.loads(await browsing.page.locator("#answer-text").inner_text())


async def test_a_call_by_the_form(browsing: Browsing, tmp_path: Path) -> None:
    """Each kind of field becomes the value that the endpoint asks for; what is left out is not sent."""
    await browsing.open("/explorer/shop/create")
    field, page = browsing.field, browsing.page
    await field("customer").get_by_role("textbox").fill("Ann")
    await field("items").get_by_role("button", name="Add an item").click()
    item = field("items").locator(".parts > li").first
    await item.locator(".member", has_text="sku").locator("input[type=text]").first.fill("A-1")
    await item.locator(".member", has_text="quantity").locator("input[type=text]").fill("3")
    await item.locator(".member", has_text="colour").locator("select").select_option("blue")
    await field("gift").locator(".value input").check()
    await field("note").get_by_role("textbox").fill("ring twice")
    await field("due").locator(".value input").fill("2026-12-24")
    await field("labels").get_by_role("checkbox", name="Send labels").check()
    await field("labels").get_by_role("button", name="Add an entry").click()
    await field("labels").get_by_role("textbox", name="Key").fill("colour")
    await field("labels").get_by_role("textbox", name="Value").fill("green")
    (tmp_path / "photo").write_bytes(b"12345")
    await field("photo").locator("input[type=file]").set_input_files(tmp_path / "photo")
    await field("limit").get_by_role("combobox").select_option("string")
    await field("limit").locator(".chosen input").fill("none")
    await page.get_by_role("button", name="Send", exact=True).click()
    assert await _answer(browsing) == {
        "customer": "Ann",
        "items": [{"sku": "A-1", "quantity": 3, "colour": "blue"}],
        "gift": True,
        "note": "ring twice",
        "due": "2026-12-24",
        "labels": {"colour": "green"},
        "photo": 5,
        "limit": "none",
    }
    await expect(page.locator("#answer-facts")).to_contain_text("ms")


async def test_a_file_goes_with_its_name_and_type(browsing: Browsing, tmp_path: Path) -> None:
    """As a form would send it; the size that is shown is that of the file, whatever its rest by three."""
    await browsing.open("/explorer/shop/attach")
    (tmp_path / "cat.txt").write_bytes(b"1234")
    await browsing.field("document").locator("input[type=file]").set_input_files(tmp_path / "cat.txt")
    await expect(browsing.field("document").locator(".bytes .hint")).to_have_text("4 bytes")
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    assert await _answer(browsing) == "cat.txt, text/plain, 4 bytes"


async def test_a_file_that_is_still_being_read_is_waited_for(browsing: Browsing, tmp_path: Path) -> None:
    """It is never sent empty, however quickly one clicks."""
    await browsing.open("/explorer/shop/attach")
    await browsing.page.evaluate(
        """() => {
            const read = FileReader.prototype.readAsDataURL;
            FileReader.prototype.readAsDataURL = function (file) { window.release = () => read.call(this, file); };
        }"""
    )
    (tmp_path / "cat.txt").write_bytes(b"1234")
    await browsing.field("document").locator("input[type=file]").set_input_files(tmp_path / "cat.txt")
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#send")).to_be_disabled()
    await expect(browsing.page.locator("#answer")).to_be_hidden()
    await browsing.page.evaluate("window.release()")
    assert await _answer(browsing) == "cat.txt, text/plain, 4 bytes"
    await expect(browsing.page.locator("#send")).to_be_enabled()


async def test_the_lines_for_a_terminal_name_the_file(desk: Desk, browsing: Browsing, tmp_path: Path) -> None:
    """As one would type them, and they work."""
    await browsing.open("/explorer/shop/create")
    (tmp_path / "my cat.txt").write_bytes(b"12345")
    await browsing.field("customer").get_by_role("textbox").fill("O'Neill")
    await browsing.field("items").get_by_role("button", name="Add an item").click()
    item = browsing.field("items").locator(".parts > li").first
    await item.locator(".member", has_text="sku").locator("input[type=text]").first.fill("A")
    await browsing.field("photo").locator("input[type=file]").set_input_files(tmp_path / "my cat.txt")
    command = browsing.page.locator("#line-cli")
    await expect(command).to_contain_text("--photo '@my cat.txt'")
    await expect(browsing.page.locator("#line-curl")).to_contain_text("-F 'photo=@my cat.txt'")
    environment = {**os.environ, "MICROLITE_HOME": str(desk.bench.home)}
    for line in (
        f"{sys.executable} -m {await command.inner_text()}",
        await browsing.page.locator("#line-curl").inner_text(),
    ):
        done = await asyncio.create_subprocess_shell(
            line, cwd=tmp_path, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await done.communicate()
        answer = json.loads(out or "null")
        assert answer, err
        assert (answer["customer"], answer["photo"], answer["items"][0]["sku"]) == ("O'Neill", 5, "A")
    await browsing.page.get_by_role("tab", name="JSON").click()
    await browsing.page.locator("#request").fill('{"customer": "Ann", "items": [], "photo": "YQ=="}')
    await expect(command).to_contain_text("microlite call shop create")


async def test_form_and_json_stay_in_step(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/create")
    await browsing.field("customer").get_by_role("textbox").fill("Ann")
    assert await _document(browsing) == {"customer": "Ann", "items": []}
    await browsing.page.get_by_role("tab", name="JSON").click()
    text = browsing.page.get_by_role("textbox", name="The request, as JSON")
    await text.fill(
        '{"customer": "Bob", "items": [{"sku": "B"}, {"sku": "C", "quantity": 2}], "limit": "x", "note": null}'
    )
    await browsing.page.get_by_role("tab", name="Form").click()
    await expect(browsing.field("customer").get_by_role("textbox")).to_have_value("Bob")
    await expect(browsing.field("items").locator(".parts > li")).to_have_count(2)
    await expect(browsing.field("limit").locator(".chosen input")).to_have_value("x")
    await browsing.field("customer").get_by_role("textbox").fill("Eve")
    assert await _document(browsing) == {
        "customer": "Eve",
        "items": [{"sku": "B"}, {"sku": "C", "quantity": 2}],
        "limit": "x",
        "note": None,
    }


async def test_what_is_no_json_is_said_and_not_sent(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/create")
    await browsing.page.get_by_role("tab", name="JSON").click()
    await browsing.page.locator("#request").fill('{"customer": ')
    await expect(browsing.page.get_by_role("alert").filter(has_text="Not a request yet")).to_be_visible()
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer")).to_be_hidden()


async def test_an_error_stands_at_its_field(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/create")
    await browsing.page.get_by_role("tab", name="JSON").click()
    await browsing.page.locator("#request").fill(
        '{"customer": "Ann", "items": [{"sku": "A"}, {"sku": "B", "quantity": "x"}]}'
    )
    await browsing.page.get_by_role("tab", name="Form").click()
    await browsing.page.keyboard.press("Control+Enter")
    await expect(browsing.page.locator("#answer-code")).to_have_text("400 Bad Request")
    await expect(browsing.page.locator("#answer-error")).to_contain_text("items[1].quantity")
    wrong = browsing.page.locator(".parts > li").nth(1).locator(".member.wrong")
    await expect(wrong).to_contain_text("quantity")
    await expect(wrong.locator("input[type=text]")).to_be_focused()
    await wrong.locator("input[type=text]").fill("2")
    await expect(browsing.page.locator(".member.wrong")).to_have_count(0)


async def test_large_integers_are_not_rounded(browsing: Browsing) -> None:
    """A browser's numbers have 53 bits; those of Python do not end there."""
    await browsing.open("/explorer/shop/big")
    await browsing.field("number").get_by_role("textbox").fill("9007199254740993")
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer-text")).to_have_text("9007199254740993")


async def test_the_lines_for_a_terminal_follow_the_form(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/say")
    await browsing.field("text").get_by_role("textbox").fill("it's")
    await expect(browsing.page.locator("#line-cli")).to_have_text("""microlite call shop say '{"text":"it'\\''s"}'""")
    await expect(browsing.page.locator("#line-curl")).to_have_text(
        f"""curl {desk.gateway}/shop/say -H 'Content-Type: application/json' -d '{{"text":"it'\\''s"}}'"""
    )
    await browsing.open("/explorer/runtime/status")
    await expect(browsing.page.locator("#line-curl")).to_contain_text("Authorization: Bearer")


async def test_a_stream_shows_each_item_as_it_comes(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/ticks")
    await browsing.page.get_by_role("button", name="Open the stream").click()
    await expect(browsing.page.locator("#stream-items li")).to_have_count(3)
    await expect(browsing.page.locator("#answer-code")).to_have_text("ended")


async def test_a_stream_can_be_stopped(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/ticks")
    await browsing.field("count").get_by_role("textbox").fill("0")
    await browsing.page.get_by_role("button", name="Open the stream").click()
    await expect(browsing.page.locator("#stream-items li").nth(5)).to_be_visible()
    await browsing.page.get_by_role("button", name="Stop").click()
    await expect(browsing.page.locator("#answer-code")).to_have_text("stopped")


async def test_items_are_sent_into_an_open_stream(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/total")
    await browsing.page.get_by_role("button", name="Open the stream").click()
    items = browsing.page.locator("#items")
    await items.locator(".member", has_text="sku").locator("input[type=text]").first.fill("A")
    await items.locator(".member", has_text="quantity").locator("input[type=text]").fill("20")
    for count in ("1 sent", "2 sent"):
        await items.get_by_role("button", name="Send the item").click()
        await expect(items.locator("#items-sent")).to_have_text(count)
    await items.get_by_role("button", name="End my stream").click()
    await expect(browsing.page.locator("#stream-items li")).to_contain_text("40")
    await expect(browsing.page.locator("#answer-code")).to_have_text("ended")


async def test_both_directions_at_once(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/echo")
    await browsing.page.get_by_role("button", name="Open the stream").click()
    await browsing.page.locator("#item-fields input").fill("ha")
    await browsing.page.get_by_role("button", name="Send the item").click()
    await expect(browsing.page.locator("#stream-items li pre")).to_have_text('"haha"')


async def test_an_error_of_a_stream_is_shown(browsing: Browsing) -> None:
    await browsing.open("/explorer/shop/ticks")
    await browsing.field("count").get_by_role("textbox").fill("many")
    await browsing.page.get_by_role("button", name="Open the stream").click()
    await expect(browsing.page.locator("#answer-code")).to_have_text("400 Bad Request")
    await expect(browsing.field("count").locator(".field-error")).to_be_visible()


async def test_endpoints_are_found_by_typing(browsing: Browsing) -> None:
    await browsing.open("/explorer")
    await browsing.page.get_by_role("searchbox").fill("shop.cr")
    await expect(browsing.page.locator(".picker a:visible")).to_have_text(["create"])
    await browsing.page.get_by_role("link", name="create").click()
    await expect(browsing.page.get_by_role("heading", name="create")).to_be_visible()


async def test_endpoints_of_the_platform_are_called_like_any_other(browsing: Browsing) -> None:
    await browsing.open("/explorer/registry/list")
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer-text")).to_contain_text('"name": "shop"')


async def test_a_call_without_scripts(enter: Enter) -> None:
    """The request is JSON then, and the answer stands on the page."""
    browsing = await enter(scripts=False)
    await browsing.open("/explorer/shop/big")
    await browsing.page.locator("#request").fill('{"number": 12}')
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer-code")).to_have_text("200 OK")
    await expect(browsing.page.locator("#answer-text")).to_have_text("12")
    await browsing.page.locator("#request").fill('{"number": "x"}')
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer-error")).to_contain_text("number: expected int, got str")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
async def test_the_explorer_is_accessible(enter: Enter, scheme: str, width: int) -> None:
    browsing = await enter(scheme=scheme, width=width)
    await browsing.open("/explorer/shop/create")
    await browsing.field("items").get_by_role("button", name="Add an item").click()
    await browsing.field("labels").get_by_role("checkbox", name="Send labels").check()
    await browsing.field("labels").get_by_role("button", name="Add an entry").click()
    await browsing.page.get_by_role("button", name="Send", exact=True).click()
    await expect(browsing.page.locator("#answer-code")).not_to_be_empty()
    assert await browsing.complaints() == []
    await browsing.page.get_by_role("tab", name="JSON").click()
    assert await browsing.complaints() == []
    assert not await browsing.page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
