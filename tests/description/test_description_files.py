"""Files in requests, and media types of replies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest

from microlite import File, Service
from microlite.core.description import DeclarationError, compile_endpoint
from microlite.core.description.uploads import takes_files


@dataclass
class Scan:
    """An object of a user's own that takes a file."""

    content: bytes
    pages: int = 1


class Nested(msgspec.Struct):
    file: File


@pytest.mark.parametrize(
    ("annotation", "takes"),
    [
        (bytes, True),
        (File, True),
        (File | None, True),
        (list[File], True),
        (list[bytes] | None, True),
        (Annotated[bytes, msgspec.Meta(max_length=9)], True),
        (Scan, True),
        (File | int, True),
        (str, False),
        (list[str], False),
        (Nested, False),
        (dict[str, bytes], False),
        (Any, False),
    ],
    ids=str,
)
def test_which_fields_take_a_file(annotation: Any, takes: bool) -> None:
    def upload(field: Any) -> None: ...

    upload.__annotations__["field"] = annotation
    schema = compile_endpoint(upload, "upload").description.request
    assert takes_files(schema["properties"]["field"], schema) is takes


def test_a_declared_media_type_is_in_the_description() -> None:
    service = Service("pictures")

    @service.endpoint(produces="image/png")
    async def draw() -> bytes:
        return b""

    @service.endpoint(produces='text/html; charset="utf-8"')
    async def page() -> str | None:
        return None

    @service.endpoint(produces="application/vnd.ms-excel")
    async def rows() -> AsyncIterator[bytes]:
        yield b""

    found = {endpoint.name: endpoint.produces for endpoint in service.describe().endpoints}
    assert found == {"draw": "image/png", "page": 'text/html; charset="utf-8"', "rows": "application/vnd.ms-excel"}


@pytest.mark.parametrize("produces", ["png", "image/", "/png", "image/png\r\nX: y", "image/png; q", "image png", "ä/b"])
def test_what_is_no_media_type_is_refused(produces: str) -> None:
    service = Service("pictures")

    async def draw() -> bytes:
        return b""

    with pytest.raises(DeclarationError, match="is no media type; write one as in 'image/png'"):
        service.endpoint(produces=produces)(draw)


def test_a_media_type_wants_bytes_or_text() -> None:
    service = Service("pictures")

    async def file() -> File:
        return File(content=b"")

    async def unsaid(): ...  # type: ignore[no-untyped-def]  # that is what it is about

    async def stream() -> AsyncIterator[int]:
        yield 1

    for function, returns, instead in (
        (file, r"`microlite\.core\.library\.file\.File`", "`-> bytes`"),
        (unsaid, "nothing that is annotated", "`-> bytes`"),
        (stream, "`int`", "`-> AsyncIterator\\[bytes\\]`"),
    ):
        with pytest.raises(
            DeclarationError, match=f"wants bytes or text, and the function returns {returns}.*{instead}"
        ):
            service.endpoint(produces="image/png")(function)
