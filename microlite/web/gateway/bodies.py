"""What a request says with its body, its query and its path, as the payload of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.web.gateway.fields import convert_params, parse_query

if TYPE_CHECKING:
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.streams import StreamExchange
    from microlite.web.gateway.table import Target

LINE_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
"""Content types of a body whose lines are JSON documents."""

_decode = msgspec.json.decode
_encode = msgspec.json.encode


def media_type(exchange: Exchange) -> str:
    """The content type without parameters, in lower case.

    Raises:
        UnsupportedMediaType: it is in an encoding other than UTF-8, or compressed.
    """
    text = exchange.head.text(b"content-type")
    name, _, parameters = text.partition(";")
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "charset" and value.strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise errors.UnsupportedMediaType(f"the body is in {value}; send UTF-8", id="gateway")
    coding = exchange.head.text(b"content-encoding").lower()
    if coding not in ("", "identity"):
        raise errors.UnsupportedMediaType(f'the body is compressed with "{coding}"; send it plain', id="gateway")
    return name.strip().lower()


async def read_document(exchange: Exchange) -> bytes:
    """The JSON document of the body, unchecked; empty where there is no body, or the method takes none.

    A body needs a content type that a page of another origin cannot send without being asked for leave (CORS), which
    rules out a missing one.

    Raises:
        UnsupportedMediaType: the body is not JSON.
        PayloadTooLarge: it is too large.
        Timeout: it came too slowly.
    """
    if exchange.method in ("GET", "HEAD"):
        await exchange.body()
        return b""
    if exchange.has_body:
        kind = media_type(exchange)
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            given = f'"{kind}" is not understood here' if kind else "the body has no content type"
            raise errors.UnsupportedMediaType(f"{given}; send application/json", id="gateway")
    return await exchange.body()


def request_payload(target: Target, query: bytes, document: bytes) -> bytes:
    """The fields of a request as JSON: those of the query, over them those of the body, over them those of the path.

    Raises:
        BadRequest: the query is malformed; or fields have to be merged, and the body is not a JSON object.
    """
    assert target.endpoint is not None  # no program
    if not query and not target.params:
        return document or b"{}"
    schema = target.endpoint.request
    fields = parse_query(query, schema)
    if document:
        try:
            body: Any = _decode(document)
        except (msgspec.DecodeError, RecursionError) as error:
            raise errors.BadRequest(f"the body is not JSON: {error}", id="gateway") from None
        if not isinstance(body, dict):
            raise errors.BadRequest("the body must be a JSON object, whose members are the fields", id="gateway")
        fields.update(body)
    fields.update(convert_params(target.params, schema))
    return _encode(fields)


def check_lines(exchange: Exchange) -> None:
    """Make sure that the body, if there is one, consists of JSON lines.

    Raises:
        UnsupportedMediaType: its content type says otherwise.
    """
    kind = media_type(exchange)
    if exchange.has_body and kind not in LINE_TYPES:
        raise errors.UnsupportedMediaType(
            f'"{kind}" is not understood here; send application/x-ndjson, a JSON document on each line', id="gateway"
        )


async def send_lines(exchange: Exchange, call: StreamExchange) -> None:
    """Send each line of the body as an item of the client's stream, at the pace of the callee. Empty lines are none.

    Returns when the client is gone.

    Raises:
        PayloadTooLarge: a line is too long.
        Canceled: the client went away within the body; or the callee ended the call.
    """
    limit = exchange.edge.options.max_body
    rest = bytearray()
    while piece := await exchange.next_piece(None):
        end = piece.rfind(b"\n")
        if end >= 0:
            rest += piece[:end]
            lines, rest = rest, bytearray(piece[end + 1 :])
            for line in lines.split(b"\n"):
                await _send_line(call, line, limit)
        else:
            rest += piece
        if len(rest) > limit:
            raise errors.PayloadTooLarge(f"a line is longer than the limit of {limit:,} bytes", id="gateway")
    await _send_line(call, rest, limit)
    await call.send_end()
    await exchange.until_gone()


async def _send_line(call: StreamExchange, line: bytearray, limit: int) -> None:
    document = bytes(line.strip())
    if len(document) > limit:
        raise errors.PayloadTooLarge(f"a line is longer than the limit of {limit:,} bytes", id="gateway")
    if document:
        await call.send_item(document)
