"""Files and declared media types in the OpenAPI document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from microlite import File, FileHead, Service
from microlite.web.openapi import document

BINARY = {"type": "string", "format": "binary"}
FILE = {**BINARY, "contentMediaType": "application/octet-stream"}


def describe() -> Any:
    service = Service("photos")

    @service.endpoint
    async def add(album: str, photo: File, more: list[File] | None = None, thumb: bytes = b"") -> str:
        """Add photos.

        Args:
            album: where to.
            photo: the first.
        """
        return album

    @service.endpoint
    async def rename(album: str) -> None:
        """No file in it."""

    @service.endpoint
    async def archive(content: AsyncIterator[bytes]) -> None:
        """Any size."""

    @service.endpoint(produces="image/png")
    async def draw(size: int = 1) -> bytes | None:
        return None

    @service.endpoint(produces="text/csv")
    async def export() -> AsyncIterator[str]:
        yield ""

    @service.endpoint(consumes="*/*")
    async def take(content: AsyncIterator[bytes], album: str = "") -> None:
        """Any type."""

    @service.endpoint(produces="*/*")
    async def give(name: str) -> AsyncIterator[FileHead | bytes]:
        yield b""

    return document([service.describe()])


@pytest.fixture(scope="module")
def paths() -> Any:
    described = describe()
    validate(described)
    return described["paths"]


def test_a_file_is_shown_as_the_part_of_a_form(paths: Any) -> None:
    content = paths["/photos/add"]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]
    assert form["properties"] == {
        "album": {"type": "string", "description": "where to."},
        "photo": {**FILE, "description": "the first."},
        "more": {"type": "array", "items": FILE},
        "thumb": FILE,
    }
    assert form["required"] == ["album", "photo"]
    assert content["application/json"]["schema"]["properties"]["photo"]["$ref"] == "#/components/schemas/File"
    assert list(paths["/photos/rename"]["post"]["requestBody"]["content"]) == ["application/json"]


def test_a_stream_of_bytes_is_shown_as_bytes(paths: Any) -> None:
    content = paths["/photos/archive"]["post"]["requestBody"]["content"]
    assert list(content) == ["application/x-ndjson", "application/octet-stream", "multipart/form-data"]
    assert content["application/octet-stream"]["schema"] == BINARY


def test_a_declared_media_type_is_that_of_the_reply(paths: Any) -> None:
    for method in ("get", "post"):
        answers = paths["/photos/draw"][method]["responses"]
        assert answers["200"]["content"] == {"image/png": {"schema": BINARY}}
        assert "204" in answers
    stream = paths["/photos/export"]["get"]["responses"]["200"]
    assert stream["content"] == {"text/csv": {"schema": {"type": "string"}}}


def test_a_body_of_any_type_is_shown_as_that(paths: Any) -> None:
    content = paths["/photos/take"]["post"]["requestBody"]["content"]
    assert list(content) == ["*/*", "multipart/form-data"]
    assert content["*/*"]["schema"] == BINARY


def test_a_file_that_says_itself_what_it_is_has_parts_and_conditions(paths: Any) -> None:
    operation = paths["/photos/give"]["get"]
    assert [one["name"] for one in operation["parameters"]] == ["Range", "If-Range", "If-None-Match", "name"]
    assert {"200", "206", "304"} <= set(operation["responses"])
    assert operation["responses"]["206"]["content"] == {"*/*": {"schema": BINARY}}


def test_what_is_done_once_by_its_key_says_so(paths: Any) -> None:
    """A unary call that is no GET; streams have no key."""

    def names(path: str, method: str) -> list[str]:
        return [one["name"] for one in paths[path][method].get("parameters", [])]

    assert "Idempotency-Key" in names("/photos/add", "post")
    assert "Idempotency-Key" not in names("/photos/draw", "get")
    assert "Idempotency-Key" not in names("/photos/take", "post")
