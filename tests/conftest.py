"""What holds for all tests: which ones run by default, and one browser for each worker that has a test with pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser


def pytest_configure(config: pytest.Config) -> None:
    """Leave the slow ones out of a run that names neither a path nor a marker."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr:
        config.option.markexpr = "not slow"


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
