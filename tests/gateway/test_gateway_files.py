"""Forms, files and media types, from the bytes of HTTP to a service's function and back."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import zstandard

from microlite import Context, File, Service
from microlite.testing import platform
from tests.gateway.gateway_bench import Answer, Wire

PNG = b"\x89PNG\r\n\x1a\n\x00\xff" * 400
PAGE = "<!doctype html><title>Ä</title>"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"
DIGITS = bytes(range(48, 58))


class Author(msgspec.Struct):
    name: str
    age: int = 0


def make_service() -> Service:
    service = Service("files")

    @service.endpoint
    async def note(title: str, count: int = 0, tags: list[str] | None = None, author: Author | None = None) -> Any:
        return {"title": title, "count": count, "tags": tags, "author": author}

    @service.endpoint
    async def keep(album: str, photo: File, more: list[File] | None = None) -> Any:
        files = [photo, *(more or [])]
        return [album, *([file.name, file.content_type, len(file.content)] for file in files)]

    @service.endpoint
    async def raw(data: bytes, parts: list[bytes] | None = None, note: str = "") -> Any:
        return {"size": len(data), "digest": sha256(data).hexdigest(), "parts": len(parts or []), "note": note}

    @service.endpoint
    async def receive(ctx: Context, album: str, chunks: AsyncIterator[bytes]) -> Any:
        size, digest = 0, sha256()
        async for chunk in chunks:
            size += len(chunk)
            digest.update(chunk)
        told = {key: ctx.metadata[key] for key in ("file-name", "file-type") if key in ctx.metadata}
        return {"album": album, "size": size, "digest": digest.hexdigest(), **told}

    @service.endpoint
    def gather(chunks: Iterator[bytes]) -> int:
        return sum(map(len, chunks))

    @service.endpoint
    async def lines(rows: AsyncIterator[int]) -> int:
        return sum([row async for row in rows])

    @service.endpoint(produces="image/png")
    async def picture(shade: int = 0) -> bytes | None:
        return PNG if shade >= 0 else None

    @service.endpoint(produces="image/png")
    async def tint(photo: File) -> bytes:
        return photo.content[::-1]

    @service.endpoint(produces="text/html")
    async def page() -> str:
        return PAGE

    @service.endpoint(produces="text/csv")
    async def export(rows: int = 3, fail: bool = False) -> AsyncIterator[str]:
        for row in range(rows):
            yield f"{row},ä\n"
        if fail:
            raise ValueError("no more")

    @service.endpoint(produces="text/plain; charset=utf-8")
    async def long() -> str:
        return "0123456789" * 1000

    return service


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A connection to a platform that serves `files`."""
    async with platform() as running:
        await running.serve(make_service())
        port = int(running.http.rpartition(":")[2])
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        yield wire
        await wire.close()


def part(name: str, content: bytes | str, file: str | None = None, kind: str = "") -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{file}"' if file is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return f"{head}\r\n\r\n".encode() + (content.encode() if isinstance(content, str) else content) + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


async def send(wire: Wire, path: str, body: bytes, kind: str = MULTIPART, **headers: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return await wire.request("POST", path, body, {"Content-Type": kind, **headers})


FIELDS: list[list[tuple[str, str]]] = [
    [("title", "a b&c=ä")],
    [("title", "7"), ("count", "7")],
    [("title", "x"), ("tags", "one"), ("tags", "two")],
    [("title", "x"), ("tags", "one")],
    [("title", "x"), ("author.name", "Ann"), ("author.age", "41")],
    [("title", "x"), ("author", '{"name":"Bob"}')],
    [("title", ""), ("author", "null")],
    [("title", "x"), ("count", "many")],
    [("count", "1")],
    [("title", "x"), ("titel", "y")],
]


@pytest.mark.parametrize("fields", FIELDS, ids=urlencode)
async def test_a_form_sets_fields_as_a_query_does(fields: list[tuple[str, str]], wire: Wire) -> None:
    query = await wire.request("GET", f"/files/note?{urlencode(fields)}")
    plain = await send(wire, "/files/note", urlencode(fields).encode(), FORM)
    parts = await send(wire, "/files/note", form(*(part(name, text) for name, text in fields)))
    assert (plain.status, plain.json()) == (query.status, query.json())
    assert (parts.status, parts.json()) == (query.status, query.json())


async def test_the_body_lies_over_the_query(wire: Wire) -> None:
    answer = await send(wire, "/files/note?title=query&count=1", b"title=form", FORM)
    assert answer.json()["title"] == "form"
    assert answer.json()["count"] == 1


async def test_a_file_of_a_form_is_a_file_of_the_request(wire: Wire) -> None:
    body = form(
        part("album", "Rome"),
        part("photo", PNG, "küste.png", "image/png"),
        part("more", b"1", "a.txt", "text/plain"),
        part("more", b"22", "b"),
    )
    answer = await send(wire, "/files/keep", body)
    assert answer.json() == [
        "Rome",
        ["küste.png", "image/png", len(PNG)],
        ["a.txt", "text/plain", 1],
        ["b", "application/octet-stream", 2],
    ]


async def test_json_can_send_a_file_too(wire: Wire) -> None:
    photo = {"name": "a.png", "content": PNG}
    answer = await wire.request("POST", "/files/keep", msgspec.json.encode({"album": "Rome", "photo": photo}))
    assert answer.json() == ["Rome", ["a.png", "application/octet-stream", len(PNG)]]


@pytest.mark.parametrize("file", [None, "data.bin"])
async def test_a_field_of_bytes_takes_content_as_it_is(file: str | None, wire: Wire) -> None:
    body = form(part("data", PNG, file), part("note", "ä"), part("parts", b"\xff", file), part("parts", b"\xfe", file))
    answer = await send(wire, "/files/raw", body)
    assert answer.json() == {"size": len(PNG), "digest": sha256(PNG).hexdigest(), "parts": 2, "note": "ä"}


async def test_a_file_that_nobody_chose_is_none(wire: Wire) -> None:
    body = form(part("album", "x"), part("photo", PNG, "p"), part("more", b"", "", "application/octet-stream"))
    assert len((await send(wire, "/files/keep", body)).json()) == 2


MALFORMED = [
    ("no boundary", "multipart/form-data", form(part("data", "1")), 400, "needs a boundary"),
    ("cut off", MULTIPART, part("data", "1"), 400, "ends before its last boundary"),
    ("empty", MULTIPART, b"-", 400, "ends before its last boundary"),
    ("other boundary", MULTIPART, b"--YY\r\n\r\n", 400, "ends before its last boundary"),
    ("no name", MULTIPART, b"--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", 400, "name"),
    ("no disposition", MULTIPART, b"--XX\r\nContent-Type: a/b\r\n\r\n1\r\n--XX--", 400, "has no Content-Disposition"),
    ("not UTF-8", MULTIPART, form(part("data", "1"), part("note", b"\xff")), 400, '"note" is not UTF-8'),
    ("twice over", MULTIPART, form(part("data", "1"), part("data.x", "1")), 400, 'gives "data" a value'),
    ("many parts", MULTIPART, form(*[part("a", "")] * 1001), 413, "more than 1,000 parts"),
    ("long header", MULTIPART, form(part("a" * 5000, "")), 413, "header of more than 4,096 bytes"),
    ("not percent-encoded", FORM, b"a=%ff", 400, "the form is not UTF-8"),
    ("many fields", FORM, b"a=1&" * 1001, 400, "the form has more than 1,000 fields"),
    ("unknown", MULTIPART, form(part("data", "1"), part("dta", "1")), 400, "dta: unknown field"),
]


@pytest.mark.parametrize(
    ("kind", "body", "status", "says"), [case[1:] for case in MALFORMED], ids=[c[0] for c in MALFORMED]
)
async def test_a_malformed_form_is_refused_in_words(kind: str, body: bytes, status: int, says: str, wire: Wire) -> None:
    answer = await send(wire, "/files/raw", body, kind)
    assert answer.status == status
    assert says in answer.json()["detail"]


async def test_a_number_that_no_wire_carries_is_refused(wire: Wire) -> None:
    answer = await send(wire, "/files/raw?size=" + "9" * 30, form(part("data", b"x", "x.bin")))
    assert (answer.status, answer.json()["detail"][:21]) == (400, "a number is too large")


async def test_a_form_that_does_not_fit_is_refused(wire: Wire) -> None:
    answer = await send(wire, "/files/raw", form(part("data", b"x" * (10 * 1024 * 1024))))
    assert answer.status == 413


# -- streams of bytes --------------------------------------------------------------------------------------------------


async def test_the_file_of_a_form_is_streamed(wire: Wire) -> None:
    """Fields before it are the request; name and type are metadata."""
    body = form(part("album", "Rome"), part("film", PNG * 500, "rome.mp4", "video/mp4"))
    answer = await send(wire, "/files/receive", body)
    assert answer.json() == {
        "album": "Rome",
        "size": len(PNG) * 500,
        "digest": sha256(PNG * 500).hexdigest(),
        "file-name": "rome.mp4",
        "file-type": "video/mp4",
    }


async def test_the_call_begins_before_the_file_is_there(wire: Wire) -> None:
    """A service that refuses answers while the client has still to send."""
    head = part("film", b"", "f")[:-2]
    wire.send(
        f"POST /files/receive HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MULTIPART}\r\n"
        f"Content-Length: 100000000\r\n\r\n".encode()
        + head
        + b"x"
    )
    answer = await wire.answer()
    assert answer.status == 400
    assert answer.json()["detail"] == "album: required field is missing"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (form(part("film", b"1", "f"), part("album", "late")), '"album" stands behind the file'),
        (form(part("film", b"1", "f"), part("film", b"2", "g")), '"film" stands behind the file'),
        (form(part("album", "Rome")), "the form has no file"),
        (part("album", "Rome") + part("film", b"1", "f"), "ends before its last boundary"),
        (form(part("album", "Rome"), part("colour", "red"), part("film", b"1", "f")), "colour: unknown field"),
    ],
)
async def test_a_form_with_a_streamed_file_has_an_order(body: bytes, says: str, wire: Wire) -> None:
    answer = await send(wire, "/files/receive?album=given", body)
    assert answer.status == 400
    assert says in answer.json()["detail"]


async def test_bytes_are_streamed_as_they_are(wire: Wire) -> None:
    answer = await send(wire, "/files/receive?album=Rome", PNG * 100, "application/octet-stream")
    assert answer.json() == {"album": "Rome", "size": len(PNG) * 100, "digest": sha256(PNG * 100).hexdigest()}
    assert (await send(wire, "/files/gather", DIGITS, "application/octet-stream")).body == b"10"


async def test_lines_of_base64_are_a_stream_of_bytes_too(wire: Wire) -> None:
    answer = await send(wire, "/files/gather", b'"MDEy"\n"Mw=="\n', "application/x-ndjson")
    assert answer.body == b"4"


@pytest.mark.parametrize("kind", [MULTIPART, "application/octet-stream", FORM, "application/json"])
async def test_a_stream_of_documents_takes_lines_only(kind: str, wire: Wire) -> None:
    answer = await send(wire, "/files/lines", b"1\n", kind)
    assert answer.status == 415
    assert "application/x-ndjson" in answer.json()["detail"]


# -- compressed requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd"])
async def test_a_compressed_body_is_expanded(coding: str, wire: Wire) -> None:
    squeeze = zstandard.compress if coding == "zstd" else gzip.compress
    for body, kind in (
        (b'{"title":"packed"}', "application/json"),
        (b"title=packed", FORM),
        (form(part("title", "packed")), MULTIPART),
    ):
        answer = await send(wire, "/files/note", squeeze(body), kind, Content_Encoding=coding)
        assert answer.json()["title"] == "packed"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_bomb_is_too_large(coding: str, wire: Wire) -> None:
    squeeze = zstandard.compress if coding == "zstd" else gzip.compress
    bomb = squeeze(b" " * 50_000_000)
    answer = await send(wire, "/files/note", bomb, "application/json", Content_Encoding=coding)
    assert answer.status == 413


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"{}", 400),
        ("gzip", gzip.compress(b'{"title":"x"}' * 99, mtime=0)[:-9], 400),
        ("zstd", b"{}", 400),
        ("zstd", zstandard.compress(b'{"title":"x"}' * 99)[:-3], 400),
        ("br", b"{}", 415),
        ("gzip, gzip", b"{}", 415),
    ],
    ids=["no gzip", "half a gzip", "no zstd", "half a zstd", "unknown", "twice"],
)
async def test_what_is_not_compressed_as_it_says_is_refused(coding: str, body: bytes, status: int, wire: Wire) -> None:
    answer = await send(wire, "/files/note", body, "application/json", Content_Encoding=coding)
    assert answer.status == status


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_body_of_very_many_frames_is_refused_soon(coding: str, wire: Wire) -> None:
    """Each empty frame takes some twenty bytes and its time; several that say something are one body."""
    squeeze = zstandard.compress if coding == "zstd" else gzip.compress
    several = squeeze(b'{"title":') + squeeze(b"") + squeeze(b'"packed"}')
    assert (await send(wire, "/files/note", several, "application/json", Content_Encoding=coding)).status == 200
    async with asyncio.timeout(10):  # looked at one by one they would take half an hour
        answer = await send(wire, "/files/note", squeeze(b"") * 450_000, "application/json", Content_Encoding=coding)
    assert answer.status == 400


async def test_a_stream_is_not_taken_compressed(wire: Wire) -> None:
    answer = await send(
        wire, "/files/gather", gzip.compress(DIGITS), "application/octet-stream", Content_Encoding="gzip"
    )
    assert answer.status == 415


# -- declared media types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_a_declared_media_type_is_served_as_it_is(method: str, wire: Wire) -> None:
    answer = await wire.request(method, "/files/picture", b"{}" if method == "POST" else None)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in answer.headers
    assert answer.body == (b"" if method == "HEAD" else PNG)


async def test_a_file_goes_in_and_comes_out_as_it_is(wire: Wire) -> None:
    answer = await send(wire, "/files/tint", form(part("photo", PNG, "p.png")))
    assert (answer.headers["content-type"], answer.body) == ("image/png", PNG[::-1])


async def test_none_of_a_declared_media_type_is_no_content(wire: Wire) -> None:
    answer = await wire.request("GET", "/files/picture?shade=-1")
    assert (answer.status, answer.body) == (204, b"")
    assert (await wire.request("GET", "/files/picture?shade=x")).json()["code"] == 400


async def test_markup_is_served_in_a_sandbox(wire: Wire) -> None:
    answer = await wire.request("GET", "/files/page")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.body == PAGE.encode()


async def test_a_stream_of_a_declared_media_type_is_one_body(wire: Wire) -> None:
    answer = await wire.request("GET", "/files/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body == "0,ä\n1,ä\n2,ä\n".encode()
    head = await wire.request("HEAD", "/files/export")
    assert head.headers["content-type"] == "text/csv; charset=utf-8"


async def test_a_broken_stream_of_a_declared_media_type_is_cut_off(wire: Wire) -> None:
    """Nothing within a file can say that it is not complete, so the last chunk is missing."""
    wire.send("GET /files/export?fail=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with pytest.raises(asyncio.IncompleteReadError):
        await wire.answer()


RANGES = [
    ("bytes=0-9", 206, "bytes 0-9/10000", b"0123456789"),
    ("bytes=9995-", 206, "bytes 9995-9999/10000", b"56789"),
    ("bytes=-3", 206, "bytes 9997-9999/10000", b"789"),
    ("bytes=-20000", 206, "bytes 0-9999/10000", None),
    ("bytes=9990-20000", 206, "bytes 9990-9999/10000", b"0123456789"),
    ("bytes=10000-", 416, "bytes */10000", None),
    ("bytes=-0", 416, "bytes */10000", None),
    ("bytes=0-1,3-4", 200, "", None),
    ("bytes=5-3", 200, "", None),
    ("lines=0-3", 200, "", None),
    ("bytes=-", 200, "", None),
]


@pytest.mark.parametrize(("wanted", "status", "says", "body"), RANGES)
async def test_a_part_of_raw_bytes(wanted: str, status: int, says: str, body: bytes | None, wire: Wire) -> None:
    answer = await wire.request("GET", "/files/long", headers={"Range": wanted, "Accept-Encoding": "gzip"})
    assert answer.status == status
    assert answer.headers.get("content-range", "") == says
    assert "content-encoding" not in answer.headers
    if body is not None:
        assert answer.body == body
    if status == 200:
        assert len(answer.body) == 10_000
        assert answer.headers["accept-ranges"] == "bytes"


async def test_a_part_of_what_has_changed_is_the_whole(wire: Wire) -> None:
    whole = await wire.request("GET", "/files/long")
    same = {"Range": "bytes=0-0", "If-Range": whole.headers["etag"]}
    assert (await wire.request("GET", "/files/long", headers=same)).status == 206
    other = {"Range": "bytes=0-0", "If-Range": '"other"'}
    assert (await wire.request("GET", "/files/long", headers=other)).status == 200
    weak = {"Range": "bytes=0-0", "If-Range": f"W/{whole.headers['etag']}"}
    assert (await wire.request("GET", "/files/long", headers=weak)).status == 200


async def test_json_has_no_parts(wire: Wire) -> None:
    answer = await wire.request("GET", "/files/note?title=x", headers={"Range": "bytes=0-1"})
    assert answer.status == 200
    assert "accept-ranges" not in answer.headers
