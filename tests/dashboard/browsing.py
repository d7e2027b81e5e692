"""A browser at the dashboard: what tests of its pages share. A further page's tests use `Browsing` and no more."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs
from playwright.async_api import ConsoleMessage, Locator, Page, Request, expect

from tests.runtime_e2e.runtime_bench import Bench

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

__all__ = ["PATIENCE", "Browsing", "Desk", "expect", "find_chromium"]

Scheme = Literal["light", "dark"]

PATIENCE = 30_000
"""Milliseconds until the page has to be as expected: no promise of the product, but short of what a test may take."""

expect.set_options(timeout=PATIENCE)

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
"""Without them Chromium talks to its maker by itself, which is none of the dashboard's doing."""


def find_chromium() -> str:
    """The browser; a test that has none fails, so that CI never passes without."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("Chromium is missing: install it (`apt-get install chromium`), or name it by CHROMIUM=/path")
    return found


class Desk:
    """A platform with its dashboard, and real services."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.url = bench.platform.dashboard_url
        self.gateway = bench.platform.gateway.url

    async def link(self) -> str:
        """What `microlite web` opens."""
        url: str = (await self.bench.call("auth.link"))["url"]
        return url


class Browsing:
    """One page of a browser that is logged in. It keeps what a page must not do.

    Args:
        desk: the platform.
        context: of the browser.
        page: of that context.

    Attributes:
        errors: what the page complained of.
        outside: requests that left the dashboard, the gateway's own aside.
    """

    def __init__(self, desk: Desk, context: BrowserContext, page: Page) -> None:
        self.desk = desk
        self.context = context
        self.page = page
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        own = {urlsplit(self.desk.url).netloc, urlsplit(self.desk.gateway).netloc, ""}
        if urlsplit(request.url).netloc not in own:
            self.outside.append(request.url)

    async def log_in(self, account: str = "", secret: str = "", namespace: str = "default") -> None:
        """By the link of `microlite web`, or as an account."""
        if account:
            await self.fill_in(account, secret, namespace)
            await expect(self.page.locator("#who")).to_be_visible()
            return
        await self.page.goto(await self.desk.link())
        await expect(self.page).to_have_url(f"{self.desk.url}/")

    async def fill_in(self, account: str, secret: str, namespace: str = "default") -> None:
        """Try to log in on the page for that."""
        await self.page.goto(f"{self.desk.url}/login")
        await self.page.get_by_label("Account").fill(account)
        await self.page.get_by_label("Secret").fill(secret)
        await self.page.get_by_label("Namespace").fill(namespace)
        await self.page.get_by_role("button", name="Log in", exact=True).click()

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.desk.url}{path}")

    async def live(self) -> None:
        """Return when the page hears of changes."""
        await expect(self.page.locator("#link-state")).to_have_text("Live")

    def service(self, name: str) -> Locator:
        """The card of a service on the page of all."""
        return self.page.locator(".service").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def field(self, name: str) -> Locator:
        """A field of a form in the explorer."""
        return self.page.locator(".member").filter(has=self.page.locator("> .heading code", has_text=name)).first

    async def complaints(self) -> list[str]:
        """What axe finds wrong with the page: the rule, and where."""
        results: dict[str, Any] = (await Axe().run(self.page)).response
        return [
            f"{one['id']}: {node['target']} {node.get('failureSummary')}"
            for one in results["violations"]
            for node in one["nodes"]
        ]
