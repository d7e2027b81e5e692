"""Who gets in, and what every answer says to a browser: over plain HTTP, without one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from tests.dashboard.browsing import Desk

PAGE = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"


class Said(NamedTuple):
    """An answer, read."""

    code: int
    headers: Any
    text: str


class Client:
    """Asks the dashboard, with a cookie once it is logged in, and never follows a redirect."""

    def __init__(self, desk: Desk, session: aiohttp.ClientSession) -> None:
        self.desk = desk
        self._session = session
        self.cookie = ""

    async def __call__(self, method: str, path: str, body: str = "", /, **headers: str) -> Said:
        sent = {"Accept": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        url = path if path.startswith("http") else self.desk.url + path
        async with self._session.request(
            method, url, data=body.encode() or None, headers=sent, allow_redirects=False
        ) as answer:
            return Said(answer.status, answer.headers, await answer.text())

    async def log_in(self, account: str = "", secret: str = "") -> str:
        """By the link of `microlite web`, or as an account. Returns the token that the pages carry."""
        if account:
            form = urlencode({"account": account, "secret": secret, "namespace": "default"})
            said = await self("POST", "/login", form, Content_Type=FORM)
        else:
            said = await self("GET", await self.desk.link())
        assert said.code == 303
        self.cookie = said.headers["Set-Cookie"].partition(";")[0]
        found = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', (await self("GET", "/me")).text)
        assert found
        return found[1]


@pytest_asyncio.fixture(loop_scope="session")
async def ask(desk: Desk) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(desk, session)


@pytest.mark.parametrize(
    "path", ["/", "/services/shop", "/explorer", "/logs", "/docs", "/docs/openapi.json", "/nowhere"]
)
async def test_nothing_is_shown_without_a_session(ask: Client, path: str) -> None:
    """Whoever is not logged in is told how to, whatever they ask for."""
    said = await ask("GET", path)
    assert said.code == 401
    assert "microlite web" in said.text
    assert "csrf-token" not in said.text


async def test_a_link_works_once(ask: Client) -> None:
    link = await ask.desk.link()
    said = await ask("GET", link)
    assert (said.code, said.headers["Location"]) == (303, "/")
    again = await ask("GET", link)
    assert again.code == 410
    assert "microlite web" in again.text
    assert "Set-Cookie" not in again.headers


async def test_to_look_whether_a_link_is_there_does_not_use_it(ask: Client) -> None:
    """Programs that show previews ask by HEAD."""
    link = await ask.desk.link()
    await ask("HEAD", link)
    assert (await ask("GET", link)).code == 303


async def test_a_link_that_a_page_of_another_site_opened_works_too(ask: Client) -> None:
    """A strict cookie is not sent along on a redirect that another site began, so there is none then."""
    said = await ask("GET", await ask.desk.link(), Sec_Fetch_Site="cross-site")
    assert (said.code, said.headers["Refresh"]) == (200, "0; url=/")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(ask: Client) -> None:
    cookie = (await ask("GET", await ask.desk.link())).headers["Set-Cookie"]
    assert re.match(r"microlite-session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=\d+$", cookie)


async def test_a_second_platform_on_this_machine_does_not_log_the_first_out(ask: Client) -> None:
    """Cookies do not tell ports apart: each platform finds its own session in the one cookie."""
    await ask.log_in()
    other = f"{ask.cookie.partition('=')[2]}.{'x' * 43}"
    assert (await ask("GET", "/", Cookie=f"microlite-session={other}")).code == 200
    assert (await ask("GET", "/", Cookie=f"a=b; microlite-session={'x' * 43}.{other}")).code == 200
    again = await ask("GET", await ask.desk.link(), Cookie=f"microlite-session={other}")
    assert "x" * 43 in again.headers["Set-Cookie"]


async def test_logging_out_ends_the_session(ask: Client) -> None:
    token = await ask.log_in()
    said = await ask("POST", "/logout", f"csrf={token}", Content_Type=FORM)
    assert (said.code, said.headers["Location"]) == (303, "/login")
    assert "Max-Age=0" in said.headers["Set-Cookie"]
    assert (await ask("GET", "/")).code == 401


async def test_logging_out_ends_all_sessions_of_the_browser(ask: Client) -> None:
    """Whoever has opened two links is out after one log-out, and stays logged in at other platforms."""
    await ask.log_in()
    first = ask.cookie
    other = "x" * 43
    again = await ask("GET", await ask.desk.link(), Cookie=f"{first}.{other}")
    ask.cookie = again.headers["Set-Cookie"].partition(";")[0]
    found = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', (await ask("GET", "/")).text)
    assert found
    said = await ask("POST", "/logout", f"csrf={found[1]}", Content_Type=FORM)
    assert said.headers["Set-Cookie"].startswith(f"microlite-session={other};")
    assert (await ask("GET", "/", Cookie=first)).code == 401
    assert (await ask("GET", "/")).code == 401


async def test_a_cookie_that_a_service_at_this_host_has_set_hides_no_session(ask: Client) -> None:
    """Browsers send the one with the longer path first; a page of a service must not log anybody out by it."""
    await ask.log_in()
    forged = ".".join(f"{number:043}" for number in range(8))
    for planted in ("microlite-session=", "microlite-session=x", f"microlite-session={forged}"):
        assert (await ask("GET", "/logs", Cookie=f"{planted}; {planted}; {ask.cookie}")).code == 200


async def test_the_admins_token_logs_in(ask: Client) -> None:
    token = ask.desk.bench.platform.token
    said = await ask("POST", "/login", f"token={token}", Content_Type=FORM)
    assert said.code == 303
    ask.cookie = said.headers["Set-Cookie"].partition(";")[0]
    assert (await ask("GET", "/")).code == 200


ORIGINS = [
    pytest.param({}, 303, id="a program"),
    pytest.param({"Origin": "{own}"}, 303, id="our own page"),
    pytest.param({"Origin": "https://evil.example"}, 403, id="another site"),
    pytest.param({"Origin": "null"}, 403, id="a sandbox"),
    pytest.param({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303, id="our own page, which hides its address"),
    pytest.param({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403, id="a sandbox, by what the browser says"),
    pytest.param({"Origin": "{gateway}"}, 403, id="the gateway, on another port"),
    pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="another port, by what the browser says"),
    pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another site, by what the browser says"),
]


@pytest.mark.parametrize(("headers", "code"), ORIGINS)
async def test_only_our_own_pages_change_something(ask: Client, headers: dict[str, str], code: int) -> None:
    token = await ask.log_in()
    known = {"own": ask.desk.url, "gateway": ask.desk.gateway}
    sent = {name: value.format(**known) for name, value in headers.items()}
    assert (await ask("POST", "/logout", f"csrf={token}", Content_Type=FORM, **sent)).code == code


TOKENS = [
    pytest.param("csrf={token}", {}, 303, id="in the form"),
    pytest.param("", {"X-CSRF-Token": "{token}"}, 303, id="in the header"),
    pytest.param("", {}, 403, id="none"),
    pytest.param("csrf=", {}, 403, id="empty"),
    pytest.param("csrf=" + "0" * 64, {}, 403, id="wrong"),
    pytest.param("csrf=%C3%A9", {"X-CSRF-Token": "\xe9"}, 403, id="no token at all"),
]


@pytest.mark.parametrize(("body", "headers", "code"), TOKENS)
async def test_what_changes_something_shows_the_token_of_its_session(
    ask: Client, body: str, headers: dict[str, str], code: int
) -> None:
    token = await ask.log_in()
    sent = {name: value.format(token=token) for name, value in headers.items()}
    assert (await ask("POST", "/logout", body.format(token=token), Content_Type=FORM, **sent)).code == code


async def test_the_token_of_another_session_is_none(ask: Client) -> None:
    other = await ask.log_in()
    await ask.log_in()
    assert (await ask("POST", "/logout", f"csrf={other}", Content_Type=FORM)).code == 403


HOSTS = [
    pytest.param("localhost:{port}", 200, id="localhost"),
    pytest.param("127.0.0.1:{port}", 200, id="loopback"),
    pytest.param("[::1]:{port}", 200, id="loopback 6"),
    pytest.param("evil.example:{port}", 421, id="a foreign name"),
    pytest.param("shop.localhost:{port}", 421, id="a program's own origin"),
    pytest.param("a b", 400, id="malformed"),
]


@pytest.mark.parametrize(("host", "code"), HOSTS)
async def test_the_host_must_be_this_machine(ask: Client, host: str, code: int) -> None:
    """A site that has its own name resolved to this address reaches nothing, the log-in page included."""
    said = await ask("GET", "/login", Host=host.format(port=ask.desk.url.rpartition(":")[2]))
    assert said.code == code


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/login",
        "/nowhere",
        "/explorer",
        "/logs",
        "/static/nothing.js",
        "/docs/openapi.json",
        "/access/accounts",
        "/me",
    ],
)
@pytest.mark.parametrize("logged_in", [True, False])
async def test_every_answer_says_what_a_browser_may_do_with_it(ask: Client, path: str, logged_in: bool) -> None:
    if logged_in:
        await ask.log_in()
    headers = (await ask("GET", path)).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_only_the_docs_may_reach_the_gateway_too(ask: Client) -> None:
    await ask.log_in()
    rules = (await ask("GET", "/docs")).headers["Content-Security-Policy"]
    assert f"connect-src 'self' {ask.desk.gateway};" in rules
    assert "unsafe" not in rules


async def test_pages_are_kept_by_no_cache_and_files_for_ever(ask: Client) -> None:
    await ask.log_in()
    page = await ask("GET", "/")
    assert page.headers["Cache-Control"] == "no-store"
    style = re.search(r'href="(/static/[0-9a-f]{16}/dashboard.css)"', page.text)
    assert style
    file = await ask("GET", style[1])
    assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert file.headers["Content-Type"] == "text/css; charset=utf-8"
    again = await ask("GET", style[1], If_None_Match=file.headers["ETag"])
    assert (again.code, again.text) == (304, "")
    old = await ask("GET", style[1].replace(style[1].split("/")[2], "0" * 16))
    assert (old.code, old.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/x/vendor/htmx.LICENSE", "/static/x/", "/static/"]
)
async def test_only_listed_files_are_served(ask: Client, path: str) -> None:
    assert (await ask("GET", path)).code in (400, 401, 404)


async def test_no_page_carries_a_script_or_style_of_its_own(ask: Client) -> None:
    """The policy would not run it; nothing shall depend on what does not run."""
    await ask.log_in()
    for path in (
        *("/", "/login", "/explorer", "/logs", "/docs", "/services/runtime", "/explorer/runtime/status", "/me"),
        *("/access/accounts", "/access/tokens", "/access/rules", "/access/explain", "/access/audit", "/access/keys"),
    ):
        text = (await ask("GET", path)).text
        assert not re.search(r"<script(?![^>]*\ssrc=)(?![^>]*application/json)", text), path
        assert not re.search(r"<style|\sstyle=|\son\w+=", text), path


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(ask: Client, method: str) -> None:
    said = await ask(method, "/")
    assert (said.code, said.headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_what_does_not_exist_is_said_on_a_page(ask: Client) -> None:
    await ask.log_in()
    said = await ask("GET", "/services/nobody")
    assert said.code == 404
    assert "Service &#34;nobody&#34; not found" in said.text
    assert said.headers["Content-Type"] == "text/html; charset=utf-8"


async def test_the_gateway_sends_browsers_here(ask: Client) -> None:
    said = await ask("GET", ask.desk.gateway + "/")
    assert (said.code, said.headers["Location"]) == (307, ask.desk.url)


async def test_too_many_wrong_tokens_are_not_looked_at(desk: Desk, ask: Client) -> None:
    """After five wrong ones the right one has to wait too; the link of `microlite web` still works."""
    codes = [(await ask("POST", "/login", "token=wrong", Content_Type=FORM)).code for _ in range(6)]
    assert codes == [403] * 5 + [429]
    right = await ask("POST", "/login", f"token={desk.bench.platform.token}", Content_Type=FORM)
    assert right.code == 429
    assert 0 < int(right.headers["Retry-After"]) <= 60
    assert (await ask("GET", await desk.link())).code == 303
