"""Answers in a media type that their endpoint declares: bytes or text as they are, in place of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.web.gateway.exchange import NO_CACHE
from microlite.web.gateway.refusals import ResponseAborted
from microlite.web.gateway.sandbox import SANDBOX, needs_sandbox

if TYPE_CHECKING:
    from microlite.core.description.structs import EndpointDescription
    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.streams import StreamExchange

_decode: Final = msgspec.msgpack.Decoder(bytes | None).decode
_decode_text: Final = msgspec.msgpack.Decoder(str).decode


def raw_type(endpoint: EndpointDescription) -> Headers:
    """The headers of a declared media type, `content-type` first.

    Text is UTF-8. A page gets a sandbox: the gateway's origin belongs to all services, and no page of one may act for it.
    """
    produces = endpoint.produces
    kind = produces.partition(";")[0].strip().lower()
    if kind.startswith("text/") and "charset=" not in produces.lower() and not _is_binary(endpoint):
        produces += "; charset=utf-8"
    headers: Headers = [(b"content-type", produces.encode())]
    if needs_sandbox([headers[0][1]]):
        headers.append((b"content-security-policy", SANDBOX))
    return headers


def raw_reply(payload: bytes, endpoint: EndpointDescription) -> bytes | None:
    """What a reply in MessagePack, or an item of a stream, holds; None for nothing.

    Raises:
        BadGateway: it is neither bytes nor text.
    """
    try:
        content: bytes | None = _decode(payload)
    except msgspec.ValidationError:
        try:
            text: str = _decode_text(payload)
            return text.encode()
        except (msgspec.DecodeError, UnicodeError):
            pass
    except msgspec.DecodeError:
        pass
    else:
        return content
    raise errors.BadGateway(
        f"{endpoint.name} declares {endpoint.produces}, and answered with neither bytes nor text", id="gateway"
    )


async def pump_raw(exchange: Exchange, call: StreamExchange, endpoint: EndpointDescription) -> None:
    """Write the items of a call to the client, one behind the other, until the stream ends.

    Raises:
        Error: the call failed before anything was sent.
        ResponseAborted: it failed later, which in the midst of a file nothing but the end of the connection can tell.
    """
    items = await call.take(exchange.edge.options.opening)
    await exchange.start(200, [*raw_type(endpoint), NO_CACHE, (b"x-accel-buffering", b"no")])
    try:
        while items is not None:
            if items:
                await exchange.write(b"".join(raw_reply(item, endpoint) or b"" for item in items))
                call.release(items)
            items = await call.take()
    except errors.Error:
        if exchange.gone:
            raise
        raise ResponseAborted from None
    await exchange.write(b"", more=False)


def _is_binary(endpoint: EndpointDescription) -> bool:
    """Whether the text comes as bytes, of which only the service knows the encoding."""
    choices = endpoint.response.get("anyOf") or (endpoint.response,)
    return any("contentEncoding" in choice for choice in choices)
