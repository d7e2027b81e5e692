"""A program behind the gateway whose pages attack the dashboard of whoever looks at them, in a real browser."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from microlite.core.runtime.api import ServiceStatus
from tests.dashboard.browsing import Desk, expect
from tests.dashboard.conftest import Enter

PROGRAM = """
    import http.server, os, urllib.parse

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            self.send_response(302 if "to" in query else 200)
            if "to" in query:
                self.send_header("Location", query["to"][0])
            for name in ("microlite-session", "__Host-microlite-session", "=microlite-session"):
                self.send_header("Set-Cookie", name + "=" + "x" * 43 + "; Path=/")
                self.send_header("Set-Cookie", name + "=" + "y" * 43 + "; Path=/; Domain=127.0.0.1")
            self.send_header("Set-Cookie", "own=1")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>attack</title><div id=place></div>")
            self.wfile.write(repr(self.headers.get("Cookie")).encode())

        def log_message(self, *args):
            pass

    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

ATTACK = """
async ([dashboard, victim]) => {
    const tried = {};
    const attempt = async (name, act) => {
        try { tried[name] = await act(); } catch (error) { tried[name] = 'refused'; }
    };
    const read = async (path, options) => (await fetch(dashboard + path, options)).text();
    await attempt('read', () => read('/', {credentials: 'include'}));
    await attempt('read without asking', () => read('/', {credentials: 'include', mode: 'no-cors'}));
    await attempt('kill by json', () => read(`/services/${victim}/kill`, {
        method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'}, body: '{}'}));
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
        await attempt('kill by ' + type, () => read(`/services/${victim}/kill`, {
            method: 'POST', mode: 'no-cors', credentials: 'include', headers: {'content-type': type}, body: 'a=b'}));
    await attempt('kill by beacon', () => { navigator.sendBeacon(`${dashboard}/services/${victim}/kill`, 'a'); return ''; });
    await attempt('listen', () => new Promise((resolve, reject) => {
        const source = new EventSource(dashboard + '/live', {withCredentials: true});
        source.onmessage = event => resolve(event.data);
        source.onerror = reject;
    }));
    await attempt('socket', () => new Promise((resolve, reject) => {
        const socket = new WebSocket(dashboard.replace('http', 'ws') + '/');
        socket.onopen = () => resolve('open');
        socket.onerror = reject;
    }));
    await attempt('cookie', () => { document.cookie = 'microlite-session=' + 'z'.repeat(43) + '; path=/'; });
    await attempt('script', () => new Promise((resolve, reject) => {
        const script = document.createElement('script');
        script.src = dashboard + '/';
        script.onload = () => resolve('loaded');
        script.onerror = reject;
        document.head.append(script);
    }));
    return tried;
}
"""

FRAME = """
(dashboard) => new Promise(resolve => {
    const frame = document.createElement('iframe');
    frame.onload = () => {
        try { resolve(frame.contentDocument ? frame.contentDocument.body.innerText : 'closed'); }
        catch (error) { resolve('closed'); }
    };
    frame.src = dashboard + '/';
    document.body.append(frame);
    setTimeout(() => resolve('closed'), 3000);
})
"""

FORM = """
([dashboard, victim, type]) => {
    const form = document.createElement('form');
    form.method = 'post';
    form.enctype = type;
    form.action = `${dashboard}/services/${victim}/kill`;
    document.body.append(form);
    form.submit();
}
"""

VICTIM = """
    from microlite import Service

    victim = Service("victim")

    @victim.endpoint
    async def call() -> int:
        return 1

    if __name__ == "__main__":
        victim.run()
"""


@pytest_asyncio.fixture(loop_scope="session")
async def attacked(desk: Desk) -> Desk:
    """A desk with a service to be ended, and a program that wants to end it."""
    running = {status.name for status in await desk.bench.statuses("runtime.status")}
    if "thief" not in running:
        desk.bench.write("victim/main.py", VICTIM)
        desk.bench.write("thief/serve.py", PROGRAM)
        await desk.bench.run("victim")
        await desk.bench.run("thief", name="thief", command=f"{sys.executable} serve.py")
    return desk


def places(desk: Desk) -> dict[str, str]:
    """Where the program's pages can be looked at: at the API's origin, at a host name of their own."""
    port = desk.gateway.rpartition(":")[2]
    return {"below a path": f"{desk.gateway}/thief/", "at its own origin": f"http://thief.localhost:{port}/"}


async def look_at(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    await expect(page).to_have_title("attack")
    return page


@pytest.mark.parametrize("place", ["below a path", "at its own origin"])
async def test_a_page_of_a_service_does_nothing_to_the_dashboard(place: str, attacked: Desk, enter: Enter) -> None:
    browsing = await enter()
    page = await look_at(browsing.context, places(attacked)[place])
    tried: dict[str, Any] = await page.evaluate(ATTACK, [attacked.url, "victim"])
    for name in ("read", "kill by json", "listen", "socket", "script"):
        assert tried[name] == "refused", (name, tried)
    for name, said in tried.items():
        assert said in ("refused", "", None), (name, said)
    shown = await page.evaluate(FRAME, attacked.url)
    assert shown == "closed"
    for frame in page.frames[1:]:
        assert "csrf-token" not in await frame.content()
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        await page.goto(places(attacked)[place])
        async with page.expect_navigation():
            await page.evaluate(FORM, [attacked.url, "victim", kind])
        assert "victim has ended" not in await page.content()
    opened = await page.evaluate(
        "(url) => { const w = open(url); try { return String(w.document.title); } catch (error) { return 'closed'; } }",
        attacked.url,
    )
    assert opened in ("closed", "")
    victim = next(one for one in await statuses(attacked) if one.name == "victim")
    assert victim.state == "running"
    # And who was logged in still is: no cookie of the program has taken the place of his.
    await browsing.open("/")
    await expect(browsing.page).to_have_url(f"{attacked.url}/")
    await expect(browsing.service("victim")).to_be_visible()


async def statuses(desk: Desk) -> list[ServiceStatus]:
    return await desk.bench.statuses("runtime.status")


async def test_a_program_neither_sees_nor_sets_the_cookie_of_the_dashboard(attacked: Desk, enter: Enter) -> None:
    browsing = await enter()
    before = {one["value"] for one in await browsing.context.cookies(attacked.url) if "session" in str(one["name"])}
    page = await look_at(browsing.context, places(attacked)["below a path"])
    text = await page.inner_text("body")
    assert "session" not in text
    after = {one["value"] for one in await browsing.context.cookies(attacked.url) if "session" in str(one["name"])}
    assert after == before
    assert len(after) == 1


@pytest.mark.parametrize("to", ["/", "/logout", "/services/victim/kill"])
async def test_being_sent_to_the_dashboard_changes_nothing_there(to: str, attacked: Desk, enter: Enter) -> None:
    """A redirect is a GET, and no GET of the dashboard changes anything."""
    browsing = await enter()
    page = await browsing.context.new_page()
    await page.goto(f"{places(attacked)['at its own origin']}?to={attacked.url}{to}")
    assert next(one for one in await statuses(attacked) if one.name == "victim").state == "running"
    await browsing.open("/")
    await expect(browsing.service("victim")).to_be_visible()
