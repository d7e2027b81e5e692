"""However a path is written, it leads to the endpoint whose rule is looked at, or nowhere.

`store` is built in here and wants the admin's token; `echo` is anybody's.
"""

from __future__ import annotations

import itertools
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.description import naming
from microlite.core.description.claims import check_claims
from microlite.core.description.structs import EndpointDescription
from microlite.web.gateway.table import BUILT_IN, PathTable
from tests.gateway.gateway_bench import ECHO, STORE, Bench, Start, Wire, describe

CLOSED = (
    *("/store/read", "/store/read/", "/store.read", "/store/store.read", "/store/Store.Read", "/Store/Read"),
    *("/STORE/READ", "/sToRe/rEaD", "/api/store/read", "/API/store/read", "/Api/Store.Read", "/v1/store/read"),
    *("/v2/store/read", "/V9/Store/Read", "/api/v1/store/read", "/v1.store.read", "/v1/store.read", "/store/read_"),
    *("/store/_read", "//store/read", "/store//read", "///store/read", "/store/./read", "/./store/read"),
    *("/echo/../store/read", "/echo/..;/store/read", "/echo/%2e%2e/store/read", "/echo/%2E%2E/store/read"),
    *("/echo/.%2e/store/read", "/echo/%252e%252e/store/read", "/echo%2f..%2fstore/read", "/store%2fread"),
    *("/store%2Fread", "/store%252fread", "/store\\read", "/store%5cread", "/store/read%00", "/store%00/read"),
    *("/store/read;", "/store;/read", "/store;a=b/read", "/;/store/read", "/store/read;jsessionid=1"),
    *("/store/read?", "/store/read?x=/echo", "/store/read#", "/store/read#/echo", "/%73tore/read", "/%53TORE/read"),
    *("/store/%72ead", "/store%2eread", "/store/read%2f", "/store/read%20", "/store /read", "/store%09/read"),
    *("/store/read/echo", "/store/read.echo", "/echo/store/read", "/echo.store.read", "/api/api/store/read"),
    *("/%61pi/store/read", "/api//store/read", "/api/../store/read", "/v1/v1/store/read", "/store/v1/read"),
    *("/%E2%84%AAtore/read", "/store/re%CC%80ad", "/%EF%BD%93tore/read", "/\uff53tore/read", "/ſtore/read"),
    *("/%C5%BFtore/read", "/store%E2%80%8B/read", "/%E2%80%AEstore/read", "/store\u2215read", "/store\uff0fread"),
    *("/%c0%afstore/read", "/%c0%ae%c0%ae/store/read", "/st%c3%b6re/read", "/%ff%fe/store/read", "/store/%e9"),
    *("/store/read" + "/" * 50, "/" + "a/" * 2000 + "store/read", "/store/" + "read" * 1000, "/" + "." * 3000),
    *("/.store/read", "/store./read", "/store/.read", "/store/read.", "/-store/read", "/store-/read", "/s_tore/read"),
    *("http://localhost/store/read", "http://localhost//store/read", "http://localhost/echo/../store/read"),
)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT", "HEAD", "OPTIONS"])
async def test_no_way_of_writing_a_path_opens_what_is_closed(method: str, bench: Bench, wire: Wire) -> None:
    """Each is refused for want of a token, or as no path at all."""
    for path in CLOSED:
        wire = await bench.connect()
        wire.send(f"{method} ".encode() + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await wire.answer(method)
        allowed = (204, *range(400, 500)) if method == "OPTIONS" else range(400, 500)
        assert answer.status in allowed, (path, answer)
        assert all(call.service != "store" for call in bench.services.calls), path
        await wire.close()


@pytest.mark.parametrize(
    "headers",
    [
        *({"X-Original-URL": "/store/read"}, {"X-Rewrite-URL": "/store/read"}, {"X-Forwarded-Prefix": "/store"}),
        *({"X-HTTP-Method-Override": "PUT"}, {"Forwarded": "for=127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}),
        *({"X-Forwarded-Host": "admin.localhost"}, {"Microlite-Account": "admin"}, {"X-User": "admin"}),
        *({"Micro-Endpoint": "store.read"}, {"Micro-Service": "store"}, {"Micro-From-Service": "auth"}),
    ],
)
async def test_no_header_changes_where_a_path_leads_or_who_asks(
    headers: dict[str, str], bench: Bench, wire: Wire
) -> None:
    answer = await wire.request("POST", "/echo/meta", b"{}", headers)
    assert answer.json()["account"] is None
    assert [(call.service, call.endpoint) for call in bench.services.calls] == [("echo", "meta")]


@pytest.mark.parametrize("token", ["", "Bearer the-admin-token"])
@pytest.mark.parametrize(
    "name", ["other", "Default ", "default,other", "../default", "other\tdefault", "microlite.platform"]
)
async def test_a_namespace_by_header_is_that_of_the_token(token: str, name: str, bench: Bench, wire: Wire) -> None:
    """Who is nobody here cannot be somebody there: only an admin of all asks in another namespace."""
    headers = {"Micro-Namespace": name, **({"Authorization": token} if token else {})}
    answer = await wire.request("POST", "/echo", b"{}", headers)
    assert answer.status in (400, 403, 404)
    assert bench.services.calls == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Basic", "Token", "Bearer,", "", "Bearer Bearer"])
@pytest.mark.parametrize("token", ["the-admin-token", "the-admin-token ", "the-admin-toke", "The-Admin-Token", "", "*"])
async def test_only_the_token_itself_is_the_token(scheme: str, token: str, bench: Bench, wire: Wire) -> None:
    answer = await wire.request("POST", "/store/read", b"{}", {"Authorization": f"{scheme} {token}"})
    right = scheme.lower() == "bearer" and token.strip() == "the-admin-token"
    assert answer.status == (200 if right else 401)


@pytest.mark.parametrize(
    "place", ["?token=the-admin-token", "?access_token=the-admin-token", "?authorization=Bearer+the-admin-token"]
)
async def test_a_token_in_a_url_or_a_cookie_is_none(place: str, wire: Wire) -> None:
    """There it would be in logs and histories, or be sent by whichever page the browser shows."""
    assert (await wire.request("POST", f"/store/read{place}", b"{}")).status == 401
    cookies = {
        "Cookie": "Authorization=Bearer the-admin-token; token=the-admin-token; microlite-session=the-admin-token"
    }
    assert (await wire.request("POST", "/store/read", b"{}", cookies)).status == 401


HOSTS = (
    *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8080", "127.0.0.1.nip.io"),
    *("localhost.", "LOCALHOST", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::ffff:127.0.0.1]"),
    *("[::1].evil.example", "evil.example#localhost", "evil.example?localhost", "localhost evil.example"),
    *("evil.example\t", "xn--localhost-0ra", "localhost%00.evil.example", "localhost:99999999", "localhost:80:80"),
    *("..localhost", "-", "_", "evil_example", "user@localhost", "192.0.2.1", "169.254.169.254"),
)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/echo", "/store/read", "/healthz", "/openapi.json", "/", "/nothing"])
async def test_a_name_that_was_rebound_to_this_machine_is_refused(
    host: str, path: str, bench: Bench, wire: Wire
) -> None:
    """A page whose own name resolves to 127.0.0.1 sends that name."""
    wire.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
    answer = await wire.answer()
    if host.lower().rstrip(".") == "localhost":
        assert answer.status != 421
    else:
        assert answer.status in (400, 404, 421), answer
        assert "access-control-allow-origin" not in answer.headers
        assert bench.services.calls == []


@pytest.mark.parametrize("name", [*sorted(naming.BUILT_IN_SERVICES), *sorted(naming.PLATFORM_PATHS - {"openapi.json"})])
def test_no_service_takes_a_name_of_the_platform(name: str) -> None:
    """Nor one that is written otherwise and means the same."""
    written = (
        name,
        name.upper(),
        name.title(),
        name.replace("-", "_"),
        f"{name}_",
        f"v1.{name}",
        f" {name}",
        f"{name}\u200b",
    )
    for form in (*written, name.replace("k", "\u212a"), name.replace("s", "\u017f")):
        if form == f"{name}_" or naming.normalise(form) != name:
            with pytest.raises(errors.BadRequest):
                naming.check_service_name(form)
            continue
        with pytest.raises(errors.BadRequest):
            naming.check_service_name(form)


@given(st.text(max_size=12))
def test_names_that_are_not_ascii_are_nobodys(text: str) -> None:
    """No text that is not ASCII is taken for a name that is."""
    if not text.isascii():
        assert not naming.normalise(text).isascii()
        assert not naming.normalise_endpoint(text).isascii()


def _table() -> PathTable:
    table = PathTable()
    table.update("default", ECHO)
    table.update(BUILT_IN, STORE)
    return table


_TABLE = _table()
_PIECES = st.sampled_from(
    [
        *("store", "read", "echo", "api", "v1", "Store", "Read", "call", "meta"),
        *(".", "..", ";", "/", "//", "%2f", "%2e", "\\"),
    ]
)


@given(st.lists(_PIECES, max_size=8), st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]))
def test_where_a_path_leads_its_rule_is_looked_at(pieces: list[str], method: str) -> None:
    """Whatever path leads to an endpoint of `store` says that it does, by name and as built in."""
    try:
        target = _TABLE.resolve(method, "/".join(["", *pieces]).encode())
    except errors.Error:
        return
    assert target.is_builtin is (target.service == "store")
    assert target.endpoint is not None


@given(st.text(max_size=30))
def test_what_is_quoted_leads_where_the_plain_path_does(text: str) -> None:
    """An escape more or less changes nothing but whether it is a path."""
    ways = set()
    for path in (f"/store/{text}", f"/store/{quote(text, safe='/')}"):
        try:
            target = _TABLE.resolve("POST", path.encode())
            ways.add((target.service, target.endpoint.name if target.endpoint else ""))
        except (errors.Error, UnicodeEncodeError):
            pass
    assert len(ways) <= 1


def test_a_route_of_a_user_stands_in_for_no_built_in_endpoint() -> None:
    """Whatever a description claims that came by without being checked."""
    table = _table()
    thief = describe(
        "thief",
        EndpointDescription(name="a", route="POST /store/read"),
        EndpointDescription(name="b", route="GET /store/{x}"),
        EndpointDescription(name="c", route="POST /echo/call"),
    )
    table.update("default", thief)
    for method, path in itertools.product(("GET", "POST"), (b"/store/read", b"/api/store/read", b"/store/write")):
        try:
            target = table.resolve(method, path)
        except errors.Error:
            continue
        assert target.service == "store", (method, path, target.service)
    with pytest.raises(errors.BadRequest, match="lies outside /thief"):
        check_claims(thief)
    assert table.resolve("POST", b"/echo/call").service == "echo"


async def test_programs_see_a_path_as_it_was_written(start: Start) -> None:
    """The gateway neither cleans nor decodes what it passes on, and passes on only what it understands in one way."""
    bench = await start(descriptions=[describe("site", metadata={"protocol": "http"})])
    wire = await bench.connect()
    for path in ("/site/../store/read", "/site/%2e%2e/store/read", "/site/..%2fstore/read", "/site/a\\b", "/site//a"):
        assert (await wire.request("GET", path)).status == 400
    assert (await wire.request("GET", "/site/a%20b")).status == 503
