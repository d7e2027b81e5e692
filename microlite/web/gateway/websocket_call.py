"""A call over a WebSocket: the first message is its request, further ones the client's stream, answers messages too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import Streaming
    from microlite.web.gateway.streams import StreamExchange
    from microlite.web.gateway.websocket import WebSocket

COMPLETE: Final = 1000
AGAIN: Final = 1012
"""The platform or the service restarts: the client may connect again, nothing of the call is lost by that.

(https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number)
"""


async def listen(
    socket: WebSocket, call: StreamExchange, start: Callable[[bytes], None], streaming: Streaming, patience: float
) -> None:
    """Start a call with the client's first message, and send each further one as an item of its stream.

    A message without a document, which JSON has no use for, says that the stream is complete. Returns when the client
    has closed or is gone.

    Args:
        socket: where the messages come from.
        call: takes the items.
        start: sends the call; its argument is the request's document, empty where the client has nothing to say.
        streaming: whether the endpoint takes a stream.
        patience: seconds that the first message may take.

    Raises:
        Timeout: it did not come in time.
        BadRequest: a message came that the endpoint does not take.
        Error: the request is refused; or the callee ended the call.
    """
    try:
        async with asyncio.timeout(patience):
            message = await socket.receive()
    except TimeoutError:
        raise errors.Timeout("the first message, which is the request, did not come in time", id="gateway") from None
    if message is None:
        return
    start(message.strip())
    takes_items = streaming.from_client
    while (message := await socket.receive()) is not None:
        document = message.strip()
        if document and not takes_items:
            raise errors.BadRequest(
                "this stream was complete already: an empty message ends it"
                if streaming.from_client
                else "the endpoint takes one message, its request; open another WebSocket for another call",
                id="gateway",
            )
        if document:
            await call.send_item(document)
        elif takes_items:
            takes_items = False
            await call.send_end()


async def speak(socket: WebSocket, call: StreamExchange, streaming: Streaming) -> tuple[int, str]:
    """Send what a call answers: each item, or the one reply, or the error that ended it.

    Returns:
        Code and reason for closing the WebSocket.
    """
    try:
        while (items := await call.take()) is not None:
            await socket.send(items)
            call.release(items)
    except errors.Error as error:
        await socket.send([msgspec.json.encode({"error": error.as_dict()})])
        return close_code(error), str(error)
    if not streaming.from_server:
        await socket.send([call.reply or b"null"])
    return COMPLETE, ""


def close_code(error: errors.Error) -> int:
    """The code for an error: 4000 more than that of HTTP, or 1012 where connecting again is what helps."""
    if isinstance(error, errors.ServiceUnavailable) and not isinstance(error, errors.OutcomeUnknown):
        return AGAIN
    return 4000 + error.code
