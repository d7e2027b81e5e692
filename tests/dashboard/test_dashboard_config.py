"""The configuration, in a browser: the tree, editing, secrets, the history, live."""

from __future__ import annotations

import pytest

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter

PATHS = ("/config", "/config/value?path=shop.limits.max", "/config/value?path=shop.password", "/config/history")


async def _fill(desk: Desk) -> None:
    await desk.bench.call("config.set", path="shop", value={"limits": {"max": 10, "names": ["a", "<b>"]}, "open": True})
    await desk.bench.call("config.set", path="shop.password", value="hush", secret=True)
    await desk.bench.call("config.set", path="shop.limits.max", value=11)


async def test_the_tree_shows_values_and_hides_secrets(desk: Desk, browsing: Browsing) -> None:
    await _fill(desk)
    await browsing.open("/config")
    tree = browsing.page.locator(".tree.root")
    await expect(tree.locator(".leaf", has_text="max")).to_contain_text("11")
    await expect(tree.locator(".leaf", has_text="names")).to_contain_text('["a","<b>"]')
    await expect(tree.locator(".leaf", has_text="password")).to_contain_text("secret")
    assert "hush" not in await browsing.page.content()


async def test_changes_appear_by_themselves(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/config")
    await browsing.live()
    await desk.bench.call("config.set", path="later.came", value="<i>now</i>")
    await expect(browsing.page.locator(".leaf", has_text="came")).to_contain_text("<i>now</i>")
    await desk.bench.call("config.unset", path="later")
    await expect(browsing.page.locator(".leaf", has_text="came")).to_have_count(0)


async def test_a_value_is_set_typed_and_refused_in_words(desk: Desk, browsing: Browsing) -> None:
    await browsing.open("/config")
    await browsing.page.get_by_label("Path").fill("typed.number")
    await browsing.page.get_by_label("Value").fill("42")
    await browsing.page.get_by_role("button", name="Set", exact=True).click()
    await expect(browsing.page.locator(".notice")).to_have_text("typed.number is set")
    assert await desk.bench.call("config.get", path="typed.number") == 42
    await browsing.page.get_by_label("Path").fill("typed..number")
    await browsing.page.get_by_role("button", name="Set", exact=True).click()
    await expect(browsing.page.locator(".notice[data-tone=bad]")).to_contain_text("is no path")
    browsing.errors.clear()  # the browser's console names the 400


async def test_a_value_is_edited_and_taken_back(desk: Desk, browsing: Browsing) -> None:
    await _fill(desk)
    await browsing.open("/config/value?path=shop.limits.max")
    await browsing.live()
    await expect(browsing.page.get_by_label("Value")).to_have_value("11")
    await browsing.page.get_by_label("Value").fill("12")
    await browsing.page.get_by_role("button", name="Set", exact=True).click()
    await expect(browsing.page.locator("section", has_text="In force").locator(".leaf")).to_contain_text("12")
    await expect(browsing.page.locator(".change").first).to_contain_text("11 12")
    await browsing.page.get_by_role("button", name="Take back").click()
    await browsing.page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    await expect(browsing.page.locator("section", has_text="In force")).to_contain_text("Nothing, in any layer")


async def test_a_secret_is_revealed_on_request_alone(desk: Desk, browsing: Browsing) -> None:
    await _fill(desk)
    await browsing.open("/config/value?path=shop.password")
    assert "hush" not in await browsing.page.content()
    await browsing.page.get_by_role("button", name="Reveal").click()
    await expect(browsing.page.locator("#secret")).to_have_text("hush")
    await browsing.page.reload()
    await expect(browsing.page.get_by_role("button", name="Reveal")).to_be_visible()
    assert "hush" not in await browsing.page.content()


async def test_the_history_leads_back(desk: Desk, browsing: Browsing) -> None:
    await desk.bench.call("config.set", path="back", value=1)
    revision = (await desk.bench.call("config.set", path="back", value=2))["revision"] - 1
    await browsing.open("/config/history")
    await browsing.live()
    await browsing.page.locator(f"#revision-{revision}").get_by_role("link", name="what differs now").click()
    await expect(browsing.page.locator(".change")).to_contain_text("1 2")
    await browsing.page.get_by_role("button", name=f"Roll back to {revision}").click()
    await browsing.page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await expect(browsing.page.locator(".notice")).to_have_text(f"back to revision {revision}")
    assert await desk.bench.call("config.get", path="back") == 1


async def test_all_of_it_works_without_scripts(desk: Desk, enter: Enter) -> None:
    browsing = await enter(scripts=False)
    await browsing.open("/config")
    await browsing.page.get_by_label("Path").fill("plain.value")
    await browsing.page.get_by_label("Value").fill("[1, 2]")
    await browsing.page.get_by_label("Secret").check()
    await browsing.page.get_by_role("button", name="Set", exact=True).click()
    await expect(browsing.page).to_have_url(f"{desk.url}/config/value?path=plain.value")
    await browsing.page.get_by_role("button", name="Reveal").click()
    await expect(browsing.page.locator("#secret")).to_contain_text("[1, 2]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
async def test_the_pages_are_readable(desk: Desk, enter: Enter, scheme: str, width: int) -> None:
    await _fill(desk)
    browsing = await enter(scheme=scheme, width=width)
    for path in PATHS:
        await browsing.open(path)
        assert await browsing.complaints() == [], path
        overflow = await browsing.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, path
