"""One connection as such: what it may send and for how long, and how it is refused.

uvicorn's protocol leaves some of that open; it is closed here for whatever answers the requests: bounds on heads and
trailers, slow heads and bodies, clients that do not read, malformed bytes behind answers in flight, upgrades that nobody
serves, versions that nobody speaks. Where a WebSocket is asked for, what follows the request goes into a channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from microlite.core import errors
from microlite.web.gateway.channel import Channel
from microlite.web.gateway.refusals import HeadTooLarge, UriTooLong, VersionNotSupported

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from microlite.web.gateway.edge import Edge


class Stop(Exception):
    """Leaves the parser, which must see nothing more of this connection."""


class BoundedConnection(HttpToolsProtocol):
    """A connection that is parsed, bounded and refused; what becomes of a request is up to the subclass.

    Args:
        edge: what all connections share.
        config: of uvicorn.
        server_state: of uvicorn: the set of connections and of tasks.
        loop: the running one.
    """

    def __init__(self, edge: Edge, config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, server_state, {}, loop)
        self.edge = edge
        self.cycle: Any = None
        """The request that was read last, as uvicorn has it; not every one is of uvicorn's class."""
        self.client_name = ""
        self.channel: Channel | None = None
        """What comes after the request that asked for a WebSocket, the last one on its connection."""
        self._chunk: bytes | None = None
        """What was received last, if it began with the message that is being parsed."""
        self._parsing = False
        """Within a message: its first byte is there, its last is not."""
        self._head_done = False
        self._begun = False
        """The message being parsed has become a request: `cycle` is its own."""
        self._upgrading = False
        self._heard = False
        """The parser has passed on something of what was received last."""
        self._head_bytes = self._silent_bytes = 0
        self._deaf = False
        """Nothing that still arrives is looked at."""
        self._last_words: errors.Error | None = None
        """The refusal that ends the connection, once what came before it is answered."""
        self._head_since = self._body_since = self._idle_since = self._linger_since = self._stuck_since = 0.0
        self._stuck_size = 0
        """Bytes that waited to be written at the last round."""

    # -- what the subclass does ----------------------------------------------------------------------------------------

    def begin(self, version: str) -> None:
        """The head of a request is complete: answer it, and set `_begun` with its cycle."""
        raise NotImplementedError

    def withdraw(self) -> bool:
        """Take back the latest request, whose body is malformed or too slow.

        Returns:
            Whether it is its turn to be answered and nothing was answered yet, so that a refusal can be said instead.
        """
        raise NotImplementedError

    # -- the transport -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection, or turn it away where there are too many."""
        super().connection_made(transport)
        self.client_name = self.client[0] if self.client else ""
        self._idle_since = self.loop.time()
        if self.edge.stopping or len(self.connections) > self.edge.options.max_connections:
            self._refuse(errors.ServiceUnavailable("too many connections are open; try again", id="gateway"))

    def sweep(self, now: float) -> None:
        """End what has lasted too long. Called now and then, which is cheaper than a timer for each request.

        Args:
            now: the time of the loop.
        """
        options = self.edge.options
        waiting = self.transport.get_write_buffer_size()
        if waiting != self._stuck_size or not waiting:
            self._stuck_size, self._stuck_since = waiting, now
        if now - self._stuck_since > options.write_timeout:
            self.transport.abort()  # closing would wait until all is written
        elif self._linger_since:
            if waiting:
                self._linger_since = now
            elif now - self._linger_since > options.linger:
                self.transport.abort()
        elif self.channel is not None:
            self.channel.sweep(now)
        elif self._deaf or self.flow.read_paused:
            return
        elif self._head_since and now - self._head_since > options.head_timeout:
            self._refuse(errors.Timeout("the head of the request did not arrive in time", id="gateway"))
        elif self._body_since and now - self._body_since > options.body_timeout:
            self._refuse(errors.Timeout("the body of the request did not arrive in time", id="gateway"))
        elif self._idle_since and now - self._idle_since > options.keep_alive:
            self.transport.close()

    def hang_up(self) -> None:
        """Close after the last answer, without a reset where the client is still sending."""
        if self._parsing or self.channel is not None:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Close our half, and drop what the client still sends.

        Closing with bytes unread would reset the connection, and the answer might never be read (RFC 9112, section 9.6).
        """
        self._deaf = True
        self._linger_since = self.loop.time()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # -- parsing -------------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        if self.channel is not None:
            self.channel.feed(data)
            return
        while data and not self._deaf:
            began = self._parsing
            self._chunk = None if began else data
            self._heard = False
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if not self._upgrading:
                    self._parse(data)  # into the channel
                    return
                data = self._without_upgrade(data)
                continue
            except httptools.HttpParserError as error:
                if not self._deaf:
                    self._refuse(errors.BadRequest(f"this is not HTTP: {error}", id="gateway"))
                return
            if self._parsing:
                self._count_unparsed(len(data), whole=began or self._chunk is not None)
            return

    def _count_unparsed(self, size: int, *, whole: bool) -> None:
        """Bound what the parser holds back: heads and trailers that do not end, and a single header without end."""
        limit = self.edge.options.max_head
        if not self._head_done:
            self._head_since = self._head_since or self.loop.time()
            self._head_bytes += size if whole else 0
            if self._head_bytes > limit:
                self._refuse(HeadTooLarge(f"the head of the request is larger than {limit:,} bytes", id="gateway"))
        elif self._heard:
            self._silent_bytes = 0
        else:
            self._silent_bytes += size
            if self._silent_bytes > limit:
                self._refuse(HeadTooLarge(f"the trailers are larger than {limit:,} bytes", id="gateway"))

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The message that asked for an upgrade, as one that does not, and what came after it.

        A server may ignore an upgrade (RFC 9110, section 7.8), and curl asks for HTTP/2 that way with any request; the
        parser stops there, with the body unread.
        """
        self._upgrading = False
        lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = (token.strip() for token in value.split(b","))
                value = b", ".join(token for token in tokens if token.lower() not in (b"upgrade", b"http2-settings"))
            if name not in (b"upgrade", b"http2-settings"):
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parsing = False
        return b"\r\n".join((*lines, b"", rest))

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._deaf:
            raise Stop
        self.url = b""
        self.headers = []
        self._parsing = True
        self._head_done = self._begun = False
        self._head_bytes = self._silent_bytes = 0
        self._idle_since = 0.0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self.url += url
        limit = self.edge.options.max_url
        if len(self.url) > limit:
            self._stop(UriTooLong(f"the request target is longer than {limit:,} bytes", id="gateway"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is counted and not looked at: it comes after all that it could change."""
        options = self.edge.options
        if self._head_done:
            self._heard = True
            self._head_bytes += len(name) + len(value) + 4
            if self._head_bytes > options.max_head:
                self._stop(HeadTooLarge(f"the trailers are larger than {options.max_head:,} bytes", id="gateway"))
            return
        self.headers.append((name.lower(), value))
        if len(self.headers) > options.max_headers:
            self._stop(HeadTooLarge(f"the request has more than {options.max_headers} headers", id="gateway"))

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_done = True
        self._head_since = 0.0
        limit = self.edge.options.max_head
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > limit:
            self._stop(HeadTooLarge(f"the head of the request is larger than {limit:,} bytes", id="gateway"))
        self._head_bytes = 0
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._stop(VersionNotSupported(f"HTTP/{version} is not spoken here", id="gateway"))
        if version == "1.0" and any(name == b"transfer-encoding" for name, _ in self.headers):
            # Proxies of that time pass it on and end the body elsewhere (RFC 9112, section 6.1).
            self._stop(errors.BadRequest("HTTP/1.0 has no Transfer-Encoding", id="gateway"))
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._stop(errors.MethodNotAllowed("this is no proxy", id="gateway"))
            if not self._asks_for_websocket(version):
                self._upgrading = True
                return
            self.channel = Channel(self.transport, self.flow, self.loop)
        try:
            self.begin(version)
        except Stop:
            raise
        except Exception:  # noqa: BLE001 - an edge: the parser would make a 400 of it; it is logged and answered
            self._stop(self.edge.failed("the head of a request"))

    def _asks_for_websocket(self, version: str) -> bool:
        """Whether the upgrade is to the one protocol that there is (RFC 6455, section 4.2.1); any other is ignored."""
        fields = dict(self.headers)
        return (
            self.parser.get_method() == b"GET"
            and version == "1.1"
            and fields[b"upgrade"].lower() == b"websocket"
            and b"transfer-encoding" not in fields
            and not fields.get(b"content-length", b"").strip(b"0")
        )

    # -- refusing ------------------------------------------------------------------------------------------------------

    def _stop(self, error: errors.Error) -> None:
        """Refuse, from within the parser."""
        self._refuse(error)
        raise Stop

    def _refuse(self, error: errors.Error) -> None:
        """End the connection with an error that concerns what is being read, behind the answers to all before it."""
        self._deaf = True
        self._last_words = error
        if self._parsing and self._begun:
            if self.cycle.response_complete:
                self.transport.close()  # it has its answer
            elif self.withdraw():
                self._say_last_words()
        elif self.cycle is None or (self.cycle.response_complete and not self.pipeline):
            self._say_last_words()

    def _say_last_words(self) -> None:
        error, self._last_words = self._last_words, None
        if error is None or self.transport.is_closing():
            return
        self.edge.stats(None).observe(error.code, 0.0)
        self.edge.note(self.client_name, "-", self.url if self._parsing else b"-", error.code, 0.0)
        self.transport.write(self.edge.answers.error(error, (b"connection", b"close")))
        self._linger()
