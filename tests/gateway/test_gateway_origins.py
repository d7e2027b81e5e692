"""Pages of other origins: what their browsers are told, what they may read, and what they may not send."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.origins import Origins
from tests.gateway.gateway_bench import TOKEN, Start, Wire, describe

PAGE = "https://page.example"
EXPOSED = "allow, content-range, etag, idempotent-replayed, retry-after, traceparent, www-authenticate"
FORM_TYPES = [
    ("application/x-www-form-urlencoded", b"name=x"),
    ("multipart/form-data; boundary=X", b'--X\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--X--\r\n'),
]


@pytest.mark.parametrize("origins", [("*",), (PAGE,), ("https://other.example",), ()], ids=str)
@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/echo", {}, 200),
        ("POST", "/echo", {"Content-Type": "application/json"}, 200),
        ("HEAD", "/echo", {}, 200),
        ("GET", "/echo", {"If-None-Match": "*"}, 304),
        ("GET", "/echo/nothing", {}, 204),
        ("GET", "/echo/count", {}, 200),
        ("GET", "/echo/count", {"Accept": "text/event-stream"}, 200),
        ("GET", "/nobody", {}, 404),
        ("PUT", "/echo/items/7", {}, 405),
        ("POST", "/store/write", {"Content-Type": "application/json"}, 401),
        ("POST", "/store/write", {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}, 200),
        ("GET", "/healthz", {}, 200),
        ("GET", "/", {}, 200),
        ("GET", "/metrics", {}, 401),
        ("GET", "/echo//", {}, 400),
    ],
)
async def test_who_may_read(
    origins: tuple[str, ...], method: str, path: str, headers: dict[str, str], status: int, start: Start, way: str
) -> None:
    """Every answer of the gateway says so, errors and streams included; credentials are never allowed."""
    bench = await start(fast=way == "fast", cors_origins=origins)
    wire = await bench.connect()
    body = b"{}" if method == "POST" else None
    answer = await wire.request(method, path, body, {**headers, "Origin": PAGE})
    assert answer.status == status
    may = origins in (("*",), (PAGE,))
    assert answer.headers.get("access-control-allow-origin") == (PAGE if may else None)
    assert answer.headers.get("access-control-expose-headers") == (EXPOSED if may else None)
    assert "Origin" in answer.headers["vary"].split(", ")
    assert "access-control-allow-credentials" not in answer.headers
    silent = await wire.request(method, path, body, headers)
    assert "access-control-allow-origin" not in silent.headers


@pytest.mark.parametrize(
    ("path", "wanted", "allow"),
    [
        ("/echo", "POST", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("/echo", "DELETE", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("/echo/count", "GET", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("/echo/sum", "GET", "POST, PUT, PATCH, DELETE, OPTIONS"),
        ("/echo/items/7", "GET", "GET, HEAD, OPTIONS"),
        ("/echo/items/7", "PUT", "GET, HEAD, OPTIONS"),
        ("/store/write", "POST", "POST, PUT, PATCH, DELETE, OPTIONS"),
        ("/healthz", "GET", "GET, HEAD, OPTIONS"),
        ("/nobody", "POST", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    ],
)
@pytest.mark.parametrize("headers", ["", "authorization,content-type,x-own"])
async def test_a_browser_asks_first(path: str, wanted: str, allow: str, headers: str, wire: Wire) -> None:
    """Where nothing is found it hears yes, so that the page can read the error."""
    asked = {"Origin": PAGE, "Access-Control-Request-Method": wanted, "Access-Control-Request-Headers": headers}
    answer = await wire.request("OPTIONS", path, headers={key: value for key, value in asked.items() if value})
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == allow
    assert answer.headers.get("access-control-allow-headers", "") == headers
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_foreign_origin_hears_nothing(start: Start) -> None:
    bench = await start(cors_origins=("https://other.example",))
    wire = await bench.connect()
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    answer = await wire.request("OPTIONS", "/echo", headers=asked)
    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    plain = await wire.request("OPTIONS", "/nobody")
    assert plain.status == 404


@pytest.mark.parametrize(("origins", "granted"), [((PAGE,), True), (("*",), False), (("*", PAGE), True)])
async def test_a_private_network_is_for_listed_origins(origins: tuple[str, ...], granted: bool, start: Start) -> None:
    bench = await start(cors_origins=origins)
    wire = await bench.connect()
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = await wire.request("OPTIONS", "/echo", headers=asked)
    assert ("access-control-allow-private-network" in answer.headers) is granted


# -- what no browser asks about ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [*FORM_TYPES, ("text/plain", b"{}"), ("", b"{}"), ("", None)],
    ids=["urlencoded", "multipart", "text", "no type", "no body"],
)
@pytest.mark.parametrize(
    ("origin", "known"),
    [
        (None, True),
        ("http://localhost:8080", True),
        ("HTTP://LOCALHOST:8080", True),
        ("https://localhost:8080", True),
        ("https://listed.example", True),
        ("https://evil.example", False),
        ("http://localhost:8082", False),
        ("http://localhost", False),
        ("http://docs.localhost:8080", False),
        ("ftp://localhost:8080", False),
        ("null", False),
        ("", False),
    ],
    ids=str,
)
async def test_no_page_sends_a_form_unasked(
    kind: str, body: bytes | None, origin: str | None, known: bool, start: Start, way: str
) -> None:
    """`*` among the origins is for readers and does not count here."""
    bench = await start(fast=way == "fast", cors_origins=("*", "https://listed.example"))
    wire = await bench.connect()
    headers = {"Host": "localhost:8080"}
    if body is not None:
        headers["Content-Type"] = kind
    if origin is not None:
        headers["Origin"] = origin
    answer = await wire.request("POST", "/echo", body, headers)
    understood = body is None or (kind, body) in FORM_TYPES
    assert answer.status == ((200 if understood else 415) if known else 403)
    if not known:
        assert "send application/json" in answer.json()["detail"]
        assert (f"--cors-origin {origin}," in answer.json()["detail"]) is ("://" in (origin or ""))
        assert bench.services.calls == []


@pytest.mark.parametrize("path", ["/echo/sum", "/echo/chat", "/echo/count", "/store/write"])
async def test_that_holds_for_streams_and_built_in_endpoints(path: str, wire: Wire) -> None:
    kind, body = FORM_TYPES[1]
    answer = await wire.request("POST", path, body, {"Content-Type": kind, "Origin": "null"})
    assert answer.status == 403


async def test_what_was_asked_about_passes(wire: Wire) -> None:
    """Other content types and methods go past a browser's question, so its answer decides."""
    headers = {"Origin": "https://evil.example"}
    assert (await wire.request("POST", "/echo", b"{}", headers)).status == 200
    assert (await wire.request("DELETE", "/echo", headers=headers)).status == 200
    assert (await wire.request("GET", "/echo", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://api.example.org", "api.example.org", True),
        ("https://api.example.org", "api.example.org:443", True),
        ("http://api.example.org:80", "api.example.org", True),
        ("https://api.example.org:8443", "api.example.org", False),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("https://listed.example", "localhost", True),
        ("https://listed.example:444", "localhost", False),
        ("https://listed.example.evil", "localhost", False),
        ("null", "", False),
        ("http://", "", False),
    ],
)
def test_which_origin_is_trusted(origin: str, host: str, own: bool) -> None:
    assert Origins(GatewayOptions(cors_origins=("https://listed.example/",))).is_trusted(origin, host) is own


async def test_programs_speak_for_themselves(start: Start) -> None:
    """Their forms, their preflights and their answers are theirs; the gateway adds nothing."""

    async def program(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n")[0].decode()
        body = msgspec.json.encode(line.rpartition(" ")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(program, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    class Lease:
        base_url = f"http://127.0.0.1:{port}"

        def release(self) -> None:
            """Nothing is held."""

    class Programs:
        async def acquire(self, namespace: str, name: str) -> Lease:
            return Lease()

    bench = await start(programs=Programs(), descriptions=[describe("docs", metadata={"protocol": "http"})])
    wire = await bench.connect()
    for host, path in (("localhost", "/docs/form"), ("docs.localhost", "/form")):
        headers = {"Host": host, "Origin": PAGE, "Accept-Encoding": "gzip"}
        form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await wire.request("POST", path, b"a=1", form)
        assert (answer.status, answer.json()) == (200, "POST /form")
        asked = {**headers, "Access-Control-Request-Method": "POST"}
        preflight = await wire.request("OPTIONS", path, headers=asked)
        assert preflight.json() == "OPTIONS /form"
        for one in (answer, preflight):
            assert not [name for name in one.headers if name.startswith("access-control-")]
            assert "etag" not in one.headers
    server.close()
