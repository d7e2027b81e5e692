"""A form is read alike however its bytes arrive."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.web.gateway.forms import FormReader, Part, PartHead, form_fields

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\%\r\n', exclude_categories=("Cc", "Cs")), min_size=1, max_size=9
)
CONTENT = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--", b"B", b"--B", b"\r\n--B", b"\r", b"\n", b"-"]), max_size=8).map(b"".join),
)
PARTS = st.lists(st.tuples(NAMES, st.none() | NAMES, CONTENT), max_size=5)


def write(parts: list[tuple[str, str | None, bytes]], boundary: str) -> bytes:
    body = b""
    for name, file, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        head += f'; filename="{file}"\r\nContent-Type: image/png' if file is not None else ""
        body += head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def read(body: bytes, boundary: str, cuts: list[int]) -> list[Part]:
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]

    async def next_piece() -> bytes:
        return pieces.pop(0) if pieces else b""

    async def parts() -> list[Part]:
        form = FormReader(boundary, next_piece)
        found = []
        while (head := await form.next_part()) is not None:
            found.append(Part(head, await form.content(10_000)))
        return found

    return asyncio.run(parts())


@given(PARTS, st.lists(st.integers(0, 2000), max_size=12))
def test_cuts_change_nothing(parts: list[tuple[str, str | None, bytes]], cuts: list[int]) -> None:
    boundary = "Bou-ndary"
    body = write(parts, boundary)
    expected = [
        Part(PartHead(name, file, "image/png" if file is not None else ""), content) for name, file, content in parts
    ]
    if any(f"--{boundary}".encode() in content for _, _, content in parts):
        return
    assert read(body, boundary, cuts) == expected


def test_an_endless_preamble_is_refused() -> None:
    """However it arrives, and without holding it."""

    async def next_piece() -> bytes:
        return b"x" * 1000

    with pytest.raises(errors.BadRequest, match="does not begin with its boundary"):
        asyncio.run(FormReader("XX", next_piece).next_part())


@given(st.lists(st.tuples(st.sampled_from(["a", "a.b", "a.b.c", "tags", "file"]), CONTENT), max_size=6))
def test_any_parts_set_fields_or_are_refused(given_parts: list[tuple[str, bytes]]) -> None:
    """Nothing that a client sends is an error of ours."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "a": {"type": "object"},
            "tags": {"type": "array", "items": {"type": "integer"}},
            "file": {"type": "string", "contentEncoding": "base64"},
        },
    }
    try:
        fields = form_fields([Part(PartHead(name, None, ""), content) for name, content in given_parts], schema)
    except errors.BadRequest:
        return
    assert set(fields) <= {"a", "tags", "file"}
