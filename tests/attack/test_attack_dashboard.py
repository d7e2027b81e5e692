"""The dashboard's doors, tried from outside by whatever a page of another site, or a program, can send."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.dashboard.browsing import Desk
from tests.dashboard.test_dashboard_access import FORM, Client
from tests.gateway.authority import Authority
from tests.runtime_e2e.runtime_bench import bench_on

KINDS = (
    *(FORM, "multipart/form-data; boundary=b", "text/plain", "application/json", "application/csp-report", ""),
    *("text/plain; charset=application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=utf-7"),
)


@pytest_asyncio.fixture(loop_scope="session")
async def ask(desk: Desk) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(desk, session)


def routes(desk: Desk, method: str) -> list[str]:
    """All paths of the dashboard that answer a method, with something in the place of each parameter."""
    dashboard: Any = desk.bench.platform.dashboard
    application = dashboard._app._guard._application
    found = [route for route in application.routes if method in route.methods]
    return sorted({re.sub(r"\{[^}]*\}", "x", route.path_format) for route in found})


async def test_no_page_of_another_site_changes_anything(desk: Desk, ask: Client) -> None:
    """With the cookie, which a browser would not even send along, on every path, with every content type."""
    token = await ask.log_in()
    body = f"csrf={token}&--b\r\n\r\n"
    paths = routes(desk, "POST")
    assert len(paths) > 20
    for path in paths:
        for kind in KINDS:
            for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"}):
                said = await ask("POST", path, body, Content_Type=kind, **headers)
                assert said.code == 403, (path, kind, headers)
    assert (await ask("GET", "/")).code == 200  # and nobody was logged out


async def test_nothing_changes_without_the_token_of_the_page(desk: Desk, ask: Client) -> None:
    """Also where nothing tells the page: an old browser says neither `Origin` nor `Sec-Fetch-Site`."""
    await ask.log_in()
    for path in routes(desk, "POST"):
        if path == "/login":
            continue  # it is for whoever is not logged in
        for kind in KINDS:
            assert (await ask("POST", path, "a=b", Content_Type=kind)).code == 403, (path, kind)


async def test_nothing_is_told_without_a_session(desk: Desk, ask: Client) -> None:
    for path in routes(desk, "GET"):
        if not path.startswith("/login"):
            for cookie in ("", "microlite-session=" + "x" * 43, "__Host-microlite-session=" + "x" * 43):
                said = await ask("GET", path, Cookie=cookie)
                assert said.code == 401, path
                assert "csrf-token" not in said.text


@pytest.mark.parametrize(
    "headers",
    [
        *(["Host: localhost", "Host: evil.example"], ["Host: evil.example", "Host: localhost"]),
        *(["Host: localhost", "Origin: https://evil.example", "Origin: http://localhost"],),
        *(["Host: localhost", "Cookie: a=1", "Cookie: b=2"], ["Host: localhost", "Host: localhost"]),
    ],
)
async def test_what_is_said_twice_is_refused(headers: list[str], desk: Desk) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(desk.url.rpartition(":")[2]))
    writer.write("\r\n".join(["GET /login HTTP/1.1", *headers, "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), head
    assert b"content-security-policy: default-src 'none'" in head
    writer.close()


@pytest.mark.parametrize(
    "path",
    [
        *(
            "//evil.example",
            "/\\evil.example",
            "/%2f%2fevil.example",
            "/login?next=https://evil.example",
            "/%0d%0aX: y",
        ),
        *("/login/https://evil.example", "/login/..%2f..%2fevil", "/static/../../admin.token", "/static/%2e%2e/x"),
        *("/static//etc/passwd", "/services/..%2f..%2fevil", "/logs?service=//evil.example", "/explorer/..;/x"),
    ],
)
async def test_nobody_is_sent_elsewhere(path: str, ask: Client) -> None:
    """No path makes the dashboard redirect to another site, or hand out a file that is not its own."""
    await ask.log_in()
    for method in ("GET", "POST"):
        said = await ask(method, path)
        assert "evil" not in said.headers.get("Location", "")
        assert said.headers["X-Frame-Options"] == "DENY"
        assert "root:" not in said.text
        assert said.code < 500


@pytest_asyncio.fixture(loop_scope="session")
async def tls_desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Desk, Authority]]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    certificate, key = authority.issue("localhost", "shop.example.org")
    folder = Path(tempfile.mkdtemp(prefix="ml-"))
    try:
        options: dict[str, Any] = {"dashboard": True, "tls_cert": certificate, "tls_key": key}
        async with bench_on(folder / "home", folder / "services", **options) as bench:
            assert bench.platform.dashboard is not None
            await bench.platform.dashboard.started.wait()
            yield Desk(bench), authority
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_over_tls_everything_is_of_tls(tls_desk: tuple[Desk, Authority]) -> None:
    """URLs, links and the cookie, which no server at the same host name gets that speaks plain HTTP."""
    desk, authority = tls_desk
    assert desk.url.startswith("https://localhost:")
    assert desk.gateway.startswith("https://localhost:")
    facts = (desk.bench.home / "server.json").read_text()
    assert f'"gateway": "{desk.gateway}"' in facts
    assert f'"dashboard": "{desk.url}"' in facts
    connector = aiohttp.TCPConnector(ssl=authority.client())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=connector) as session:
        ask = Client(desk, session)
        link = await desk.link()
        assert link.startswith(f"{desk.url}/login/")
        said = await ask("GET", link)
        cookie = said.headers["Set-Cookie"]
        assert cookie.startswith("__Host-microlite-session=")
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie
        ask.cookie = cookie.partition(";")[0]
        page = await ask("GET", "/")
        assert page.code == 200
        token = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', page.text)
        assert token
        # A page that came without TLS is another's, and so is a cookie that could have been set without.
        port = desk.url.rpartition(":")[2]
        body = f"csrf={token[1]}"
        assert (await ask("POST", "/logout", body, Content_Type=FORM, Origin=f"http://localhost:{port}")).code == 403
        assert (await ask("GET", "/", Cookie=ask.cookie.removeprefix("__Host-"))).code == 401
        assert (await ask("GET", "/", Host="shop.example.org")).code == 200
        assert (await ask("POST", "/logout", body, Content_Type=FORM, Origin=desk.url)).code == 303
        assert (await ask("GET", "/")).code == 401


async def test_a_proxy_that_does_tls_gets_the_strict_cookie(ask: Client) -> None:
    said = await ask("GET", await ask.desk.link(), X_Forwarded_Proto="https")
    assert said.headers["Set-Cookie"].startswith("__Host-microlite-session=")
    cookie = said.headers["Set-Cookie"].partition(";")[0]
    assert (await ask("GET", "/", Cookie=cookie, X_Forwarded_Proto="https")).code == 200
    assert (await ask("GET", "/", Cookie=cookie)).code == 401
