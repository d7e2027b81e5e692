"""What tests of several folders share: one browser for each worker, started by the first test that asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A browser, in the loop of the session: who uses it runs there too.

    It is ours and asynchronous: that of pytest-playwright holds a loop of its own, beside which no platform could run.
    """
    from playwright.async_api import async_playwright

    from tests.dashboard.browsing import ARGUMENTS, find_chromium

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()
