"""HTTP programs behind the gateway: below a path, and at an origin of their own."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from microlite.core import errors
from tests.gateway.gateway_bench import TOKEN, Bench, Start, Wire, describe

ORIGIN = {"Host": "site.localhost:8080"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Address:
    """A lease that counts."""

    def __init__(self, programs: Programs, base_url: str) -> None:
        self.base_url = base_url
        self._programs = programs
        programs.leased += 1

    def begin_stream(self) -> None:
        self._programs.streams += 1

    def release(self) -> None:
        self._programs.leased -= 1


class Programs:
    """Finds the one program of a test."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        """Addresses for the next requests; the last one stays."""
        self.leased = 0
        self.streams = 0
        self.asked: list[tuple[str, str]] = []

    async def acquire(self, namespace: str, name: str) -> Address:
        self.asked.append((namespace, name))
        if not self.urls:
            raise errors.ServiceUnavailable(f'no program "{name}" is up')
        return Address(self, self.urls.pop(0) if len(self.urls) > 1 else self.urls[0])


class Site:
    """A program: answers with what the test sets, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.handler: Handler | None = None
        self.canceled = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.handler is not None:
            try:
                return await self.handler(request)
            except asyncio.CancelledError:
                self.canceled.set()
                raise
        self.bodies.append(await request.read())
        return web.Response(text=request.raw_path, content_type="text/plain")


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
async def site(programs: Programs) -> AsyncIterator[Site]:
    site = Site()
    handle: Any = site.handle
    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True))
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    programs.urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield site
    await runner.cleanup()


@pytest.fixture
async def bench(start: Start, programs: Programs) -> AsyncIterator[Bench]:
    bench = await start(
        programs=programs,
        descriptions=[describe("site", metadata={"protocol": "http"})],
        program_timeout=0.3,
        body_timeout=0.3,
    )
    yield bench
    await bench.close()
    assert programs.leased == 0


@pytest.fixture
async def wire(bench: Bench) -> Wire:
    return await bench.connect()


@pytest.mark.parametrize(
    ("path", "headers", "arrives"),
    [
        ("/site/", {}, "/"),
        ("/site/a/b?c=d%20e", {}, "/a/b?c=d%20e"),
        ("/api/site/a", {}, "/a"),
        ("/v1/site/a", {}, "/a"),
        ("/Site/%C3%A9", {}, "/%C3%A9"),
        ("/", ORIGIN, "/"),
        ("/a//b/..%2fc?x", ORIGIN, "/a//b/..%2fc?x"),
        ("/healthz", ORIGIN, "/healthz"),
        ("/", {"Host": "SITE.localhost"}, "/"),
    ],
)
async def test_a_request_arrives(path: str, headers: dict[str, str], arrives: str, site: Site, wire: Wire) -> None:
    """Without the program's name at its beginning, and otherwise as it is."""
    answer = await wire.request("GET", path, headers=headers)
    assert (answer.status, answer.body) == (200, arrives.encode())
    assert (await wire.request("GET", path, headers=headers)).status == 200


async def test_the_name_alone_leads_to_its_folder(site: Site, wire: Wire) -> None:
    answer = await wire.request("GET", "/site?x=1")
    assert (answer.status, answer.headers["location"]) == (308, "/site/?x=1")
    assert (await wire.request("POST", "/site", b"{}")).body == b"/"


async def test_it_learns_where_it_is(site: Site, wire: Wire) -> None:
    await wire.request("GET", "/site/a", headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Prefix": "/evil"})
    headers = site.requests[0].headers
    assert headers["Host"] == headers["X-Forwarded-Host"] == "localhost"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers.getall("X-Forwarded-Prefix") == ["/site"]
    assert headers["traceparent"].startswith("00-")
    await wire.request("GET", "/a", headers=ORIGIN)
    assert "X-Forwarded-Prefix" not in site.requests[1].headers
    assert site.requests[1].headers["Host"] == "site.localhost:8080"


async def test_a_trusted_proxy_is_believed(start: Start, programs: Programs, site: Site) -> None:
    bench = await start(
        programs=programs,
        descriptions=[describe("site", metadata={"protocol": "http"})],
        trusted_proxies=("127.0.0.1",),
    )
    wire = await bench.connect()
    await wire.request("GET", "/site/", headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"})
    assert site.requests[0].headers["X-Forwarded-For"] == "1.2.3.4, 127.0.0.1"
    assert site.requests[0].headers.getall("X-Forwarded-Proto") == ["https"]


async def test_what_it_must_not_see(site: Site, wire: Wire) -> None:
    """Neither the platform's credentials nor what concerns the connection; the user's own pass."""
    await wire.request(
        "GET",
        "/site/",
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Cookie": "a=1; microlite-session=secret; __Host-microlite-session=secret; b=2",
            "Connection": "X-Mine",
            "X-Mine": "1",
            "TE": "trailers",
            "X-Kept": "1",
        },
    )
    headers = site.requests[0].headers
    assert "Authorization" not in headers
    assert headers["Cookie"] == "a=1; b=2"
    assert {"X-Mine", "TE"}.isdisjoint(headers)
    assert headers["X-Kept"] == "1"
    assert {"User-Agent", "Accept", "Accept-Encoding"}.isdisjoint(headers)
    await wire.request(
        "GET", "/site/", headers={"Authorization": "Bearer theirs", "Cookie": "microlite-session=secret"}
    )
    assert site.requests[1].headers["Authorization"] == "Bearer theirs"
    assert "Cookie" not in site.requests[1].headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "OPTIONS"])
async def test_bodies_and_methods_pass(method: str, site: Site, wire: Wire) -> None:
    body = b"x" * 300_000
    answer = await wire.request(method, "/site/a", body, {"Content-Type": "text/odd"})
    assert (answer.status, answer.body) == (200, b"/a")
    assert (site.requests[0].method, site.bodies[0]) == (method, body)
    assert site.requests[0].headers["Content-Type"] == "text/odd"
    assert site.requests[0].headers["Content-Length"] == "300000"


async def test_chunked_bodies_pass(site: Site, wire: Wire) -> None:
    wire.send("POST /site/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    wire.send("3\r\ndef\r\n0\r\n\r\n")
    assert (await wire.answer()).status == 200
    assert site.bodies == [b"abcdef"]


async def test_a_body_larger_than_a_calls_passes(start: Start, programs: Programs, site: Site) -> None:
    """It is not held here, so its size is the program's business."""
    bench = await start(
        programs=programs, descriptions=[describe("site", metadata={"protocol": "http"})], max_body=1000
    )
    wire = await bench.connect()
    assert (await wire.request("POST", "/site/a", b"x" * 200_000)).status == 200


async def test_expect_continue_passes(site: Site, wire: Wire) -> None:
    wire.send("POST /site/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (await wire.head()).status == 100
    wire.send("abc")
    assert (await wire.answer()).status == 200
    assert site.bodies == [b"abc"]


async def test_an_answer_passes_as_it_is(site: Site, wire: Wire) -> None:
    """Compressed bytes, odd status and repeated headers included; the dashboard's cookie is not the program's to set."""
    body = gzip.compress(b"hello")

    async def handler(request: web.Request) -> web.Response:
        answer = web.Response(status=418, body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"})
        answer.headers.add("Set-Cookie", "a=1")
        for forged in (
            "microlite-session=forged; Path=/",
            "=microlite-session=forged",
            " = microlite-session = forged",
        ):
            answer.headers.add("Set-Cookie", forged)
        answer.headers.add("Set-Cookie", "b=2")
        return answer

    site.handler = handler
    answer = await wire.request("GET", "/site/")
    assert (answer.status, answer.body) == (418, body)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["set-cookie"] == "a=1, b=2"
    assert answer.headers["traceparent"].startswith("00-")
    assert "content-security-policy" not in answer.headers


async def test_head_passes(site: Site, wire: Wire) -> None:
    answer = await wire.request("HEAD", "/site/abc")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "4", b"")
    assert (await wire.request("GET", "/site/")).status == 200


async def test_no_content_passes(site: Site, wire: Wire) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=204)

    site.handler = handler
    assert (await wire.request("DELETE", "/site/a")).status == 204
    assert (await wire.request("DELETE", "/site/a")).status == 204


@pytest.mark.parametrize(
    "kind",
    [
        *("text/html; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "application/rss+xml", "text/xsl"),
        *("text/plain, text/html", "text/html,x", "*/*", "unknown/unknown", "text", "multipart/x-mixed-replace"),
    ],
)
async def test_pages_below_a_path_are_in_a_sandbox(kind: str, site: Site, wire: Wire) -> None:
    """They share the origin of the API, and must not be able to use that. At their own origin they need no sandbox."""

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": "default-src 'self'", "Content-Type": kind}
        return web.Response(body=b"<p>", headers=headers)

    site.handler = handler
    policy = (await wire.request("GET", "/site/")).headers["content-security-policy"]
    assert policy.startswith("default-src 'self', sandbox ")
    assert "allow-same-origin" not in policy
    own = await wire.request("GET", "/", headers=ORIGIN)
    assert own.headers["content-security-policy"] == "default-src 'self'"


async def test_a_page_that_says_twice_what_it_is_is_in_a_sandbox(site: Site, wire: Wire) -> None:
    """The gateway cannot know which of the two a browser goes by."""

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.Response(body=b"<p>", headers={"Content-Type": "text/html"})
        answer.headers.add("Content-Type", "text/plain")
        return answer

    site.handler = handler
    assert (await wire.request("GET", "/site/")).headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("location", "arrives"),
    [
        ("/login", "/site/login"),
        ("/site/login", "/site/login"),
        ("login", "login"),
        ("//other.example/x", "//other.example/x"),
        ("https://other.example/x", "https://other.example/x"),
        ("{base}/login?x=1", "/site/login?x=1"),
        ("http://localhost/login", "/site/login"),
        ("http://localhost/site/login", "/site/login"),
        ("http://localhost:1/login", "http://localhost:1/login"),
    ],
)
async def test_redirections_stay_below_the_path(
    location: str, arrives: str, site: Site, programs: Programs, wire: Wire
) -> None:
    """They are passed on, not followed; the program's own address, which nobody else knows, is left out anywhere."""
    target = location.replace("{base}", programs.urls[0])

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    site.handler = handler
    answer = await wire.request("GET", "/site/")
    assert (answer.status, answer.headers["location"]) == (302, arrives)
    own = (await wire.request("GET", "/", headers=ORIGIN)).headers["location"]
    assert own == target.replace(programs.urls[0], "")


@pytest.mark.parametrize(
    ("cookie", "arrives"),
    [
        ("a=1; Path=/; HttpOnly", "a=1; Path=/site/; HttpOnly"),
        ("a=1; path=/x", "a=1; path=/site/x"),
        ("a=1; Path=/site/x", "a=1; Path=/site/x"),
        ("a=1; Secure", "a=1; Secure"),
        ("a=/; Path=", "a=/; Path="),
        ("__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"),
    ],
)
async def test_cookies_stay_below_the_path(cookie: str, arrives: str, site: Site, wire: Wire) -> None:
    """No other program gets them; at its own origin a program sets them as it likes."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": cookie})

    site.handler = handler
    assert (await wire.request("GET", "/site/")).headers["set-cookie"] == arrives
    assert (await wire.request("GET", "/", headers=ORIGIN)).headers["set-cookie"] == cookie


async def test_a_cookie_without_a_path_stays_below_the_path_too(site: Site, wire: Wire) -> None:
    """In answer to the prefix itself it would count for the whole origin."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": "a=1; Path="})

    site.handler = handler
    assert (await wire.request("POST", "/site")).headers["set-cookie"] == "a=1; Path=; Path=/site"


async def test_an_answer_streams(site: Site, wire: Wire) -> None:
    """Each piece comes as soon as the program sends it."""
    go_on = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"one")
        await go_on.wait()
        await answer.write(b"two")
        return answer

    site.handler = handler
    wire.send("GET /site/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await wire.head()).headers["content-type"] == "text/event-stream"
    assert await wire.chunk() == b"one"
    go_on.set()
    assert await wire.chunk() == b"two"
    assert await wire.chunk() == b""


async def test_a_request_streams(site: Site, wire: Wire) -> None:
    """The program reads the body while the client is still writing it, and may answer meanwhile."""
    first = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        async for piece in request.content.iter_any():
            await answer.write(piece.upper())
            first.set()
        return answer

    site.handler = handler
    wire.send("POST /site/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await first.wait()
    assert (await wire.head()).status == 200
    assert await wire.chunk() == b"ABC"
    wire.send("3\r\ndef\r\n0\r\n\r\n")
    assert await wire.chunk() == b"DEF"
    assert await wire.chunk() == b""


async def test_a_client_that_goes_away_ends_the_request(site: Site, bench: Bench, wire: Wire) -> None:
    reached = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    site.handler = handler
    wire.send("GET /site/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reached.wait()
    await wire.close()
    await site.canceled.wait()
    await bench.idle()


async def test_a_program_that_is_too_slow(site: Site, wire: Wire) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    site.handler = handler
    answer = await wire.request("GET", "/site/")
    assert (answer.status, answer.json()["status"]) == (504, "Gateway Timeout")
    assert (await wire.request("POST", "/site/", b"x")).status == 504
    await site.canceled.wait()


async def test_a_client_that_is_too_slow(site: Site, wire: Wire) -> None:
    """Its fault is not the program's."""
    wire.send("POST /site/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
    assert (await wire.answer()).status == 408
    assert await wire.closed()


async def test_no_program_is_up(wire: Wire) -> None:
    answer = await wire.request("GET", "/site/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert set(answer.json()) == {"id", "code", "detail", "status"}


async def test_a_refused_connection_is_tried_again_where_the_program_then_is(
    site: Site, programs: Programs, wire: Wire
) -> None:
    """Nothing of the request was sent, so this loses nothing while a program is replaced."""
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    nowhere = f"http://127.0.0.1:{closed.sockets[0].getsockname()[1]}"
    closed.close()
    await closed.wait_closed()
    programs.urls = [nowhere, nowhere, *programs.urls]
    answer = await wire.request("POST", "/site/a", b"x" * 100_000)
    assert answer.status == 200
    assert len(site.bodies[0]) == 100_000
    programs.urls = [nowhere]
    answer = await wire.request("GET", "/site/")
    assert (answer.status, answer.json()["status"]) == (502, "Bad Gateway")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"])
async def test_a_program_that_breaks_off(
    method: str, reply: bytes, programs: Programs, bench: Bench, wire: Wire
) -> None:
    """Before the head of its answer that is 502, after it the connection breaks; it is not asked a second time."""
    served: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    programs.urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    body = b"x" if method == "POST" else None
    if reply.endswith(b"abc"):
        with pytest.raises(asyncio.IncompleteReadError):
            await wire.request(method, "/site/", body)
    else:
        answer = await wire.request(method, "/site/", body)
        assert (answer.status, answer.json()["status"]) == (502, "Bad Gateway")
    assert len(served) == 1
    server.close()
    await server.wait_closed()
