"""One connection: uvicorn's protocol, with plain calls answered from the parser's callbacks.

Everything that is not plain goes to the ASGI application, as uvicorn would have it. `tests/gateway` holds that both
ways answer alike, and what uvicorn leaves open is closed here for both: bounds on heads, slow heads, trailers, the order
of a refusal behind answers in flight, upgrades that nobody serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from microlite.core import errors
from microlite.web.gateway.cycle import Cycle
from microlite.web.gateway.fast import FastCall, PlainRequest
from microlite.web.gateway.head import Head
from microlite.web.gateway.refusals import HeadTooLarge, UriTooLong, VersionNotSupported

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from microlite.web.gateway.cycle import Application
    from microlite.web.gateway.edge import Edge

MAX_KEPT_HEAD: Final = 2048
"""Bytes of the largest head that a connection remembers."""

_NOT_PLAIN: Final = frozenset(
    {
        *(b"expect", b"upgrade", b"origin", b"transfer-encoding", b"micro-namespace", b"content-encoding"),
        b"access-control-request-method",
    }
)
_JSON_TYPES: Final = frozenset(
    {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
)
_ADDRESSED: Final = (b"http://", b"https://", b"HTTP://", b"HTTPS://")


class _Stop(Exception):
    """Leaves the parser, which must see nothing more of this connection."""


class GatewayProtocol(HttpToolsProtocol):
    """A connection of the gateway.

    Args:
        edge: what all connections share.
        config: of uvicorn; its application answers what is not plain.
        server_state: of uvicorn: the set of connections and of tasks.
    """

    def __init__(self, edge: Edge, config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(config, server_state, {}, loop)
        self.edge = edge
        self.cycle: Any = None  # ours, or a fast call standing in
        self.client_name = ""
        self._known: PlainRequest | None = None
        self._collecting: FastCall | None = None
        """The fast call whose body is still arriving."""
        self._running: Any = None
        """The request being answered; `cycle` is the latest that was read."""
        self._pieces: list[bytes] = []
        self._chunk: bytes | None = None
        """What was received last, if it began with the message that is being parsed."""
        self._parsing = False
        """Within a message: its first byte is there, its last is not."""
        self._head_done = False
        self._begun = False
        """The message being parsed has become a request: `cycle` is its own."""
        self._upgrading = False
        self._head_bytes = 0
        self._silent_bytes = 0
        self._dropped = 0
        self._heard = False
        self._deaf = False
        """Nothing that still arrives is looked at."""
        self._last_words: errors.Error | None = None
        """The refusal that ends the connection, once what came before it is answered."""
        self._head_since = 0.0
        self._body_since = 0.0
        self._idle_since = 0.0
        self._linger_since = 0.0

    # -- the transport -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection, or turn it away where there are too many."""
        super().connection_made(transport)
        self.client_name = self.client[0] if self.client else ""
        self._idle_since = self.loop.time()
        if self.edge.stopping or len(self.connections) > self.edge.options.max_connections:
            self._refuse(errors.ServiceUnavailable("too many connections are open; try again", id="gateway"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all whose answer can no longer be delivered."""
        self._deaf = True
        for request in (self._running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if isinstance(request, FastCall):
                request.abandon()
            elif request is not None and not request.response_complete:
                request.disconnect()
        self.pipeline.clear()
        self._collecting = self._known = None
        super().connection_lost(exc)
        self.edge.connection_closed()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent: the head that is known already, or anything else by way of the parser."""
        known = self._known
        if (
            known is not None
            and len(data) == known.length
            and not self._parsing
            and self.cycle.response_complete
            and data.startswith(known.head)
            and known.version == self.edge.table.version
            and self.edge.active < self.edge.options.max_requests
            and not self.flow.write_paused
            and not self._deaf
        ):
            self._idle_since = 0.0
            self.cycle = self._running = call = FastCall(self, known, self.loop.time())
            call.payload = data[len(known.head) :] if known.size else b"{}"
            self._send(call)
        elif not self._deaf:
            self._parse(data)

    def sweep(self, now: float) -> None:
        """End what has lasted too long. Called now and then, which is cheaper than a timer for each request.

        Args:
            now: the time of the loop.
        """
        options = self.edge.options
        if self._linger_since:
            if now - self._linger_since > options.linger:
                self.transport.abort()
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
        if self._parsing:
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
        while data and not self._deaf:
            began = self._parsing
            self._chunk = None if began else data
            self._heard = False
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade(data[upgrade.args[0] :])
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
            raise _Stop
        self.url = b""
        self.headers = []
        self._parsing = True
        self._head_done = self._begun = False
        self._head_bytes = self._silent_bytes = self._dropped = 0
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
        """The head is there: decide which way the request goes."""
        self._head_done = True
        self._head_since = 0.0
        options = self.edge.options
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > options.max_head:
            self._stop(HeadTooLarge(f"the head of the request is larger than {options.max_head:,} bytes", id="gateway"))
        self._head_bytes = 0
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            self._stop(VersionNotSupported(f"HTTP/{version} is not spoken here", id="gateway"))
        try:
            request = self._plain_request() if options.fast and version == "1.1" else None
            if request is not None:
                self._begun = True
                self.cycle = self._running = self._collecting = FastCall(self, request, self.loop.time())
                self._pieces = []
                self._body_since = self.loop.time()
            else:
                self._begin_asgi(version)
        except _Stop:
            raise
        except Exception:  # noqa: BLE001 - an edge: the parser would make a 400 of it; it is logged and answered
            self._stop(self.edge.failed("the head of a request"))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._heard = True
        if self._collecting is not None:
            self._pieces.append(body)
            self._body_since = self.loop.time()
        elif not self.cycle.response_complete:
            self.cycle.feed(body)
        else:
            # It was answered before its body was there. A little more is read, for the sake of the connection.
            self._dropped += len(body)
            if self._dropped > self.edge.options.max_body:
                self._linger()
                raise _Stop

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._upgrading:
            return
        self._parsing = False
        chunk, self._chunk = self._chunk, None
        call = self._collecting
        if call is None:
            if not self.cycle.response_complete:
                self.cycle.end()
            elif not self.pipeline:
                self._idle_since = self.loop.time()
            if not self.cycle.keep_alive:
                self._deaf = True
            return
        self._collecting = None
        self._body_since = 0.0
        pieces = self._pieces
        if pieces:
            call.payload = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            call.payload = b"{}"
        if call.keep_alive:
            self._remember(call.request, chunk)
        else:
            self._deaf = True
        self._send(call)

    def _remember(self, request: PlainRequest, chunk: bytes | None) -> None:
        """Keep the head's bytes, if the chunk that began with this message is this one message and nothing else."""
        if chunk is not None:
            end = chunk.find(b"\r\n\r\n") + 4
            if 4 < end <= MAX_KEPT_HEAD and end + request.size == len(chunk):
                request.head = chunk[:end]
                request.length = len(chunk)
                self._known = request

    # -- plain requests ------------------------------------------------------------------------------------------------

    def _plain_request(self) -> PlainRequest | None:
        """What the fast way needs to know of the request, or None where the ASGI application has to look at it."""
        edge = self.edge
        method = self.parser.get_method()
        if method not in (b"POST", b"GET"):
            return None
        if (self.cycle is not None and not self.cycle.response_complete) or self.pipeline or self.flow.write_paused:
            return None
        if edge.active >= edge.options.max_requests:
            return None
        version = edge.table.version
        name = method.decode()
        try:
            target = edge.table.known[method].get(self.url)
            if target is None:
                if b"?" in self.url or b"#" in self.url:
                    return None
                target = edge.table.resolve(name, self.url)
            if not target.plain:
                return None
            head = Head(self.headers)
            fields = head.fields
            if not _NOT_PLAIN.isdisjoint(fields) or edge.access.check_host(fields.get(b"host")):
                return None
            account = edge.access.authorise(target, fields.get(b"authorization"))
            timeout = head.timeout(edge.options.call_timeout, edge.options.max_timeout)
        except errors.Error:
            return None  # the application meets it again, and answers it
        size = int(fields.get(b"content-length", b"0"))
        if size > edge.options.max_body:
            return None
        if size and (method == b"GET" or fields.get(b"content-type", b"").lower() not in _JSON_TYPES):
            return None
        return PlainRequest(
            target,
            method=name,
            url=self.url,
            account=account,
            metadata=head.metadata,
            timeout=timeout,
            parent=head.trace(),
            keep_alive=self.parser.should_keep_alive(),
            size=size,
            version=version,
        )

    def _send(self, call: FastCall) -> None:
        try:
            self.edge.send(call)
        except Exception:  # noqa: BLE001 - an edge: it is logged and answered
            call.on_error(self.edge.failed(f"{call.service}.{call.endpoint}"))

    # -- all other requests --------------------------------------------------------------------------------------------

    def _begin_asgi(self, version: str) -> None:
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._stop(errors.MethodNotAllowed("this is no proxy", id="gateway"))
        if self.parser.should_upgrade():
            if any(name == b"upgrade" and value.lower() == b"websocket" for name, value in self.headers):
                self._stop(errors.NotImplemented("WebSocket is not served here", id="gateway"))
            self._upgrading = True
            return
        path, query = self._split_url()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method.decode(),
            "scheme": self.scheme,
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "state": {},
        }
        earlier = self.cycle
        waits = (earlier is not None and not earlier.response_complete) or bool(self.pipeline)
        if waits and len(self.pipeline) >= self.edge.options.max_pipeline:
            self._stop(errors.TooManyRequests("too many requests wait on this connection", id="gateway"))
        self._begun = True
        self.cycle = cycle = Cycle(
            self,
            scope,
            keep_alive=version == "1.1" and self.parser.should_keep_alive() and not self.edge.stopping,
            expects=version == "1.1" and any(name == b"expect" for name, _ in self.headers),
        )
        scope["extensions"] = {"microlite.gone": cycle.on_gone}
        application: Any = self.app
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, application))  # type: ignore[arg-type]  # our cycle for uvicorn's
        else:
            self._start_asgi_task(cycle, application)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Let the ASGI application answer; the task belongs to the server's set of tasks."""
        self._running = cycle
        application: Application = app
        task = self.loop.create_task(cycle.run(application), name=f"gateway {cycle.scope['path']}")
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _split_url(self) -> tuple[bytes, bytes]:
        """Path and query. A target with scheme and host (RFC 9112, section 3.2.2) says more than the `Host` header."""
        url = self.url.partition(b"#")[0]
        if url.startswith(_ADDRESSED):
            host, slash, rest = url.partition(b"//")[2].partition(b"/")
            self.headers = [(b"host", host), *(header for header in self.headers if header[0] != b"host")]
            url = slash + rest or b"/"
        elif url == b"*":
            url = b"/"
        path, _, query = url.partition(b"?")
        return path, query

    def on_response_complete(self) -> None:
        """One answer is out: go on with the next request, or rest."""
        self.server_state.total_requests += 1
        self._running = None
        if self.transport.is_closing() or self._linger_since:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._last_words is not None:
            self._say_last_words()
        elif not self._parsing:
            self._idle_since = self.loop.time()
        if not self.pipeline and self.flow.read_paused:
            self.flow.resume_reading()
            if self._head_since:
                self._head_since = self.loop.time()

    # -- refusing ------------------------------------------------------------------------------------------------------

    def _stop(self, error: errors.Error) -> None:
        """Refuse, from within the parser."""
        self._refuse(error)
        raise _Stop

    def _refuse(self, error: errors.Error) -> None:
        """End the connection with an error that concerns what is being read, behind the answers to all before it."""
        self._deaf = True
        self._last_words = error
        latest: Any = self.cycle
        if self._parsing and self._begun:
            # It concerns the latest request itself: its body is malformed or too slow.
            if latest.response_complete:
                self.transport.close()
                return
            if self._collecting is not None:
                self._collecting.withdraw()
                self._collecting = None
            elif latest is not self._running:
                self.pipeline.popleft()
                latest.disconnect()
                return  # those before it are still being answered
            else:
                latest.disconnect()
                if latest.response_started:
                    self.transport.close()
                    return
            self._say_last_words()
        elif latest is None or (latest.response_complete and not self.pipeline):
            self._say_last_words()

    def _say_last_words(self) -> None:
        error, self._last_words = self._last_words, None
        if error is None or self.transport.is_closing():
            return
        self.edge.stats(None).observe(error.code, 0.0)
        self.edge.note(self.client_name, "-", self.url if self._parsing else b"-", error.code, 0.0)
        self.transport.write(self.edge.answers.error(error, (b"connection", b"close")))
        self._linger()
