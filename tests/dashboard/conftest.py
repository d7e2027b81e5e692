"""Fixtures of the dashboard's tests: one platform for each module, one page for each test, in the browser of the worker."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.dashboard.browsing import Browsing, Desk, Scheme
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


@pytest_asyncio.fixture(loop_scope="session")
async def enter(chromium: Browser, desk: Desk) -> AsyncIterator[Enter]:
    """Opens a page of a browser of its own: `await enter(scheme="dark", width=400)`."""
    entered: list[Browsing] = []

    async def enter(scheme: Scheme = "light", width: int = 1280, scripts: bool = True) -> Browsing:
        context = await chromium.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 860}, java_script_enabled=scripts
        )
        context.set_default_timeout(10_000)
        browsing = Browsing(desk, context, await context.new_page())
        entered.append(browsing)
        await browsing.log_in()
        return browsing

    yield enter
    for browsing in entered:
        await browsing.context.close()
    for browsing in entered:
        assert not browsing.outside, "a request has left the machine"
        assert not browsing.errors, "the page complained"


@pytest_asyncio.fixture(loop_scope="session")
async def browsing(enter: Enter) -> Browsing:
    """A page that is logged in. At its end it must not have complained, nor asked anybody else for anything."""
    return await enter()
