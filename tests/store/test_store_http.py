"""The store over HTTP, and entity tags that an endpoint declares."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

import microlite
from microlite import Context, Service
from microlite.testing import RunningPlatform

KILOBYTES = "tea " * 1000


@pytest_asyncio.fixture
async def http(platform: RunningPlatform) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with the admin's token."""
    headers = {"Authorization": f"Bearer {platform.token}"}
    async with aiohttp.ClientSession(platform.http, headers=headers) as session:
        yield session


async def put(http: aiohttp.ClientSession, key: str, value: Any, **headers: str) -> aiohttp.ClientResponse:
    """Write a record with these headers."""
    request = {"key": key, "value": value}
    async with http.post(
        "/store/write", json=request, headers={k.replace("_", "-"): v for k, v in headers.items()}
    ) as r:
        await r.read()
        return r


async def test_a_record_is_read_with_its_revision_as_tag(http: aiohttp.ClientSession) -> None:
    written = await put(http, "tea", {"price": 3})
    tag = written.headers["ETag"]
    assert tag == f'"{(await written.json())["revision"]}"'
    async with http.get("/store/read", params={"key": "tea"}) as r:
        assert r.status == 200
        assert r.headers["ETag"] == tag
        record = await r.json()
    assert record == {
        "key": "tea", "value": {"price": 3}, "revision": record["revision"], "expires_at": None, "encoding": "plain",
    }  # fmt: skip
    async with http.get("/store/read", params={"key": "tea"}, headers={"If-None-Match": tag}) as r:
        assert (r.status, await r.read()) == (304, b"")
    async with http.post("/store/read", json={"key": "tea"}) as r:
        assert r.headers["ETag"] == tag
    async with http.get("/store/read", params={"key": "none"}) as r:
        assert r.status == 404
        assert "ETag" not in r.headers
        assert (await r.json())["detail"] == "there is no record 'none' in table 'default' of database 'default'"


async def test_a_write_can_be_bound_to_the_revision_that_was_read(http: aiohttp.ClientSession) -> None:
    first = (await put(http, "tea", 1, If_None_Match="*")).headers["ETag"]
    assert (await put(http, "tea", 1, If_None_Match="*")).status == 412
    second = await put(http, "tea", 2, If_Match=first)
    assert second.status == 200
    refused = await put(http, "tea", 3, If_Match=first)
    assert (refused.status, refused.headers.get("ETag")) == (412, None)
    assert (await put(http, "tea", 3, If_Match="*")).status == 200
    assert (await put(http, "coffee", 3, If_Match="*")).status == 412
    for wrong in ('"1", "2"', "7", '"x"'):
        answer = await put(http, "tea", 3, If_Match=wrong)
        assert answer.status == 400
        assert "If-Match" in (await answer.json())["detail"]
    async with http.delete("/store/delete", params={"key": "tea"}, headers={"If-Match": first}) as r:
        assert r.status == 412
    async with http.post("/store/write", json={"key": "tea", "value": 1, "expect": 1}) as r:
        assert r.status == 409


async def test_the_tag_of_a_large_record_that_came_compressed_binds_a_write_too(http: aiohttp.ClientSession) -> None:
    strong = (await put(http, "tea", KILOBYTES)).headers["ETag"]
    async with http.get("/store/read", params={"key": "tea"}, headers={"Accept-Encoding": "gzip"}) as r:
        tag = r.headers["ETag"]
        assert tag == f"W/{strong}"
    async with http.get("/store/read", params={"key": "tea"}, headers={"If-None-Match": tag}) as r:
        assert r.status == 304
    assert (await put(http, "tea", 1, If_Match=tag)).status == 200


async def test_conditions_for_a_service_are_not_taken_for_conditions_on_its_records(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    shop = Service("shop")

    @shop.endpoint
    async def buy(ctx: Context) -> int:
        return await ctx.store.write("order", 1)

    await platform.serve(shop)
    async with http.post("/shop/buy", headers={"If-Match": '"9999"'}) as r:
        assert r.status == 200


async def test_values_written_in_python_are_read_as_json_and_the_reverse(
    platform: RunningPlatform, http: aiohttp.ClientSession
) -> None:
    class Order(msgspec.Struct):
        id: int
        photo: bytes

    async def read(key: str) -> tuple[Any, str]:
        async with http.get("/store/read", params={"key": key}) as r:
            record = await r.json()
            return record["value"], record["encoding"]

    async with microlite.connect(platform.home) as m:
        await m.store.write("order", Order(1, b"\x00"))
        await m.store.write("bytes", b"hello")
        await m.store.write("tuple", {(1, 2): 3})
        assert await read("order") == ({"id": 1, "photo": "AA=="}, "plain")
        assert await read("bytes") == ("aGVsbG8=", "base64")
        text, encoding = await read("tuple")
        assert encoding == "msgpack"
        assert msgspec.msgpack.decode(base64.b64decode(text)) == {(1, 2): 3}
        for key in ("order", "bytes", "tuple"):
            value, encoding = await read(key)
            request = {"key": f"{key} again", "value": value, "encoding": encoding}
            async with http.post("/store/write", json=request) as r:
                assert r.status == 200
        assert await m.store.read("order again", Order) == Order(1, b"\x00")
        assert await m.store.read("bytes again", bytes) == b"hello"
        assert await m.store.read("tuple again") == {(1, 2): 3}


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        ({"key": "a", "value": 1 << 70}, "value: it cannot be kept"),
        ({"key": "a", "value": "%%", "encoding": "base64"}, "base64"),
        ({"key": "a", "value": "wQ==", "encoding": "msgpack"}, "no MessagePack"),
        ({"key": "a", "value": 1, "table": "a/b"}, "is no name for a table"),
        ({"key": "a", "value": 1, "database": ".."}, "is no name for a database"),
        ({"key": "", "value": 1}, "a key must not be empty"),
        ({"key": "a", "value": 1, "ttl": 1, "expires_at": 5}, "not both"),
        ({"key": "a", "value": 1, "expect": 0}, "is no revision"),
        ({"key": "a", "value": 1, "expires_at": 1e12}, "up to the year 9999"),
        ({"key": "a", "value": 1, "ttl": 1e12}, "up to the year 9999"),
        ({"key": "a"}, "value: required field is missing"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_the_reason(
    http: aiohttp.ClientSession, request_: dict[str, Any], detail: str
) -> None:
    async with http.post("/store/write", json=request_) as r:
        assert r.status == 400
        assert detail in (await r.json())["detail"]


async def test_a_value_may_have_a_mebibyte_and_no_more(http: aiohttp.ClientSession) -> None:
    async def write(size: int) -> int:
        body = io.BytesIO(msgspec.json.encode({"key": "a", "value": "x" * size}))
        async with http.post("/store/write", data=body, headers={"Content-Type": "application/json"}) as r:
            return r.status

    most = (1 << 20) - 5  # a text of this size has five bytes more in MessagePack
    assert await write(most) == 200
    assert await write(most + 1) == 413
    async with http.get("/store/read", params={"key": "a"}) as r:
        assert (await r.json())["value"] == "x" * most
    async with http.get("/store/scan") as r:
        assert len((await r.json())["records"][0]["value"]) == most


async def test_nobody_without_an_account_reads_records(platform: RunningPlatform) -> None:
    async with aiohttp.ClientSession(platform.http) as session, session.get("/store/read?key=a") as r:
        assert r.status == 401


async def test_a_page_leads_to_the_next(http: aiohttp.ClientSession) -> None:
    for number in range(5):
        await put(http, f"k{number}", number)
    async with http.get("/store/scan", params={"prefix": "k", "limit": 2, "order": "desc"}) as r:
        page = await r.json()
    assert [record["value"] for record in page["records"]] == [4, 3]
    async with http.get("/store/list", params={"prefix": "k", "order": "desc", "cursor": page["cursor"]}) as r:
        rest = await r.json()
    assert (rest["keys"], rest["cursor"]) == (["k2", "k1", "k0"], None)
    async with http.get("/store/scan", params={"limit": 1001}) as r:
        assert r.status == 400


async def test_a_watch_is_of_one_key_or_of_a_prefix(http: aiohttp.ClientSession) -> None:
    async with http.get("/store/watch", params={"key": "a", "prefix": "b"}) as answer:
        detail = "give key or prefix, not both: each says what to watch"
        assert (answer.status, (await answer.json())["detail"]) == (400, detail)


async def test_a_watch_streams_lines_that_say_where_to_go_on(http: aiohttp.ClientSession) -> None:
    async with http.get("/store/watch", params={"prefix": "k"}) as r:
        synced = msgspec.json.decode(await r.content.readline())
        assert synced["kind"] == "synced"
        await put(http, "k1", b"x".hex())
        change = msgspec.json.decode(await r.content.readline())
        assert (change["kind"], change["key"], change["value"]) == ("write", "k1", "78")
    await put(http, "k2", 2)
    again = {"Last-Event-ID": str(change["resume"]), "Accept": "text/event-stream"}
    async with http.get("/store/watch", headers=again) as r:
        while not (line := await r.content.readline()).startswith(b"data:"):
            assert line.startswith((b":", b"id:", b"\n"))
        missed = msgspec.json.decode(line.removeprefix(b"data:"))
        assert missed["key"] == "k2"
    async with http.get("/store/watch", params={"prefix": "k", "since": change["resume"]}) as r:
        missed = msgspec.json.decode(await r.content.readline())
        assert (missed["key"], missed["value"]) == ("k2", 2)
