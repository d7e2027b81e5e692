"""A plain call that is answered from the parser's callbacks, without a task and without an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.rpc.call import Call
from microlite.web.gateway import codings, conditional
from microlite.web.gateway.answers import STATUS_LINES, VARY_CODING, content_length
from microlite.web.gateway.head import next_traceparent

if TYPE_CHECKING:
    import asyncio

    from microlite.core.context import Account, Trace
    from microlite.web.gateway.protocol import GatewayProtocol
    from microlite.web.gateway.table import Target

JSON: Final = int(Encoding.JSON)


_NOTHING: Final = (b"", b"null")
"""Replies that are answered with 204."""


class PlainRequest:
    """What the head of a request came to: all that a call needs, its body aside.

    A connection keeps the last one with the bytes that it was read from. A client that sends the same head again, as
    most do on a connection that is kept alive, is answered without parsing it again: equal bytes at the beginning of a
    message mean an equal request.

    Attributes:
        size: bytes of the body.
        version: of the path table that named the target.
        head: the bytes of the head, empty while they are unknown.
        length: of head and body together.
        account: whom the token of the request stands for; None for nobody.
        token: what travels with its calls.
        shown: the token itself; empty where there was none that holds.
        rules: those by which it was allowed.
        reads: whether the method is one whose answer can be kept and asked for again.
    """

    __slots__ = (
        "account",
        "head",
        "keep_alive",
        "length",
        "metadata",
        "method",
        "parent",
        "reads",
        "rules",
        "shown",
        "size",
        "target",
        "timeout",
        "token",
        "url",
        "version",
    )

    def __init__(
        self,
        target: Target,
        *,
        method: str,
        url: bytes,
        account: Account | None,
        token: str,
        shown: str,
        rules: object,
        metadata: dict[str, str],
        timeout: float | None,
        parent: Trace | None,
        keep_alive: bool,
        size: int,
        version: int,
    ) -> None:
        self.target = target
        self.method = method
        self.reads = method == "GET"
        self.url = url
        self.account = account
        self.token = token
        self.shown = shown
        self.rules = rules
        self.metadata = metadata
        self.timeout = timeout
        self.parent = parent
        self.keep_alive = keep_alive
        self.size = size
        self.version = version
        self.head = b""
        self.length = 0


def _prepare(payload: bytes, coding: str, reads: bool, field: str) -> tuple[bytes, bytes]:
    """The body of an answer, and the lines of its head that say what was done to it. `field` has its declared tag."""
    lines = b""
    if len(payload) >= codings.MIN_SIZE:
        lines += b"%b: %b\r\n" % VARY_CODING
    tag = conditional.declared_etag(payload, field) if field else ""
    if tag or reads:
        tag = tag or conditional.etag(payload)
        lines += b"etag: %b\r\n" % (conditional.weak(tag) if coding else tag).encode()
    if coding:
        lines += b"content-encoding: %b\r\n" % coding.encode()
        payload = codings.compress(coding, payload)
    return payload, lines


class _NoEvent:
    """Where an ASGI cycle wakes its application, a fast call has nobody to wake."""

    def set(self) -> None:
        """Do nothing."""


class FastCall(Call):
    """The call of a plain request, which writes its own answer.

    While it runs it stands in for uvicorn's request cycle (`protocol.cycle`), so that uvicorn's shutdown, its queue of
    pipelined requests and its handling of lost connections apply to it unchanged.
    """

    __slots__ = (
        "begun",
        "disconnected",
        "held",
        "keep_alive",
        "protocol",
        "request",
        "response_complete",
        "traceparent",
    )

    message_event = _NoEvent()

    def __init__(self, protocol: GatewayProtocol, request: PlainRequest, begun: float) -> None:
        target = request.target
        endpoint = target.endpoint
        assert endpoint is not None  # a plain target has one
        self.traceparent = traceparent = next_traceparent(request.parent)
        super().__init__(
            target.service,
            endpoint.name,
            encoding=JSON,
            namespace=target.namespace,
            timeout=request.timeout,
            metadata={**request.metadata, "traceparent": traceparent},
            account=request.account,
            token=request.token,
            idempotent=endpoint.idempotent,
        )
        self.protocol = protocol
        self.request = request
        self.begun = begun
        self.keep_alive = request.keep_alive
        self.response_complete = False
        self.disconnected = False
        self.held = 0
        protocol.edge.active += 1

    def on_reply(self, payload: bytes) -> None:
        """Write the answer: 200 with the reply as it is, or 204 where it is null."""
        if self.response_complete:
            return
        answers = self.protocol.edge.answers
        request = self.request
        if len(payload) >= codings.MIN_SIZE or ((request.reads or request.target.etag) and payload not in _NOTHING):
            self._reply_with_care(payload)
        elif payload and payload != b"null":
            parts = (
                answers.ok,
                content_length(len(payload)),
                b"traceparent: ",
                self.traceparent.encode(),
                b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n",
                payload,
            )
            self._finish(200, b"".join(parts))
        else:
            parts = (
                STATUS_LINES[204],
                answers.common,
                b"x-content-type-options: nosniff\r\ntraceparent: ",
                self.traceparent.encode(),
                b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n",
                b"",
            )
            self._finish(204, b"".join(parts))

    def _reply_with_care(self, payload: bytes) -> None:
        """Write an answer that has a tag, or is large enough to be compressed. `Exchange.reply` does the same."""
        request = self.request
        workers = self.protocol.edge.workers
        size = len(payload)
        field = request.target.etag
        coding = ""
        if size >= codings.MIN_SIZE and not workers.is_busy:
            coding = codings.choose(request.metadata.get("accept-encoding", ""))
        if (coding and size > codings.INLINE) or ((request.reads or field) and size > conditional.INLINE):
            workers.run(_prepare, payload, coding, request.reads, field).add_done_callback(self._on_prepared)
        else:
            self._write_reply(*_prepare(payload, coding, request.reads, field))

    def _on_prepared(self, prepared: asyncio.Future[tuple[bytes, bytes]]) -> None:
        if not prepared.cancelled():
            self._write_reply(*prepared.result())

    def _write_reply(self, body: bytes, lines: bytes) -> None:
        if self.response_complete:
            return  # the client went away meanwhile
        parts = (
            self.protocol.edge.answers.ok,
            lines,
            content_length(len(body)),
            b"traceparent: ",
            self.traceparent.encode(),
            b"\r\n\r\n" if self.keep_alive else b"\r\nconnection: close\r\n\r\n",
            body,
        )
        self._finish(200, b"".join(parts))

    def on_error(self, error: errors.Error) -> None:
        """Write the error as JSON."""
        if self.response_complete:
            return
        more = [(b"traceparent", self.traceparent.encode())]
        if not self.keep_alive:
            more.append((b"connection", b"close"))
        self._finish(error.code, self.protocol.edge.answers.error(error, *more))

    def on_end(self) -> None:
        """The callee streams where one reply was described."""
        self.on_error(errors.BadGateway(f"{self.service}.{self.endpoint} answered with a stream, not with a reply"))

    def hold(self, size: int) -> None:
        """See `Exchange.hold`."""
        self.protocol.edge.room.change(self.held, size)
        self.held = size

    def withdraw(self) -> None:
        """Take the request back before it was sent: the connection answers otherwise."""
        self.response_complete = True
        self.hold(0)
        self.protocol.edge.active -= 1

    def abandon(self) -> None:
        """The client is gone: nobody waits for the answer."""
        if not self.response_complete:
            self.response_complete = True
            self.disconnected = True
            self._count(errors.Canceled.code)
            self.cancel()
            self.payload = b""

    def _finish(self, code: int, answer: bytes) -> None:
        self.response_complete = True
        self.payload = b""  # this object stays with the connection until the next request
        self._count(code)
        protocol = self.protocol
        transport = protocol.transport
        if transport.is_closing():
            return
        transport.write(answer)
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()

    def _count(self, code: int) -> None:
        edge = self.protocol.edge
        edge.active -= 1
        if self.held:
            self.hold(0)
        seconds = self.protocol.loop.time() - self.begun
        self.request.target.stats.observe(code, seconds)
        if edge.access_log is not None:
            edge.note(self.protocol.client_name, self.request.method, self.request.url, code, seconds)
