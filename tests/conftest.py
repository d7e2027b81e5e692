"""What holds for all tests: which ones run by default, what may be left out, and one browser for each worker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.async_api import Browser

# A machine that is busy with something else is no finding.
settings.register_profile("microlite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("microlite")

MISSING = "not installed: "
"""How the reason of a skip begins where a program is missing that `.ci/run` installs."""


def pytest_configure(config: pytest.Config) -> None:
    """Leave the slow ones out of a run that names neither a path nor a marker."""
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.markexpr:
        config.option.markexpr = "not slow"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that lacks such a program fails: nobody reads there what was left out."""
    report: pytest.TestReport = yield
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    if os.environ.get("CI") and MISSING in reason:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid}: {reason.removeprefix('Skipped: ')}, and CI=true lets no test be left out for that"
        )
    return report


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
