"""Streams that say themselves what they are: a file of any size and type, with ranges and conditional requests."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from microlite.core import errors
from microlite.core.description.file_head import FileHead
from microlite.core.description.media_type import is_media_type
from microlite.core.description.ranges import Range
from microlite.web.gateway.answers import error_body
from microlite.web.gateway.conditional import is_known
from microlite.web.gateway.exchange import NO_CACHE
from microlite.web.gateway.refusals import RangeNotSatisfiable, ResponseAborted
from microlite.web.gateway.sandbox import SANDBOX, needs_sandbox

if TYPE_CHECKING:
    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.streams import StreamExchange

_decode_head: Final = msgspec.msgpack.Decoder(FileHead).decode
_decode_piece: Final = msgspec.msgpack.Decoder(bytes).decode
_UNSAFE: Final = str.maketrans("", "", "".join(map(chr, (*range(32), 127))) + '"\\')


async def pump_file(exchange: Exchange, call: StreamExchange) -> None:
    """Write a file to the client as its head says it, or only that the client has it already.

    Raises:
        Error: the call failed before anything was sent.
        BadGateway: what came is no file.
        ResponseAborted: it failed later, which only the end of the connection can tell.
    """
    items = await call.take()
    if not items:
        raise errors.BadGateway("the stream ended before it said what it is", id="gateway")
    head = _read_head(items[0])
    told = exchange.head.metadata
    wanted = told.get("range", "") if exchange.method == "GET" else ""
    headers = _headers(head)
    if head.etag and exchange.method in ("GET", "HEAD") and is_known(head.quoted_etag, told.get("if-none-match", "")):
        await exchange.respond(304, headers=headers)
        return
    length = head.stop - head.first
    status = 200
    if wanted and not length and head.size:
        error = RangeNotSatisfiable(f"the file has {head.size:,} bytes, and not these", id="gateway")
        await exchange.respond(error.code, error_body(error), headers=[(b"content-range", b"bytes */%d" % head.size)])
        return
    if wanted and length < head.size:
        status = 206
        headers.append((b"content-range", Range(head.first, head.stop, head.size).content_range.encode()))
    await exchange.start(
        status, [(b"content-type", head.content_type.encode()), (b"content-length", b"%d" % length), *headers]
    )
    if exchange.method == "HEAD":
        await exchange.write(b"", more=False)
        return
    await _write(exchange, call, items, length)


async def _write(exchange: Exchange, call: StreamExchange, items: list[bytes] | None, length: int) -> None:
    """Write the pieces, the head among the first items aside, until there are as many bytes as were announced."""
    sent = 0
    pieces = (items or [])[1:]
    try:
        while items is not None:
            block = b"".join(map(_decode_piece, pieces))
            sent += len(block)
            if sent > length:
                raise errors.BadGateway("the file is longer than its head said", id="gateway")
            if block:
                await exchange.write(block)
            call.release(items)
            items = await call.take()
            pieces = items or []
        if sent < length:
            raise errors.BadGateway("the file is shorter than its head said", id="gateway")
    except (errors.Error, msgspec.DecodeError):
        if exchange.gone:
            raise
        raise ResponseAborted from None
    await exchange.write(b"", more=False)


def _read_head(item: bytes) -> FileHead:
    try:
        head = _decode_head(item)
    except msgspec.DecodeError:
        raise errors.BadGateway("the stream did not begin with what it is, a FileHead", id="gateway") from None
    if not is_media_type(head.content_type) or not 0 <= head.first <= head.stop <= head.size:
        raise errors.BadGateway("what the stream says of itself cannot be", id="gateway")
    if not all("\x21" <= one <= "\x7e" and one != '"' for one in head.etag):
        raise errors.BadGateway("the entity tag of the file has characters that cannot stand there", id="gateway")
    return head


def _headers(head: FileHead) -> Headers:
    """All that is said whatever part is sent, the type and length aside.

    What may be a page gets a sandbox: the gateway's origin belongs to all services, and no page of one may act for it.
    """
    headers: Headers = [(b"accept-ranges", b"bytes"), NO_CACHE]
    if head.etag:
        headers.append((b"etag", head.quoted_etag.encode()))
    if head.modified_at is not None:
        headers.append((b"last-modified", formatdate(head.modified_at, usegmt=True).encode()))
    if head.name:
        plain = head.name.translate(_UNSAFE).encode("ascii", "replace").decode()
        full = quote(head.name, safe="")
        headers.append((b"content-disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}".encode()))
    if needs_sandbox([head.content_type.encode()]):
        headers.append((b"content-security-policy", SANDBOX))
    return headers
