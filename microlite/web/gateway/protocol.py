"""What becomes of the requests on a connection: plain calls are answered from the parser's callbacks.

Everything that is not plain goes to the ASGI application, as uvicorn would have it; `tests/gateway` holds that both ways
answer alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from microlite.core import errors
from microlite.core.context import CLIENT_ADDRESS, DEFAULT_NAMESPACE
from microlite.web.gateway.connection import BoundedConnection, Stop
from microlite.web.gateway.cycle import Cycle
from microlite.web.gateway.fast import FastCall, PlainRequest
from microlite.web.gateway.head import Head

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


class GatewayProtocol(BoundedConnection):
    """A connection of the gateway."""

    def __init__(self, edge: Edge, config: Config, server_state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(edge, config, server_state, loop)
        self._known: PlainRequest | None = None
        self._collecting: FastCall | None = None
        """The fast call whose body is still arriving."""
        self._pieces: list[bytes] = []
        self._running: Any = None
        """The request being answered; `cycle` is the latest that was read."""
        self._dropped = 0
        """Bytes of a body that came after the answer."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all whose answer can no longer be delivered."""
        self._deaf = True
        for request in (self._running, self.cycle, *(cycle for cycle, _ in self.pipeline)):
            if isinstance(request, FastCall):
                request.abandon()
            elif request is not None and not request.response_complete:
                request.disconnect()
        self.pipeline.clear()
        super().connection_lost(exc)
        # A connection and its requests know each other: unless that ends here, what they hold stays until the collector
        # of garbage comes by, which counts objects and not their megabytes.
        self._collecting = self._known = self._running = self.cycle = None
        self._pieces = []
        self._chunk = None
        if self.channel is not None:
            self.channel.on_round = None
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
            and self.edge.access.holds(known)
        ):
            self._idle_since = 0.0
            self.cycle = self._running = call = FastCall(self, known, self.loop.time())
            call.payload = data[len(known.head) :] if known.size else b"{}"
            self._send(call)
        elif not self._deaf:
            self._parse(data)

    # -- parsing -------------------------------------------------------------------------------------------------------

    def begin(self, version: str) -> None:
        """Decide which way the request goes."""
        request = self._plain_request() if self.edge.options.fast and version == "1.1" else None
        if request is None:
            self._begin_asgi(version)
            return
        self._begun = True
        self._pieces = []
        self._body_since = self.loop.time()
        self.cycle = self._running = self._collecting = FastCall(self, request, self._body_since)

    def withdraw(self) -> bool:
        """See `BoundedConnection.withdraw`."""
        latest = self.cycle
        if self._collecting is not None:
            self._collecting.withdraw()
            self._collecting = None
            return True
        latest.disconnect()
        if latest is not self._running:
            self.pipeline.popleft()
            return False  # those before it are still being answered
        if latest.response_started:
            self.transport.close()
            return False
        return True

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._dropped = 0

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._heard = True
        call = self._collecting
        if call is not None:
            try:
                call.hold(call.held + len(body))
            except errors.Error as error:
                self._stop(error)
            self._pieces.append(body)
            self._body_since = self.loop.time()
        elif not self.cycle.response_complete:
            self.cycle.feed(body)
        else:
            # It was answered before its body was there. A little more is read, for the sake of the connection.
            self._dropped += len(body)
            if self._dropped > self.edge.options.max_body:
                self._linger()
                raise Stop

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
            if not self.cycle.keep_alive and self.channel is None:
                self._deaf = True
            return
        self._collecting = None
        self._body_since = 0.0
        pieces, self._pieces = self._pieces, []
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
            if edge.access.home(fields.get(b"host")) != DEFAULT_NAMESPACE:
                return None
            if "if-none-match" in head.metadata or "idempotency-key" in head.metadata:
                return None
            caller = edge.access.known(fields.get(b"authorization"))
            if caller is None or (caller.account is not None and not caller.account.belongs_to(DEFAULT_NAMESPACE)):
                return None
            rules = edge.access.rules(target.namespace)
            token = edge.access.authorise(target, caller)
            if target.is_builtin:
                head.metadata[CLIENT_ADDRESS] = self.client_name
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
            account=caller.account,
            token=token,
            shown=caller.token,
            rules=rules,
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
        path, query = self._split_url()
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self.parser.get_method().decode(),
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
            keep_alive=version == "1.1"
            and self.parser.should_keep_alive()
            and not self.edge.stopping
            and self.channel is None,
            expects=version == "1.1" and any(name == b"expect" for name, _ in self.headers),
        )
        scope["extensions"] = {"microlite.gone": cycle.on_gone}
        if self.channel is not None:
            scope["extensions"]["microlite.upgrade"] = cycle.upgrade
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
