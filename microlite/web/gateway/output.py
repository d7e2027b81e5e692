"""Streams on their way out: one JSON document a line, or server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.web.gateway.answers import EVENT_STREAM, NDJSON, error_body
from microlite.web.gateway.event_ids import id_reader
from microlite.web.gateway.exchange import NO_CACHE

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.streams import StreamExchange

PING: Final = b": ping\n\n"
END: Final = b"event: end\ndata: null\n\n"
"""After it the client can tell a stream that is complete from one that broke, and need not connect again."""


def wants_events(exchange: Exchange) -> bool:
    """Whether the client asks for server-sent events."""
    return "text/event-stream" in exchange.head.metadata.get("accept", "")


async def pump(exchange: Exchange, call: StreamExchange, event_id: str = "") -> None:
    """Write the items of a call to the client until the stream ends.

    The head of the answer waits a moment for the first item: a call that fails at once is answered with its own status.
    Later an error is the last thing in the stream: the event `error`, or a line `{"error": …}`.

    Args:
        event_id: the field of each item that is sent as the id of its event; empty for none.

    Raises:
        Error: the call failed before anything was sent.
    """
    events = wants_events(exchange)
    read_id = id_reader(event_id) if event_id and events else None
    items = await call.take(exchange.edge.options.opening)
    await exchange.start(
        200,
        [
            (b"content-type", EVENT_STREAM if events else NDJSON),
            NO_CACHE,
            (b"x-accel-buffering", b"no"),
        ],
    )
    ping = exchange.edge.options.ping if events else None
    if events and not items:
        await exchange.write(PING)
    try:
        while items is not None:
            if items:
                await exchange.write(_events(items, read_id) if events else _lines(items))
                call.release(items)
            items = await call.take(ping)
            if items == []:
                await exchange.write(PING)
    except errors.Error as error:
        if exchange.gone:
            raise
        await exchange.write(_failure(error, events=events), more=False)
    else:
        await exchange.write(END if events else b"", more=False)


def _lines(items: list[bytes]) -> bytes:
    return b"".join([_one_line(item) + b"\n" for item in items])


def _events(items: list[bytes], read_id: Callable[[bytes], bytes] | None) -> bytes:
    if read_id is not None:
        return b"".join([read_id(item) + b"data: " + _one_line(item) + b"\n\n" for item in items])
    return b"".join([b"data: " + _one_line(item) + b"\n\n" for item in items])


def _one_line(item: bytes) -> bytes:
    """A JSON document without line breaks, which are white space there and nothing else."""
    if b"\n" in item or b"\r" in item:
        return item.replace(b"\n", b" ").replace(b"\r", b" ")
    return item


def _failure(error: errors.Error, *, events: bool) -> bytes:
    if events:
        retry = b"retry: 1000\n" if error.code == errors.ServiceUnavailable.code else b""
        return b"event: error\n" + retry + b"data: " + error_body(error) + b"\n\n"
    return msgspec.json.encode({"error": error.as_dict()}) + b"\n"
