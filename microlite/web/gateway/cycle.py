"""One request that the ASGI application answers: the two channels between the application and the connection."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.web.gateway.answers import LOCKED, NO_SNIFF, STATUS_LINES, error_body
from microlite.web.gateway.refusals import ResponseAborted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from microlite.web.gateway.channel import Channel
    from microlite.web.gateway.protocol import GatewayProtocol

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODY_WATER: Final = 64 * 1024
"""Bytes of a body that wait for the application before the connection is read no further."""

_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Cycle:
    """Request and response of one ASGI call (https://asgi.readthedocs.io/en/latest/specs/www.html).

    It does what uvicorn's cycle does, and where that falls short, more: an answer to HTTP/1.0 is delimited by the end of
    the connection and not chunked; a refused body that is still arriving does not turn the answer into a reset; an
    unasked-for body after `Expect` does not pass for the next request; errors are JSON.
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_left",
        "_must_ask",
        "_protocol",
        "body",
        "disconnected",
        "gone",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "upgraded",
    )

    def __init__(
        self, protocol: GatewayProtocol, scope: MutableMapping[str, Any], *, keep_alive: bool, expects: bool
    ) -> None:
        self._protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self._must_ask = expects
        self.message_event = asyncio.Event()
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.gone: Callable[[], None] | None = None
        """Called when the client is gone; what the application can set by the scope's extension `microlite.gone`."""
        self._chunked = False
        self._head = b""
        self._left: int | None = 0
        """Bytes that the announced length still wants; None where none was announced."""
        self.upgraded = False
        """The connection has left HTTP, for as long as the application runs."""

    # -- what the connection tells -------------------------------------------------------------------------------------

    def feed(self, body: bytes) -> None:
        """A piece of the body arrived."""
        self.body += body
        if len(self.body) > BODY_WATER:
            self._protocol.flow.pause_reading()
        self.message_event.set()

    def end(self) -> None:
        """The body is complete."""
        self.more_body = False
        self.message_event.set()

    def disconnect(self) -> None:
        """The client is gone, or no longer gets this answer."""
        self.disconnected = True
        self.message_event.set()
        if self.gone is not None:
            self.gone()

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Call `callback` when the client is gone; for None, nothing any more."""
        self.gone = callback

    # -- what the application uses -------------------------------------------------------------------------------------

    async def run(self, application: Application) -> None:
        """Let the application answer, and end the connection where it does not do so in full."""
        transport = self._protocol.transport
        try:
            await application(self.scope, self.receive, self.send)
        except ResponseAborted:
            if self.scope["http_version"] == "1.0":
                transport.abort()
            else:
                transport.close()
        except asyncio.CancelledError:
            transport.close()
            raise
        except Exception:  # noqa: BLE001 - an edge: it is logged and answered
            await self._fail(self._protocol.edge.failed(self.scope["path"]))
        else:
            if self.upgraded:
                self._end_upgraded()
            elif not self.response_complete and not self.disconnected:
                await self._fail(errors.InternalServerError("the gateway found no answer", id="gateway"))

    async def _fail(self, error: errors.Error) -> None:
        if self.response_started:
            self._protocol.transport.close()
            return
        body = error_body(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), NO_SNIFF, LOCKED]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        """The next piece of the body, or that the client is gone."""
        protocol = self._protocol
        if self._must_ask and not protocol.transport.is_closing():
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._must_ask = False
        if not self.disconnected and not self.response_complete:
            if not protocol.pipeline:  # what waits there bounds what is read ahead
                protocol.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send the head or a piece of the body, when the client has room for it."""
        flow = self._protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message["status"], message["headers"])
        elif not self.response_complete:
            self._continue(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError("the answer is complete already")

    def upgrade(self, headers: Iterable[tuple[bytes, bytes]]) -> Channel:
        """Answer that the connection goes on in another protocol; it does so while the application runs.

        The application finds this as the scope's extension `microlite.upgrade`, where the client asks for a WebSocket.

        Returns:
            What the client sends, and the way to it.
        """
        channel = self._protocol.channel
        assert channel is not None  # the extension is not there without it
        self.response_started = self.upgraded = True
        lines = [STATUS_LINES[101], self._protocol.edge.answers.common, b"connection: Upgrade\r\n"]
        for name, value in headers:
            _check_header(name, value)
            lines.append(b"%b: %b\r\n" % (name, value))
        channel.write(b"".join((*lines, b"\r\n")))
        self.gone = channel.feed_eof
        if self.disconnected:
            channel.feed_eof()
        return channel

    def _end_upgraded(self) -> None:
        self.response_complete = True
        if not self.disconnected:
            self._protocol.hang_up()
            self._protocol.on_response_complete()

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        if self._must_ask:
            # The client may now send the body or leave it out: nobody can tell where the next request would begin.
            self._must_ask = False
            self.keep_alive = False
        parts = [STATUS_LINES[status], self._protocol.edge.answers.common]
        length: int | None = None
        for name, value in headers:
            _check_header(name, value)
            if name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            if name == b"content-length":
                length = int(value)
            parts += (name, b": ", value, b"\r\n")
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = length
        else:
            self._left = None
            if self.scope["http_version"] == "1.0":
                self.keep_alive = False
            else:
                self._chunked = True
                parts.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        self._head = b"".join(parts)
        if length is None:
            self._write(b"")  # a stream, whose first item may be long in coming

    def _write(self, data: bytes) -> None:
        """Write, and before it the head, if that is still held back to go out together with the body."""
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self._protocol.transport.write(data)

    def _continue(self, body: bytes, more_body: bool) -> None:
        if self._chunked:
            parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            if not more_body:
                parts.append(b"0\r\n\r\n")
            self._write(b"".join(parts))
        elif self.scope["method"] != "HEAD" and body:
            if self._left is not None:
                self._left -= len(body)
                if self._left < 0:
                    raise RuntimeError("the body is longer than announced")
            self._write(body)
        else:
            self._write(b"")
        if not more_body:
            if self._left:
                raise RuntimeError("the body is shorter than announced")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self._protocol.hang_up()
            self._protocol.on_response_complete()


def _check_header(name: bytes, value: bytes) -> None:
    if _BAD_NAME.search(name) or _BAD_VALUE.search(value):
        raise RuntimeError(f"the header {name!r} is malformed")
