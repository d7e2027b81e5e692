"""One WebSocket of a client: its opening, whole messages in both directions, its end (RFC 6455).

The frames are the library websockets', which does no input or output of its own. It is imported with this module, at the
first WebSocket: that costs 30 ms, which the start of the platform is spared.
"""

from __future__ import annotations

import asyncio
import binascii
from base64 import b64decode
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.utils import accept_key

from microlite.core import errors
from microlite.web.gateway.deflate import negotiate
from microlite.web.gateway.refusals import UpgradeRequired
from microlite.web.gateway.subprotocols import Subprotocols

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.extensions import Extension

    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.channel import Channel
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.options import GatewayOptions

SLICE: Final = 16 * 1024
"""Bytes that are parsed at a time. It bounds what many small messages can become when they are decompressed."""

NO_PONG: Final = 4000 + errors.Timeout.code
"""The code with which a WebSocket ends whose client is silent."""

_MAX_REASON: Final = 123
"""Bytes of a close frame's reason (RFC 6455, section 5.5)."""


def open_websocket(exchange: Exchange) -> WebSocket:
    """Answer a request for a WebSocket.

    Raises:
        Error: it is refused; nothing has been sent.
    """
    edge = exchange.edge
    fields = exchange.head.fields
    if edge.stopping:
        raise errors.ServiceUnavailable("the platform is stopping; connect again", id="gateway")
    if exchange.head.text(b"sec-websocket-version") != "13":
        raise UpgradeRequired("a WebSocket is spoken in version 13 here (Sec-WebSocket-Version)", id="gateway")
    key = exchange.head.text(b"sec-websocket-key")
    if not _is_key(key):
        raise errors.BadRequest("Sec-WebSocket-Key must be 16 bytes in base64", id="gateway")
    edge.origins.check_websocket(exchange.head)
    agreed, extensions = negotiate(fields.get(b"sec-websocket-extensions"))
    headers: Headers = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", accept_key(key).encode())]
    if agreed:
        headers.append((b"sec-websocket-extensions", agreed))
    selected = Subprotocols(fields.get(b"sec-websocket-protocol")).selected
    if selected:
        headers.append((b"sec-websocket-protocol", selected.encode()))
    return WebSocket(exchange.switch(headers), extensions, edge.options, exchange.hold)


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


class WebSocket:
    """An open WebSocket.

    Only `receive` reads, so a client is read, and its pings are answered, at the pace at which that is called.

    Args:
        channel: to the client.
        extensions: what was agreed on.
        options: the settings.
        hold: is told how many bytes of a message that is not complete are in memory; see `Exchange.hold`.
    """

    def __init__(
        self, channel: Channel, extensions: list[Extension], options: GatewayOptions, hold: Callable[[int], None]
    ) -> None:
        self._channel = channel
        self._options = options
        self._hold = hold
        self._protocol = Protocol(Side.SERVER, max_size=options.max_body)
        self._protocol.extensions = extensions
        self._messages: deque[bytes] = deque()
        self._parts = bytearray()
        self._is_text = False
        self._broken = False
        """A message was malformed: what came behind it counts for nothing."""
        self._pinged = channel.heard
        channel.on_round = self._round

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close it, as far as is known."""
        return self._protocol.state is State.OPEN

    async def receive(self) -> bytes | None:
        """The next message, be it text or binary; None when no further one will come.

        Raises:
            ServiceUnavailable: there is no room for the message.
        """
        while not self._messages:
            if self._protocol.eof_sent:
                return None
            data = await self._channel.read(SLICE)
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._take(event)
            self._flush()
            self._hold(len(self._parts) + len(self._protocol.reader.buffer))
            # Whoever asks for pongs and reads none is read no further.
            await self._channel.drain()
        return self._messages.popleft()

    async def send(self, messages: list[bytes]) -> None:
        """Send messages of text as soon as the client has room for them; to a client that is gone, none."""
        await self._channel.drain()
        if self.is_open:
            for message in messages:
                self._protocol.send_text(message)
            self._flush()

    async def close(self, code: int, reason: str = "") -> None:
        """Close it, unless that was done already, and give the client a moment to do the same.

        What it still sends is read and dropped. Nobody else may read.

        Args:
            code: of the close frame.
            reason: for a person; what is too long for the frame is cut off.
        """
        await self._channel.drain()
        if self.is_open:
            self._protocol.send_close(code, _shortened(reason))
            self._flush()
        with suppress(TimeoutError, errors.ServiceUnavailable):
            async with asyncio.timeout(self._options.linger):
                while await self.receive() is not None:
                    pass

    def forget(self) -> None:
        """Let go of what arrived and nobody took, once it is over. What refers to this object may live on for a while."""
        self._messages.clear()
        self._parts = bytearray()
        self._protocol = Protocol(Side.SERVER, state=State.CLOSED)  # the one before holds the last frame
        self._hold(0)

    def _take(self, frame: Frame) -> None:
        """Put the frames of a message together; control frames need nothing more."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            self._parts = bytearray()
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts += frame.data
        if not frame.fin:
            return
        message, self._parts = bytes(self._parts), bytearray()
        if self._is_text and not _is_utf8(message):
            self._broken = True
            self._protocol.fail(CloseCode.INVALID_DATA, "a message of text must be UTF-8")
        elif not self._broken:
            self._messages.append(message)

    def _flush(self) -> None:
        """Send what the protocol has to say. The end of the connection, which it says as well, is its user's matter."""
        self._channel.write(b"".join(self._protocol.data_to_send()))

    def _round(self, now: float) -> None:
        """Send a ping when it is time, and give up a client that has long been silent."""
        if not self.is_open:
            return
        if now - self._channel.heard > self._options.pong:
            self._protocol.fail(NO_PONG, f"nothing came from the client in {self._options.pong:g} s, not even a pong")
            self._flush()
            self._channel.feed_eof()
        elif now - self._pinged >= self._options.ping and not self._channel.write_paused:
            self._pinged = now
            self._protocol.send_ping(b"")
            self._flush()


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shortened(reason: str) -> str:
    """As much of a text as a close frame has room for, in whole characters."""
    return reason.encode()[:_MAX_REASON].decode(errors="ignore")
