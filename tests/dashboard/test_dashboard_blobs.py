"""The blobs, in a browser: uploaded, listed, downloaded, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import microlite
from microlite.core.library.caller import Caller
from tests.dashboard.browsing import Browsing, Desk, Scheme, expect
from tests.dashboard.conftest import Enter

LARGE = bytes(range(256)) * 50_000  # more than the dashboard takes of a form


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def m(desk: Desk) -> AsyncIterator[Caller]:
    """A script."""
    async with microlite.connect(desk.bench.platform.options.home) as m:
        yield m


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def blobs(m: Caller) -> None:
    for database in ("default", "films"):
        place = m.store.database(database).blobs
        for blob in await place.list():
            await place.delete(blob.name)


async def test_a_file_is_uploaded_in_a_stream(m: Caller, browsing: Browsing, tmp_path: Path) -> None:
    page, path = browsing.page, tmp_path / "film.mp4"
    path.write_bytes(LARGE)
    await browsing.open("/store/blobs")
    await expect(page.get_by_text("No blob is kept in default")).to_be_visible()
    await page.get_by_label("File").set_input_files(path)
    await page.get_by_label("Name", exact=True).fill("films/")
    await page.get_by_label("Expires after").fill("7d")
    await page.get_by_role("button", name="Upload").click()
    await expect(page.locator("#blobs tbody tr")).to_have_count(1)
    row = page.locator("#blobs tbody tr").first
    await expect(row).to_contain_text("films/film.mp4")
    await expect(row).to_contain_text("video/mp4")
    await expect(row).not_to_contain_text("never")
    assert await m.store.blobs.read_bytes("films/film.mp4") == LARGE


async def test_what_cannot_be_uploaded_says_why(m: Caller, browsing: Browsing, tmp_path: Path) -> None:
    page, path = browsing.page, tmp_path / "a.txt"
    path.write_bytes(b"1")
    await browsing.open("/store/blobs")
    await page.get_by_label("File").set_input_files(path)
    await page.get_by_label("Expires after").fill("soon")
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("alert")).to_contain_text("is no duration")
    browsing.errors.clear()  # the browser notes each answer that is an error
    assert await m.store.blobs.list() == []


async def test_a_blob_is_downloaded_and_no_page_of_the_dashboard(m: Caller, browsing: Browsing) -> None:
    await m.store.blobs.write("a b.html", b"<script>alert(1)</script>")
    page = browsing.page
    await browsing.open("/store/blobs")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="a b.html").click()
    download = await started.value
    assert download.suggested_filename == "a b.html"
    content = await asyncio.to_thread(Path(await download.path()).read_bytes)
    assert content == b"<script>alert(1)</script>"


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_blob_is_deleted(scripts: bool, m: Caller, enter: Enter) -> None:
    await m.store.blobs.write("x", b"1")
    browsing = await enter(scripts=scripts)
    page = browsing.page
    await browsing.open("/store/blobs")
    await page.get_by_role("button", name="Delete x").click()
    if scripts:
        await page.locator("#confirm-yes").click()
    await expect(page.get_by_text("No blob is kept in default")).to_be_visible()
    assert await m.store.blobs.list() == []


async def test_a_blob_that_was_replaced_meanwhile_is_not_deleted(m: Caller, enter: Enter) -> None:
    await m.store.blobs.write("x", b"1")
    browsing = await enter(scripts=False)  # with scripts the page follows
    await browsing.open("/store/blobs")
    await m.store.blobs.write("x", b"2")
    await browsing.page.get_by_role("button", name="Delete x").click()
    await expect(browsing.page.get_by_role("alert").first).to_contain_text("it was not deleted")
    assert await m.store.blobs.read_bytes("x") == b"2"


async def test_blobs_are_found_by_database_name_and_page(m: Caller, browsing: Browsing) -> None:
    films = m.store.database("films").blobs
    for number in range(60):
        await films.write(f"film/{number:02}", b"1")
    await films.write("other", b"1")
    page = browsing.page
    await browsing.open("/store/blobs?database=default")
    await page.get_by_label("Database").select_option("films")
    await page.get_by_label("Names that begin with").fill("film/")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#blobs tbody tr")).to_have_count(50)
    await page.get_by_role("link", name="Next page").click()
    await expect(page.locator("#blobs tbody tr")).to_have_count(10)


async def test_the_list_follows_what_happens(m: Caller, browsing: Browsing) -> None:
    await browsing.open("/store/blobs")
    await browsing.live()
    await m.store.blobs.write("new.txt", b"1")
    await expect(browsing.page.locator("#blobs")).to_contain_text("new.txt")
    await m.store.blobs.delete("new.txt")
    await expect(browsing.page.get_by_text("No blob is kept in default")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
async def test_the_page_fits_the_window(scheme: Scheme, width: int, m: Caller, enter: Enter) -> None:
    await m.store.blobs.write(
        "films/with-a-very-long-name-that-goes-on-and-on-and-on.mp4", b"1", metadata={"by": "Ann"}
    )
    browsing = await enter(scheme=scheme, width=width)
    await browsing.open("/store/blobs")
    overflow = await browsing.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
