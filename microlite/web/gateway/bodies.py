"""What a request says with its body, its query and its path, as the payload of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.core import errors
from microlite.core.description.rejection import bad_payload
from microlite.core.description.structs import Encoding
from microlite.web.gateway.fields import convert_params, parse_query
from microlite.web.gateway.forms import FormReader, Part, form_fields, read_boundary
from microlite.web.gateway.origins import FORM, MULTIPART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.table import Target

_decode = msgspec.json.decode
_encode = msgspec.json.encode
_EMPTY: Final = b"{}"


class Request(NamedTuple):
    """The fields of a request, as a call carries them: `encoding` is JSON or, where they hold bytes, MessagePack."""

    payload: bytes
    encoding: Encoding = Encoding.JSON


def media_type(exchange: Exchange) -> str:
    """The content type without parameters, in lower case.

    Raises:
        UnsupportedMediaType: it is in an encoding other than UTF-8.
    """
    text = exchange.head.text(b"content-type")
    name, _, parameters = text.partition(";")
    for parameter in parameters.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.lower() == "charset" and value.strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
            raise errors.UnsupportedMediaType(f"the body is in {value}; send UTF-8", id="gateway")
    return name.strip().lower()


def refuse_type(kind: str, wanted: str) -> errors.Error:
    """The error for a content type, or none, that is not understood here."""
    given = f'"{kind}" is not understood here' if kind else "the body has no content type"
    return errors.UnsupportedMediaType(f"{given}; send {wanted}", id="gateway")


async def read_request(exchange: Exchange, target: Target) -> Request:
    """The fields of a request: those of the query, over them those of the body, over them those of the path.

    A method that takes no body has it read and dropped.

    Raises:
        UnsupportedMediaType: the body is neither JSON nor a form.
        BadRequest: query or body is malformed.
        PayloadTooLarge: the body is too large.
        Timeout: it came too slowly.
    """
    assert target.endpoint is not None  # no program
    if exchange.method in ("GET", "HEAD") or not exchange.has_body:
        await exchange.body()
        return merge(target, exchange.query)
    kind = media_type(exchange)
    if kind == FORM:
        return merge(target, exchange.query, parse_query(_form(await exchange.body()), target.endpoint.request, "form"))
    if kind == MULTIPART:
        parts = await _read_parts(exchange)
        return merge(target, exchange.query, form_fields(parts, target.endpoint.request))
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise refuse_type(kind, "application/json or a form")
    return read_document(target, exchange.query, await exchange.body())


def read_document(target: Target, query: bytes, document: bytes) -> Request:
    """The fields of a JSON document with those of query and path; the document as it came where there are no others.

    Raises:
        BadRequest: the query is malformed; or fields have to be merged, and the document is no JSON object.
    """
    if not query and not target.params:
        return Request(document or _EMPTY)
    return merge(target, query, _object(document))


def merge(target: Target, query: bytes, body: Mapping[str, Any] | None = None, *, as_msgpack: bool = False) -> Request:
    """The fields of all three places as one payload.

    Args:
        target: knows the schema, and the parameters of the path.
        query: without its question mark.
        body: fields of the body.
        as_msgpack: whether it has to be MessagePack; else it is only where a field is bytes.

    Raises:
        BadRequest: the query is malformed.
    """
    assert target.endpoint is not None  # no program
    if not query and not target.params and not body and not as_msgpack:
        return Request(_EMPTY)
    schema = target.endpoint.request
    fields = {**parse_query(query, schema), **(body or {}), **convert_params(target.params, schema)}
    if as_msgpack or _holds_bytes(fields):
        try:
            return Request(msgspec.msgpack.encode(fields), Encoding.MSGPACK)
        except OverflowError:
            raise errors.BadRequest(
                "a number is too large: beside the content of a file, whole numbers have at most 64 bits", id="gateway"
            ) from None
    return Request(_encode(fields))


def _form(body: bytes) -> bytes:
    """The body, if it is not JSON that goes by the name of a form, as `curl -d` sends it."""
    if body.lstrip()[:1] in (b"{", b"["):
        raise errors.UnsupportedMediaType(
            "the body is JSON, and its content type says that it is a form; send it as application/json "
            "(curl -H 'Content-Type: application/json')",
            id="gateway",
        )
    return body


def _object(document: bytes) -> dict[str, Any]:
    if not document:
        return {}
    try:
        return _decode(document, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refusal = bad_payload(error, document, Encoding.JSON, {})
        raise errors.BadRequest(refusal.detail, id="gateway") from None


async def _read_parts(exchange: Exchange) -> list[Part]:
    """The parts of a form that fits into the limit for a body."""
    pieces = [await exchange.body()]
    form = FormReader(read_boundary(exchange.head.text(b"content-type")), _reader(pieces))
    parts: list[Part] = []
    limit = exchange.edge.options.max_body
    while (head := await form.next_part()) is not None:
        parts.append(Part(head, await form.content(limit)))
    return parts


def _reader(pieces: list[bytes]) -> Any:
    async def read() -> bytes:
        return pieces.pop() if pieces else b""

    return read


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_bytes, value.values()))
    if isinstance(value, list):
        return any(map(_holds_bytes, value))
    return isinstance(value, bytes)
