"""The pages of services, in a browser: what runs, as it changes, and what the buttons do."""

from __future__ import annotations

import os
import signal

import pytest

from tests.dashboard.browsing import Browsing, Desk, expect
from tests.dashboard.conftest import Enter
from tests.dashboard.shop import BROKEN
from tests.runtime_e2e.runtime_bench import versioned


async def test_the_first_page_says_how_to_run_a_first_service(browsing: Browsing) -> None:
    await expect(browsing.page.get_by_role("heading", name="No service runs yet")).to_be_visible()
    await expect(browsing.page.get_by_text("microlite run .")).to_be_visible()


async def test_a_service_appears_and_goes_by_itself(desk: Desk, browsing: Browsing) -> None:
    """The list follows what happens, without a reload of the page."""
    await browsing.live()
    desk.bench.write("echo/main.py", versioned(1, "echo"))
    async with desk.bench.session("echo") as session:
        await session.running("echo")
        card = browsing.service("echo")
        await expect(card.locator(".state")).to_have_text("running")
        await expect(card.get_by_text(str(desk.bench.folder / "echo"))).to_be_visible()
    await expect(card).to_have_count(0)
    await expect(browsing.page.get_by_role("heading", name="No service runs yet")).to_be_visible()


async def test_a_node_that_dies_leaves_its_story(desk: Desk, browsing: Browsing) -> None:
    desk.bench.write("mortal/main.py", versioned(1, "mortal"))
    async with desk.bench.session("mortal") as session:
        await session.running("mortal")
        await browsing.open("/services/mortal")
        await browsing.live()
        node = (await desk.bench.status("mortal")).nodes[0]
        assert node.pid
        os.kill(node.pid, signal.SIGKILL)
        await expect(browsing.page.locator(".story li")).to_contain_text("ended by SIGKILL")
        await expect(browsing.page.locator("tbody tr")).to_have_count(1)
        await expect(browsing.page.locator("tbody").get_by_text(str(node.pid))).to_have_count(0)


async def test_a_service_that_does_not_start_shows_why(desk: Desk, browsing: Browsing) -> None:
    """Its error, and its last lines, on both pages."""
    desk.bench.write("broken/main.py", BROKEN)
    async with desk.bench.session("broken"):
        for path in ("/", "/services/broken"):
            await browsing.open(path)
            trouble = browsing.page.locator(".trouble").first
            await expect(trouble).to_contain_text("No module named 'nothing_of_this_name'")
            await expect(trouble).to_contain_text("almost there")


async def test_a_change_of_the_code_is_told(desk: Desk, browsing: Browsing) -> None:
    desk.bench.write("young/main.py", versioned(1, "young"))
    async with desk.bench.session("young") as session:
        await session.running("young")
        await browsing.open("/services/young")
        await browsing.live()
        desk.bench.write("young/main.py", versioned(2, "young"))
        await expect(browsing.page.locator(".story")).to_contain_text("main.py changed")
        await expect(browsing.page.locator(".version .tag").first).to_have_text("2")


async def test_what_a_reader_has_opened_stays_open(desk: Desk, browsing: Browsing) -> None:
    """A fragment that is renewed keeps what was unfolded, and where the keyboard is."""
    desk.bench.write("folded/main.py", versioned(1, "folded"))
    async with desk.bench.session("folded") as session:
        await session.running("folded")
        await browsing.open("/services/folded")
        await browsing.live()
        fold = browsing.page.locator(".endpoints details")
        await expect(fold).to_have_count(0)  # neither fields nor parts: nothing to unfold
        desk.bench.write(
            "folded/main.py", versioned(2, "folded").replace("def version()", "def version(much: int = 1)")
        )
        await expect(fold).to_have_count(1)
        await fold.locator("summary").click()
        desk.bench.write(
            "folded/main.py", versioned(3, "folded").replace("def version()", "def version(less: int = 1)")
        )
        await expect(fold.locator("dt code")).to_have_text("less")
        await expect(fold).to_have_attribute("open", "")
        await expect(fold.locator("summary")).to_be_focused()


async def test_the_buttons_reload_and_end_a_service(desk: Desk, browsing: Browsing) -> None:
    desk.bench.write("pushed/main.py", versioned(1, "pushed"))
    await desk.bench.run("pushed")
    await browsing.open("/services/pushed")
    await browsing.page.get_by_role("button", name="Reload").click()
    await expect(browsing.page.locator(".notice")).to_have_text("pushed runs its newest code")
    await expect(browsing.page.locator(".story")).to_contain_text("updated by a user")

    question = browsing.page.get_by_role("dialog")
    await browsing.page.get_by_role("button", name="End").click()
    await expect(question).to_contain_text("End pushed?")
    await question.get_by_role("button", name="Cancel").click()
    assert (await desk.bench.status("pushed")).nodes
    await browsing.page.get_by_role("button", name="End").click()
    await question.get_by_role("button", name="End").click()
    await expect(browsing.page.locator(".notice", has_text="pushed has ended")).to_be_visible()
    await expect(browsing.page.get_by_text("pushed does not run any more")).to_be_visible()


async def test_the_buttons_work_without_scripts(desk: Desk, enter: Enter) -> None:
    desk.bench.write("plain/main.py", versioned(1, "plain"))
    await desk.bench.run("plain")
    browsing = await enter(scripts=False)
    await browsing.open("/services/plain")
    await browsing.page.get_by_role("button", name="Reload").click()
    await expect(browsing.page.locator(".story")).to_contain_text("updated by a user")
    await browsing.page.get_by_role("button", name="End").click()
    await expect(browsing.page).to_have_url(f"{desk.url}/")
    await expect(browsing.service("plain")).to_have_count(0)


async def test_an_http_program_shows_its_address(desk: Desk, browsing: Browsing) -> None:
    desk.bench.write(
        "site/pyproject.toml", '[tool.microlite]\ncommand = "python -m http.server $PORT --bind 127.0.0.1"\n'
    )
    desk.bench.write("site/index.html", "<h1>hello</h1>")
    async with desk.bench.session("site") as session:
        await session.running("site")
        await browsing.open("/")
        port = desk.gateway.rpartition(":")[2]
        await expect(
            browsing.service("site").get_by_role("link", name=f"http://site.localhost:{port}/")
        ).to_be_visible()


async def test_a_page_whose_session_has_ended_shows_how_to_log_in(desk: Desk, browsing: Browsing) -> None:
    """Also where nothing on it is clicked: the live stream ends, and the page notices."""
    await browsing.open("/")
    await browsing.page.get_by_role("button", name="Log out").click()
    await expect(browsing.page.get_by_role("heading", name="Log in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
async def test_pages_are_accessible_in_every_dress(desk: Desk, enter: Enter, scheme: str, width: int) -> None:
    """axe finds nothing, and no page is wider than the window."""
    desk.bench.write("broken/main.py", BROKEN)
    desk.bench.write("fine/main.py", versioned(1, "fine"))
    async with desk.bench.session("broken", "fine") as session:
        await session.running("fine")
        browsing = await enter(scheme=scheme, width=width)
        for path in ("/", "/services/broken", "/services/fine", "/services/runtime", "/logs", "/explorer/runtime/run"):
            await browsing.open(path)
            assert await browsing.complaints() == [], path
            too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            assert not await browsing.page.evaluate(too_wide), path


async def test_dark_is_dark(enter: Enter) -> None:
    """The colours follow what the reader's system says."""
    background = "getComputedStyle(document.body).backgroundColor"
    assert await (await enter(scheme="dark")).page.evaluate(background) == "rgb(20, 23, 26)"
    assert await (await enter(scheme="light")).page.evaluate(background) == "rgb(250, 249, 246)"
    assert len(await (await enter(scheme="dark")).page.screenshot()) > 10_000


async def test_the_keyboard_reaches_the_page_and_shows_where_it_is(browsing: Browsing) -> None:
    await browsing.page.keyboard.press("Tab")
    await expect(browsing.page.get_by_role("link", name="Skip to the page")).to_be_focused()
    await browsing.page.keyboard.press("Enter")
    await expect(browsing.page.locator("main")).to_be_focused()
    await browsing.page.keyboard.press("Tab")
    outline = await browsing.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
