"""Markup and addresses that run scripts, in every place that a user or a service can write to: no page runs any of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urldefrag, urlencode, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

import microlite
from microlite.core.context import Origin
from microlite.core.library.caller import Caller
from tests.dashboard.browsing import PATIENCE, Browsing, Desk

EVIL: Final = (
    '<script>ran("s")</script>"><img src=x onerror="ran(1)">\'><svg onload=ran(2)>{{7*7}}</textarea><b evil=1>'
)
"""Tries to get out of a text, of attributes in both kinds of quotes, of a text field, and of a template."""

LINK: Final = "javascript:ran(3)"
"""What a page could take for an address."""

MOST: Final = 200
"""Pages that are opened at most; a walk that comes to so many is mistaken."""

SOURCE: Final = f'''
    import logging
    from collections.abc import AsyncIterator
    import msgspec
    from microlite import Context, Service, errors

    EVIL = {EVIL!r}
    LINK = {LINK!r}

    service = Service("evil", version="1.0.0", doc=EVIL, metadata={{"homepage": LINK, "team": EVIL}})
    service.config("evil.limit", int, default=3, doc=EVIL)

    class Thing(msgspec.Struct):
        name: str = EVIL

    @service.endpoint(metadata={{"link": LINK, "text": EVIL}})
    async def say(ctx: Context, text: str = EVIL, thing: Thing = Thing()) -> Thing:
        """{EVIL.replace('"', "'")}

        Args:
            text: {EVIL.replace('"', "'")}
        """
        logging.warning("%s %s", EVIL, LINK)
        print(EVIL, flush=True)
        return thing

    @service.every("1h")
    async def fail(ctx: Context) -> None:
        raise errors.Conflict(EVIL)

    @service.consume("evil.topic", group="evil", retries=0)
    async def consume(ctx: Context, event: dict) -> None:
        raise errors.Conflict(EVIL)

    if __name__ == "__main__":
        service.run()
'''
"""A service that says it wherever it can say something."""

BROKEN: Final = f"print({EVIL!r}, flush=True)\nraise RuntimeError({EVIL!r})\n"


async def seed(desk: Desk, m: Caller) -> None:
    """Write it to wherever something is kept."""
    call = desk.bench.call
    desk.bench.write("evil/main.py", SOURCE)
    await desk.bench.run("evil")
    desk.bench.write("broken/main.py", BROKEN)
    with pytest.raises(microlite.errors.Error):
        await desk.bench.run("broken")
    await m.call("evil.say")
    for value in (EVIL, {EVIL: [EVIL, LINK]}, LINK):
        await m.store.write(f"{EVIL}{len(json.dumps(value))}", value)
    await m.store.blobs.write(f"{EVIL}.html", EVIL.encode(), content_type="text/html")
    await call("config.set", path=f"texts.{json.dumps(EVIL)}", value=EVIL)
    await call("config.set", path="texts.link", value=LINK)
    await call("config.set", path="texts.secret", value=EVIL, secret=True)
    published = {
        "type": "publish",
        "topic": "evil.topic",
        "payload": {EVIL: EVIL},
        "key": EVIL,
        "metadata": {"a": EVIL},
    }
    await call("events.publish-many", batch=[published])
    await call("events.pull", topic="evil.topic", group="mailer", max=1, wait=5)
    await call("schedules.run", name="evil.fail")
    async for runs in _until(lambda: call("schedules.history", name="evil.fail")):
        if runs and runs[0]["error"]:
            break
    async for letters in _until(lambda: call("events.dead-letters", topic="evil.topic", group="evil")):
        if letters["letters"]:
            break


async def seed_access(desk: Desk) -> None:
    """Write it to wherever accounts, tokens, rules and the audit log have room for it."""
    call = desk.bench.call
    await call("auth.accounts.create", id="evil", name=EVIL, metadata={EVIL: LINK, "link": LINK, "text": EVIL})
    await call("auth.tokens.create", account="evil", name=EVIL, expires_in=3600)
    for resource in (
        {"type": "service", "name": EVIL, "endpoint": EVIL},
        {"type": "topic", "name": EVIL, "endpoint": "*"},
    ):
        with contextlib.suppress(microlite.errors.BadRequest):  # what it does not take, no page can show
            await call("auth.rules.create", id=f"evil-{resource['type']}", resource=resource, access="denied")
    for field in ("id", "scope"):
        fields = {"id": "evil-id", "scope": "", field: EVIL}
        with contextlib.suppress(microlite.errors.BadRequest):
            await call("auth.rules.create", resource={"name": "evil"}, **fields)
    await desk.bench.platform.state.audit.note(
        Origin("default", EVIL, EVIL, EVIL), "auth.test", EVIL, **{EVIL: EVIL, "link": LINK}
    )


async def _until(ask: Any) -> AsyncIterator[Any]:
    """Answers, again and again, while the caller looks on."""
    while True:
        yield await ask()
        await asyncio.sleep(0.02)  # what it waits for is in another process, and has no event of its own


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def seeded(desk: Desk) -> None:
    async with microlite.connect(desk.bench.platform.options.home) as m:
        await seed(desk, m)
        await seed_access(desk)


@pytest_asyncio.fixture(loop_scope="session")
async def unguarded(chromium: Browser, desk: Desk, seeded: None) -> AsyncIterator[Browsing]:
    """A page without the policy, so that nothing but the pages themselves keeps scripts from running."""
    context = await chromium.new_context(bypass_csp=True)
    context.set_default_timeout(PATIENCE)
    try:
        page = await context.new_page()
        await page.add_init_script("window.hits = []; window.ran = (what) => { window.hits.push(what); };")
        browsing = Browsing(desk, context, page)
        await browsing.log_in()
        yield browsing
        assert not browsing.outside, "a request has left the machine"
        # The API docs show the pictures of a service's Markdown; the policy, which is off here, keeps them to our own.
        assert not [one for one in browsing.errors if not re.search(r" 404 .*/x\)$", one)], "the page complained"
    finally:
        await context.close()


FILES: Final = ("/store/value", "/store/blobs/file", "/docs/openapi.json", "/docs/asyncapi.json")
"""What is downloaded, and never shown as a page."""

FOUND: Final = """() => {
  const marks = '[onerror], [onload], img[src="x"], [evil], main script:not([src], [type="application/json"])';
  const addresses = [...document.querySelectorAll("[href], [action], [src], [data]")].flatMap((one) =>
    ["href", "action", "src", "data"].map((name) => one.getAttribute(name)));
  return {
    ran: window.hits,
    marked: [...document.querySelectorAll(marks)].map((one) => one.outerHTML),
    addresses: addresses.filter((one) => one && /^\\s*(javascript|vbscript|data:text)/i.test(one)),
    solved: document.body.innerText.includes(">49<"),
  };
}"""
"""What should not be: scripts that ran, elements and attributes of ours, addresses that run scripts, solved templates."""

BESIDES: Final = (
    *("/services/evil", "/explorer/evil", "/explorer/evil/say", "/logs/evil", "/schedules/evil.fail"),
    "/access/tokens?account=evil",
    f"/access/explain?{urlencode({'account': 'evil', 'type': 'topic', 'service': EVIL, 'endpoint': 'publish'})}",
    f"/access/explain?{urlencode({'account': EVIL, 'service': EVIL, 'endpoint': EVIL})}",
    f"/access/accounts?{urlencode({'q': EVIL, 'after': EVIL})}",
    f"/access/audit?{urlencode({'actor': EVIL, 'action': EVIL, 'resource': EVIL})}",
)
"""Pages that carry it themselves, to which no link leads, or one among many of their kind."""

NOTHING: Final = {"ran": [], "marked": [], "addresses": [], "solved": False}


async def _links(page: Page, desk: Desk) -> list[str]:
    """Where the page leads to in the dashboard, by path and query."""
    found = await page.eval_on_selector_all("a[href]:not([download])", "all => all.map((one) => one.href)")
    return [
        urlsplit(urldefrag(one).url)._replace(scheme="", netloc="").geturl()
        for one in found
        if one.startswith(desk.url)
    ]


def _forgive_images(found: dict[str, Any], browsing: Browsing) -> None:
    """Take out the pictures that Swagger UI leaves in the Markdown of descriptions, without what would run with them."""
    found["marked"] = [one for one in found["marked"] if one not in ('<img src="x">', "<b>1</b>")]
    browsing.errors[:] = [one for one in browsing.errors if not one.endswith("/x)")]


def _kind(path: str) -> str:
    """Pages of one kind: those that differ by what they show only. Two of each are enough."""
    split = urlsplit(path)
    names = sorted({part.partition("=")[0] for part in split.query.split("&")})
    _, first, *rest = split.path.split("/")
    named = first in ("explorer", "services", "logs", "schedules")  # by a service or what is in it
    words = [first, *("*" if named or not word.isalpha() else word for word in rest)]
    return "/".join(words) + "?" + "&".join(names)


@pytest.mark.timeout(180)  # it opens some sixty pages, one after the other
async def test_no_page_runs_what_a_user_or_a_service_has_written(desk: Desk, unguarded: Browsing) -> None:
    """All pages that can be reached by links, without the policy that would keep scripts from running as well."""
    page = unguarded.page
    waiting = ["/", *BESIDES]
    seen = set(waiting)
    kinds: dict[str, int] = {}
    bad: dict[str, Any] = {}
    shown = 0
    while waiting:
        path = waiting.pop(0)
        answer = await page.goto(f"{desk.url}{path}")
        assert answer is not None
        assert answer.status < 400, f"{path}: {await page.inner_text('body')}"
        if await page.locator("[sse-connect]").count():
            await unguarded.live()
        found = await page.evaluate(FOUND)
        shown += "<script>ran(" in await page.inner_text("body")
        if path == "/docs":
            _forgive_images(found, unguarded)
        if found != NOTHING:
            bad[path] = found
        for link in await _links(page, desk):
            kind = _kind(link)
            if link not in seen and kinds.get(kind, 0) < 2 and not link.startswith(FILES):
                kinds[kind] = kinds.get(kind, 0) + 1
                seen.add(link)
                waiting.append(link)
        assert len(seen) < MOST, sorted(seen)
    assert bad == {}
    assert shown >= 10, "the walk met too little of what was written"
    walked = {urlsplit(path).path for path in seen}
    assert walked >= {
        *("/", "/logs", "/explorer", "/docs", "/store", "/store/blobs", "/config", "/events", "/broker", "/schedules"),
        *("/access/accounts", "/access/account", "/access/tokens", "/access/rules", "/access/explain", "/access/audit"),
        *("/access/keys", "/me", "/namespace"),
        *("/services/evil", "/explorer/evil/say", "/schedules/evil.fail", "/events/topic/evil.topic", "/config/value"),
    }
