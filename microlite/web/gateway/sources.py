"""Where the stream of a client comes from, when it is the body of one request: lines, bytes, or the file of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.description.schema_path import dereference
from microlite.core.description.uploads import is_bytes
from microlite.web.gateway.bodies import Request, media_type, merge, refuse_type
from microlite.web.gateway.forms import FormReader, Part, form_fields, read_boundary
from microlite.web.gateway.origins import MULTIPART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.forms import PartHead
    from microlite.web.gateway.streams import StreamExchange
    from microlite.web.gateway.table import Target

LINE_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
"""Content types of a body whose lines are JSON documents."""

OCTETS: Final = "application/octet-stream"

FILE_NAME: Final = "file-name"
FILE_TYPE: Final = "file-type"
"""Metadata of a call whose stream is a file of a form, or a body of any media type."""

_encode = msgspec.msgpack.encode


class Source(Protocol):
    """A client's stream.

    Attributes:
        request: the fields that come with it.
        metadata: what is said about it beside them.
    """

    request: Request
    metadata: Mapping[str, str]

    async def send(self, call: StreamExchange) -> None:
        """Send all of it, at the pace of the callee, and its end. Returns when the client is gone.

        Raises:
            Error: the body is malformed, too large or breaks off; or the callee ended the call.
        """
        ...


async def open_source(exchange: Exchange, target: Target) -> Source:
    """The stream that the body is. Of a form, the fields before the file have been read.

    Raises:
        UnsupportedMediaType: the body is nothing that this endpoint can be sent as a stream.
        BadRequest: the query or the form is malformed.
    """
    assert target.endpoint is not None  # no program
    items = target.endpoint.items or {}
    takes_bytes = is_bytes(dereference(items, items))
    if target.endpoint.consumes:
        if exchange.is_compressed:
            raise errors.UnsupportedMediaType("a stream is not taken compressed; send it plain", id="gateway")
        said = exchange.head.text(b"content-type")
        if said.partition(";")[0].strip().lower() != MULTIPART:
            return _Octets(exchange, merge(target, exchange.query, as_msgpack=True), said)
    kind = media_type(exchange)
    if exchange.is_compressed:
        raise errors.UnsupportedMediaType("a stream is not taken compressed; send it plain", id="gateway")
    if not exchange.has_body or kind in LINE_TYPES:
        return _Lines(exchange, merge(target, exchange.query))
    if takes_bytes and kind == OCTETS:
        return _Octets(exchange, merge(target, exchange.query, as_msgpack=True))
    if takes_bytes and kind == MULTIPART:
        return await _open_file(exchange, target)
    wanted = "application/x-ndjson, a JSON document on each line"
    if takes_bytes:
        wanted = f"{OCTETS}, {MULTIPART} with a file, or {wanted}"
    raise refuse_type(kind, wanted)


class _Lines:
    """Each line of the body is an item, a JSON document. Empty lines are none."""

    metadata: Mapping[str, str] = {}

    def __init__(self, exchange: Exchange, request: Request) -> None:
        self._exchange = exchange
        self.request = request
        self._limit = exchange.edge.options.max_body

    async def send(self, call: StreamExchange) -> None:
        """See `Source`."""
        rest = bytearray()
        while piece := await self._exchange.next_piece(None):
            end = piece.rfind(b"\n")
            if end >= 0:
                rest += piece[:end]
                lines, rest = rest, bytearray(piece[end + 1 :])
                for line in lines.split(b"\n"):
                    await self._send_line(call, line)
            else:
                rest += piece
            self._check(rest)
            self._exchange.hold(len(rest))
        await self._send_line(call, rest)
        await call.send_end()
        await self._exchange.until_gone()

    async def _send_line(self, call: StreamExchange, line: bytearray) -> None:
        document = bytes(line.strip())
        self._check(document)
        if document:
            await call.send_item(document)

    def _check(self, line: bytes | bytearray) -> None:
        if len(line) > self._limit:
            raise errors.PayloadTooLarge(f"a line is longer than the limit of {self._limit:,} bytes", id="gateway")


class _Octets:
    """The body is the stream, cut as it arrives."""

    def __init__(self, exchange: Exchange, request: Request, kind: str = "") -> None:
        self._exchange = exchange
        self.request = request
        self.metadata: Mapping[str, str] = {FILE_TYPE: kind} if kind else {}

    async def send(self, call: StreamExchange) -> None:
        """See `Source`."""
        while piece := await self._exchange.next_piece(None):
            await call.send_item(_encode(piece))
        await call.send_end()
        await self._exchange.until_gone()


class _File:
    """The last part of a form is the stream, cut as it arrives."""

    def __init__(self, exchange: Exchange, request: Request, form: FormReader, head: PartHead) -> None:
        self._exchange = exchange
        self.request = request
        self._form = form
        said = {FILE_NAME: head.file_name or "", FILE_TYPE: head.content_type}
        self.metadata: Mapping[str, str] = {key: value for key, value in said.items() if value}

    async def send(self, call: StreamExchange) -> None:
        """See `Source`."""
        while piece := await self._form.next_piece():
            await call.send_item(_encode(piece))
        behind = await self._form.next_part()
        if behind is not None:
            raise errors.BadRequest(
                f'the form: "{behind.name}" stands behind the file, which is streamed; put it before the file',
                id="gateway",
            )
        await call.send_end()
        await self._exchange.until_gone()


async def _open_file(exchange: Exchange, target: Target) -> _File:
    """Read a form up to the first file that is no field of the request."""
    assert target.endpoint is not None  # no program
    schema = target.endpoint.request
    known = schema.get("properties", {})
    options = exchange.edge.options
    form = FormReader(
        read_boundary(exchange.head.text(b"content-type")), lambda: exchange.next_piece(options.body_timeout)
    )
    parts: list[Part] = []
    room = options.max_body
    while (head := await form.next_part()) is not None:
        if head.file_name is not None and head.name.partition(".")[0] not in known:
            request = merge(target, exchange.query, form_fields(parts, schema), as_msgpack=True)
            return _File(exchange, request, form, head)
        content = await form.content(room)
        room -= len(content)
        exchange.hold(options.max_body - room)
        parts.append(Part(head, content))
    raise errors.BadRequest("the form has no file; add one, as in curl -F file=@NAME", id="gateway")
