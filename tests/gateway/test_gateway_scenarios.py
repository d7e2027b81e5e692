"""One table of requests and answers, for the fast way and the ASGI application alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from microlite.web.gateway.conditional import etag
from tests.gateway.gateway_bench import TOKEN, Bench, Wire

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
TAG = etag(b"{}")
LARGE = b'{"a":"%b"}' % (b"x" * 2000)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Case(msgspec.Struct):
    """A request, and what must come back. A dict as `json` must be contained in the answer."""

    says: str
    method: str = "POST"
    path: str = "/echo"
    body: bytes | None = None
    headers: dict[str, str] = {}
    status: int = 200
    json: Any = None
    answer_headers: dict[str, str] = {}


CASES = [
    Case("a body passes through as it is", body=b'{"a": 1}', json={"a": 1}),
    Case("no body is an empty request", json={}),
    Case("the answer may come later", path="/echo/later", body=b'{"a":2}', json={"a": 2}),
    Case("GET calls with an empty request", "GET", "/echo", json={}),
    Case("a name is understood in capitals", path="/Echo/Later", body=b"{}", json={}),
    Case("micro's form is understood", path="/echo/Echo.Later", body=b"{}", json={}),
    Case("/api is an alias", path="/api/echo/later", body=b"{}", json={}),
    Case("a version in front is understood", path="/v1/echo/later", body=b"{}", json={}),
    Case("a slash at the end means nothing", path="/echo/", body=b"{}", json={}),
    Case("a path is decoded once", path="/ech%6f", body=b"{}", json={}),
    Case("None is 204", path="/echo/nothing", status=204),
    Case("an error keeps code, status, detail and id", path="/echo/fail", body=b'{"code":409}', status=409, json={
        "id": "echo.fail", "code": 409, "detail": "it went wrong", "status": "Conflict"}),
    Case("what was not started says when to try again", path="/echo/fail", body=b'{"code":503}', status=503,
         answer_headers={"retry-after": "1"}),
    Case("what may have run does not", path="/echo/fail", body=b'{"code":503,"status":"Outcome Unknown"}', status=503,
         json={"status": "Outcome Unknown"}, answer_headers={"retry-after": ""}),
    Case("too many says when to try again", path="/echo/fail", body=b'{"code":429}', status=429,
         answer_headers={"retry-after": "1"}),
    Case("an odd code passes", path="/echo/fail", body=b'{"code":418}', status=418),
    Case("the media type's charset may be given", body=b"{}", headers={"Content-Type": "application/json; charset=utf-8"},
         json={}),
    Case("a form sets fields", body=b"count=1", headers={"Content-Type": "application/x-www-form-urlencoded"},
         json={"count": 1}),
    Case("JSON that goes by the name of a form, as curl sends it", body=b' {"count":1}',
         headers={"Content-Type": "application/x-www-form-urlencoded"}, status=415),
    Case("text is not JSON", body=b"{}", headers={"Content-Type": "text/plain"}, status=415),
    Case("another charset is not understood", body=b"{}", headers={"Content-Type": "application/json; charset=latin-1"},
         status=415),
    Case("a body without type is not taken for JSON", body=b"{}", headers={"Content-Type": ""}, status=415),
    Case("a body that is not compressed as it says", body=b"{}", headers={"Content-Encoding": "gzip"}, status=400),
    Case("a compression that nobody here knows", body=b"{}", headers={"Content-Encoding": "br"}, status=415),
    Case("an unknown service", path="/nobody", status=404, json={"detail": 'Service "nobody" not found'}),
    Case("an unknown endpoint", path="/echo/none", status=404,
         json={"detail": 'Endpoint "none" not found for service "echo"'}),
    Case("no service at all", path="/api", status=404),
    Case("dots in a path", path="/echo/../store", status=400, json={"code": 400, "status": "Bad Request"}),
    Case("encoded dots", path="/echo/%2e%2e/store", status=400),
    Case("an empty segment", path="//echo", status=400),
    Case("an encoded slash", path="/echo%2flater", status=400),
    Case("a control character", path="/echo%00", status=400),
    Case("a method that a route has not", "PUT", "/echo/items/7", status=405,
         answer_headers={"allow": "GET, HEAD, OPTIONS"}),
    Case("built-in endpoints want a token", path="/store/write", status=401, answer_headers={
        "www-authenticate": 'Bearer realm="microlite"'}, json={"status": "Unauthorized"}),
    Case("the right one", path="/store/write", headers={"Authorization": "Bearer nonsense"}, status=401),
    Case("of the right scheme", path="/store/write", headers={"Authorization": f"Basic {TOKEN}"}, status=401),
    Case("and then answer", path="/store/write", body=b'{"k":1}', headers=ADMIN, json={"k": 1}),
    Case("built-in endpoints that write do not answer GET", "GET", "/store/write", headers=ADMIN, status=405,
         answer_headers={"allow": "POST, PUT, PATCH, DELETE, OPTIONS"}),
    Case("those that read do", "GET", "/store/read", headers=ADMIN, json={}),
    Case("an endpoint may demand a scope", path="/echo/private", status=401),
    Case("who operates the platform needs none", path="/echo/private", headers=ADMIN, json={}),
    Case("a token that means nothing is no obstacle", headers={"Authorization": "Bearer x"}, json={}),
    Case("headers are metadata", "GET", "/echo/meta", headers={"X-One": "1", "User-Agent": "test"},
         json={"x-one": "1", "user-agent": "test", "account": None}),
    Case("the admin is known to a user's service", path="/echo/meta", headers=ADMIN, json={"account": "admin"}),
    Case("a time limit is granted in seconds", "GET", "/echo/meta", headers={"Timeout": "7"}, json={"timeout": 7.0}),
    Case("or as a duration", "GET", "/echo/meta", headers={"Timeout": "1m30s"}, json={"timeout": 90.0}),
    Case("up to a maximum", "GET", "/echo/meta", headers={"Timeout": "500h"}, json={"timeout": 3600.0}),
    Case("none of nothing", "GET", "/echo/meta", headers={"Timeout": "0"}, status=400),
    Case("none of nonsense", "GET", "/echo/meta", headers={"Timeout": "soon"}, status=400),
    Case("the own namespace may be named", headers={"Micro-Namespace": "default"}, json={}),
    Case("in another one there is something else", headers={"Micro-Namespace": "other"}, status=404),
    Case("a name of this machine", headers={"Host": "127.0.0.1:8080"}, json={}),
    Case("another name of it", headers={"Host": "[::1]:8080"}, json={}),
    Case("a foreign host", headers={"Host": "evil.example"}, status=421),
    Case("no host", headers={"Host": ""}, status=400),
    Case("a program that does not exist", "GET", "/", headers={"Host": "nobody.localhost"}, status=404),
    Case("an origin is echoed, without credentials", body=b"{}", headers={"Origin": "http://a.example"}, json={},
         answer_headers={"access-control-allow-origin": "http://a.example", "access-control-allow-credentials": ""}),
    Case("errors can be read by pages too", path="/nobody", headers={"Origin": "http://a.example"}, status=404,
         answer_headers={"access-control-allow-origin": "http://a.example"}),
    Case("what is read has a tag", "GET", "/echo", json={}, answer_headers={"etag": TAG, "vary": ""}),
    Case("what is written has none", body=b"{}", json={}, answer_headers={"etag": ""}),
    Case("another tag changes nothing", "GET", "/echo", headers={"If-None-Match": '"other"'}, json={},
         answer_headers={"etag": TAG}),
    Case("errors have no tag", "GET", "/echo/none", status=404, answer_headers={"etag": ""}),
    Case("a small answer is not compressed", body=b'{"a":1}', headers={"Accept-Encoding": "gzip"}, json={"a": 1},
         answer_headers={"content-encoding": "", "vary": ""}),
    Case("a large one is not for whoever does not ask", body=LARGE, json={"a": "x" * 2000},
         answer_headers={"content-encoding": "", "vary": "Accept-Encoding"}),
    Case("an upgrade to HTTP/2 is ignored", body=b'{"up":1}', headers={
        "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"},
        json={"up": 1}),
    Case("an expectation that nobody meets", body=b"{}", headers={"Expect": "a miracle"}, status=417),
    Case("a router that raises is 500", path="/echo/crash", status=500,
         json={"status": "Internal Server Error"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
async def test_a_request_gets_its_answer(case: Case, wire: Wire) -> None:
    """The table holds for both ways; the connection goes on; errors are JSON."""
    answer = await wire.request(case.method, case.path, case.body, case.headers)
    assert answer.status == case.status, answer
    if answer.status == 204:
        assert "content-type" not in answer.headers
        assert "content-length" not in answer.headers
    else:
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "date" in answer.headers
    if answer.status >= 400:
        assert set(answer.json()) == {"id", "code", "detail", "status"}
        assert answer.json()["code"] == case.status
    if case.json is not None:
        assert {key: answer.json().get(key) for key in case.json} == case.json
    for name, value in case.answer_headers.items():
        assert answer.headers.get(name, "") == value
    if answer.headers.get("connection") != "close":
        again = await wire.request("POST", "/echo", b'{"again":true}')
        assert again.json() == {"again": True}


async def test_what_a_service_must_not_see_is_not_in_its_metadata(wire: Wire) -> None:
    headers = {
        **ADMIN,
        "Cookie": "session=secret",
        "Connection": "keep-alive",
        "TE": "trailers",
        "X-Kept": "yes",
        "Microlite-Account": "admin",
    }
    answer = await wire.request("POST", "/echo/meta", b"{}", headers)
    assert set(answer.json()) == {"x-kept", "traceparent", "account", "timeout"}


async def test_a_trace_goes_through(wire: Wire) -> None:
    """The service and the client see a span of the gateway's own, in the caller's trace."""
    answer = await wire.request("GET", "/echo/meta", headers={"traceparent": TRACE})
    assert answer.headers["traceparent"] == answer.json()["traceparent"]
    assert answer.headers["traceparent"].startswith(TRACE[:36])
    assert answer.headers["traceparent"] != TRACE


@pytest.mark.parametrize("given", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_a_trace_begins_where_there_is_none(given: str, wire: Wire) -> None:
    first = await wire.request("GET", "/echo/meta", headers={"traceparent": given})
    second = await wire.request("GET", "/echo/meta", headers={"traceparent": given})
    assert first.headers["traceparent"] == first.json()["traceparent"]
    assert first.headers["traceparent"][3:35] != second.headers["traceparent"][3:35]
    failed = await wire.request("POST", "/echo/fail", b"{}", {"traceparent": TRACE})
    assert failed.headers["traceparent"].startswith(TRACE[:36])


@pytest.mark.parametrize("name", ["Host", "Authorization", "Content-Type", "Timeout"])
async def test_a_header_that_decides_may_stand_once(name: str, wire: Wire) -> None:
    wire.send(f"GET /echo HTTP/1.1\r\nHost: localhost\r\n{name}: 1\r\n{name}: 2\r\n\r\n")
    assert (await wire.answer()).status == 400


async def test_repeated_headers_are_one_list(wire: Wire) -> None:
    wire.send("GET /echo/meta HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-A: 2\r\n\r\n")
    assert (await wire.answer()).json()["x-a"] == "1, 2"


async def test_the_table_may_change_under_a_connection(bench: Bench, wire: Wire) -> None:
    """A connection that has learned a path forgets it with the service."""
    for _ in range(3):
        assert (await wire.request("POST", "/echo", b"{}")).status == 200
    bench.table.remove("default", "echo")
    assert (await wire.request("POST", "/echo", b"{}")).status == 404


async def test_equal_heads_with_other_bodies_are_other_requests(wire: Wire) -> None:
    for number in range(5):
        answer = await wire.request("POST", "/echo", b'{"n":%d}' % number)
        assert answer.json() == {"n": number}


async def test_answers_are_counted(bench: Bench, wire: Wire) -> None:
    """Metrics want the token, and know calls by service, endpoint and code."""
    await wire.request("POST", "/echo", b"{}")
    await wire.request("POST", "/echo", b"{}")
    await wire.request("POST", "/echo/fail", b'{"code":409}')
    await wire.request("GET", "/nobody")
    assert (await wire.request("GET", "/metrics")).status == 401
    text = (await wire.request("GET", "/metrics", headers=ADMIN)).body.decode()
    assert 'microlite_http_requests_total{code="200",endpoint="call",service="echo"} 2.0' in text
    assert 'microlite_http_requests_total{code="409",endpoint="fail",service="echo"} 1.0' in text
    assert 'microlite_http_requests_total{code="404",endpoint="",service=""} 1.0' in text
    assert 'microlite_http_request_duration_seconds_count{endpoint="call",service="echo"} 2.0' in text
    assert bench.gateway.edge.active == 0
