"""Entity tags that an endpoint declares: a field of its reply says which version it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from microlite import Context, Service, errors
from microlite.core.description import DeclarationError
from microlite.testing import RunningPlatform
from microlite.testing import platform as start
from microlite.web.openapi.assembly import document


class Page(msgspec.Struct):
    """A reply with a version."""

    text: str
    version: int | str | None


def wiki() -> Service:
    """A service whose pages have versions."""
    service = Service("wiki")
    versions = {"a": 1}

    @service.endpoint(etag="version")
    async def read(name: str, times: int = 1) -> Page:
        return Page("text " * times, versions.get(name))

    @service.endpoint(etag="version")
    async def write(ctx: Context, name: str) -> Page:
        if ctx.metadata.get("if-match", f'"{versions[name]}"') != f'"{versions[name]}"':
            raise errors.PreconditionFailed(f"the page is at version {versions[name]}")
        versions[name] += 1
        return Page("", versions[name])

    @service.endpoint(etag="version")
    async def odd(version: str) -> Page | None:
        return Page("", version) if version else None

    return service


@pytest.fixture
async def platform() -> AsyncIterator[RunningPlatform]:
    async with start() as p:
        await p.serve(wiki())
        yield p


async def test_the_field_is_the_tag_of_every_answer(platform: RunningPlatform) -> None:
    async with aiohttp.ClientSession(platform.http) as http:
        for method in ("GET", "POST"):
            async with http.request(method, "/wiki/read", params={"name": "a"}) as r:
                assert r.headers["ETag"] == '"1"'
        async with http.get("/wiki/read?name=a", headers={"If-None-Match": '"1"'}) as r:
            assert r.status == 304
        async with http.post("/wiki/write", json={"name": "a"}, headers={"If-Match": '"1"'}) as r:
            assert (r.status, r.headers["ETag"]) == (200, '"2"')
        async with http.post("/wiki/write", json={"name": "a"}, headers={"If-Match": '"1"'}) as r:
            assert (r.status, r.headers.get("ETag")) == (412, None)
        async with http.get("/wiki/read?name=a", headers={"If-None-Match": '"1"'}) as r:
            assert (r.status, r.headers["ETag"]) == (200, '"2"')


async def test_a_large_answer_has_it_however_it_is_sent(platform: RunningPlatform) -> None:
    """Compressed or not, made on the loop or beside it."""
    async with aiohttp.ClientSession(platform.http, auto_decompress=False) as http:
        for times in (1_000, 100_000):
            for method in ("GET", "POST"):
                address = f"/wiki/read?name=a&times={times}"
                async with http.request(method, address, headers={"Accept-Encoding": "identity"}) as r:
                    assert r.headers["ETag"] == '"1"'
                async with http.request(method, address, headers={"Accept-Encoding": "gzip"}) as r:
                    assert r.headers["ETag"] == 'W/"1"'
                    assert r.headers["Content-Encoding"] == "gzip"


async def test_what_is_no_tag_is_none(platform: RunningPlatform) -> None:
    """A GET has that of its content then, and a header can never be broken out of."""
    async with aiohttp.ClientSession(platform.http) as http:
        for version in ('a"b', "a b", "é", "a\r\nSet-Cookie: x=1", "x" * 257):
            async with http.post("/wiki/odd", json={"version": version}) as r:
                assert r.status == 200
                assert "ETag" not in r.headers
                assert "Set-Cookie" not in r.headers
        async with http.get("/wiki/read?name=unknown") as r:
            assert len(r.headers["ETag"]) == 26
        async with http.post("/wiki/odd", json={"version": ""}) as r:
            assert (r.status, r.headers.get("ETag")) == (204, None)
        async with http.post("/wiki/odd", json={"version": "a-1.0"}) as r:
            assert r.headers["ETag"] == '"a-1.0"'


def test_the_document_says_so() -> None:
    paths = document([wiki().describe()])["paths"]
    assert "ETag" in paths["/wiki/write"]["post"]["responses"]["200"]["headers"]


async def no_field() -> Page:
    raise NotImplementedError


async def a_mapping() -> dict[str, int]:
    raise NotImplementedError


async def a_stream() -> AsyncIterator[Page]:
    yield Page("", 1)


@pytest.mark.parametrize(
    ("function", "field", "says"),
    [
        (no_field, "revision", "its fields are: text, version"),
        (a_mapping, "revision", "no field of the reply"),
        (a_stream, "version", "a stream has no tag"),
    ],
)
def test_what_cannot_be_a_tag_is_refused_where_it_is_declared(function: object, field: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        Service("wiki").endpoint(etag=field)(function)  # type: ignore[type-var]  # any function
