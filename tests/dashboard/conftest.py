"""Fixtures of the dashboard's tests: one platform for each module, one page for each test, in the browser of the worker."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext

from tests.dashboard.browsing import PATIENCE, Browsing, Desk, Scheme
from tests.runtime_e2e.runtime_bench import bench_on

Enter = Callable[..., Awaitable[Browsing]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here run in the session's loop, where the browser is."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def desk() -> AsyncIterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="ml-"))  # short, since paths of sockets are limited
    try:
        async with bench_on(folder / "home", folder / "services", dashboard=True) as bench:
            assert bench.platform.dashboard is not None
            await bench.platform.dashboard.started.wait()
            yield Desk(bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Contexts:
    """Contexts of the browser for use one after the other: a new one costs half a second of computing, a page little.

    Args:
        chromium: the browser.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._free: dict[bool, list[BrowserContext]] = {True: [], False: []}

    async def take(self, scripts: bool) -> BrowserContext:
        """One that nobody uses, as if it were new."""
        if self._free[scripts]:
            context = self._free[scripts].pop()
            await context.clear_cookies()
            return context
        context = await self._chromium.new_context(java_script_enabled=scripts)
        context.set_default_timeout(PATIENCE)
        return context

    async def give_back(self, context: BrowserContext, scripts: bool) -> None:
        """Let another test have it."""
        for page in context.pages:
            await page.close()
        self._free[scripts].append(context)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def contexts(chromium: Browser) -> Contexts:
    return Contexts(chromium)


@pytest_asyncio.fixture(loop_scope="session")
async def enter(contexts: Contexts, desk: Desk) -> AsyncIterator[Enter]:
    """Opens a page that is logged in, with cookies of its own: `await enter(scheme="dark", width=400, who=("ann", "…"))`."""
    entered: list[tuple[Browsing, bool]] = []

    async def enter(
        scheme: Scheme = "light", width: int = 1280, scripts: bool = True, who: tuple[str, ...] = ()
    ) -> Browsing:
        context = await contexts.take(scripts)
        page = await context.new_page()
        await page.set_viewport_size({"width": width, "height": 860})
        await page.emulate_media(color_scheme=scheme)
        browsing = Browsing(desk, context, page)
        entered.append((browsing, scripts))
        await browsing.log_in(*who)
        return browsing

    yield enter
    for browsing, scripts in entered:
        await contexts.give_back(browsing.context, scripts)
    for browsing, _ in entered:
        assert not browsing.outside, "a request has left the machine"
        assert not browsing.errors, "the page complained"


@pytest_asyncio.fixture(loop_scope="session")
async def browsing(enter: Enter) -> Browsing:
    """A page that is logged in. At its end it must not have complained, nor asked anybody else for anything."""
    return await enter()
