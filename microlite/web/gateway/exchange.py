"""One request on the way through the ASGI application: what was asked, and the ways to answer."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.description.ranges import Unsatisfiable, read_range
from microlite.web.gateway import codings, conditional
from microlite.web.gateway.access import ANYONE
from microlite.web.gateway.answers import JSON, NO_SNIFF, VARY_CODING, Headers, error_body, error_headers
from microlite.web.gateway.conditional import is_known, weak
from microlite.web.gateway.head import Head, next_traceparent
from microlite.web.gateway.refusals import ExpectationFailed, RangeNotSatisfiable, ResponseAborted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from microlite.web.gateway.channel import Channel
    from microlite.web.gateway.cycle import Receive, Send
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.table import Target

NO_CACHE: Final = (b"cache-control", b"no-cache")


class Exchange:
    """A request and its answer.

    Attributes:
        method: in upper case.
        path: as it stood in the request, without query.
        head: its headers, sorted.
        traceparent: of the gateway's span; the answer carries it.
        started: whether the head of the answer was sent.
        status: of the answer, 0 before it.
        caller: who asks, as soon as that is known.
        target: what the path stands for, as soon as that is known.
        gone: the client has gone away.
        noted: headers that the answer gets, whatever it will be.
    """

    def __init__(self, edge: Edge, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.edge = edge
        self.scope = scope
        self.receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.head = Head(())
        self.traceparent = ""
        self.started = False
        self.status = 0
        self.caller = ANYONE
        self.target: Target | None = None
        self.gone = False
        self.noted: Headers = []
        self._held = 0
        self._body_read = False

    @property
    def client(self) -> str:
        """The address of the client, as far as it is known."""
        return self.scope["client"][0] if self.scope["client"] else ""

    def read_head(self) -> None:
        """Sort the headers.

        Raises:
            BadRequest: they contradict themselves.
            ExpectationFailed: the client expects what nobody here does.
        """
        self.traceparent = next_traceparent(None)
        self.head = Head(self.scope["headers"])
        self.traceparent = next_traceparent(self.head.trace())
        expect = self.head.text(b"expect").lower()
        if expect not in ("", "100-continue"):
            raise ExpectationFailed(f'"{expect}" is not understood in Expect', id="gateway")

    # -- the body of the request ---------------------------------------------------------------------------------------

    @property
    def has_body(self) -> bool:
        """Whether the client announced a body."""
        fields = self.head.fields
        return b"transfer-encoding" in fields or fields.get(b"content-length", b"0").strip(b"0") != b""

    @property
    def is_compressed(self) -> bool:
        """Whether the body is not as it is, but in a content coding."""
        return self.head.text(b"content-encoding").lower() not in ("", "identity")

    async def next_piece(self, timeout: float | None) -> bytes:
        """The next piece of the body as it arrives; nothing after the last.

        Args:
            timeout: seconds that may pass without a byte; None for no limit.

        Raises:
            Timeout: they passed.
            Canceled: the client went away.
        """
        piece = b""
        while not piece and not self._body_read:
            try:
                async with asyncio.timeout(timeout):
                    message = await self.receive()
            except TimeoutError:
                raise errors.Timeout("the body of the request did not arrive in time", id="gateway") from None
            if message["type"] == "http.disconnect":
                self.gone = True
                raise errors.Canceled("the client went away", id="gateway")
            self._body_read = not message["more_body"]
            piece = message["body"]
        return piece

    async def body(self) -> bytes:
        """The whole body, expanded where it came compressed.

        Raises:
            PayloadTooLarge: it is larger than the limit; no more than that was read.
            UnsupportedMediaType: it is compressed in a way that is not known here.
            BadRequest: it is not compressed in the way that it says.
        """
        if not self.has_body:
            self._body_read = True
            return b""
        limit = self.edge.options.max_body
        if int(self.head.fields.get(b"content-length", b"0")) > limit:
            raise self._too_large(limit)
        pieces = []
        size = 0
        while piece := await self.next_piece(self.edge.options.body_timeout):
            size += len(piece)
            if size > limit:
                raise self._too_large(limit)
            self.hold(size)
            pieces.append(piece)
        body = b"".join(pieces)
        if self.is_compressed:
            coding = self.head.text(b"content-encoding").lower()
            body = await self.edge.workers.run(codings.expand, coding, body, limit)
            self.hold(len(body))
        return body

    def hold(self, size: int) -> None:
        """So many bytes of this request are in memory, until that changes or the request is over (`hold(0)`).

        Raises:
            ServiceUnavailable: all requests together hold too much.
        """
        self.edge.room.change(self._held, size)
        self._held = size

    @staticmethod
    def _too_large(limit: int) -> errors.Error:
        return errors.PayloadTooLarge(f"the body is larger than the limit of {limit:,} bytes", id="gateway")

    @contextmanager
    def giving_up(self, callback: Callable[[], None]) -> Iterator[None]:
        """Within it, `callback` is called as soon as the client is gone. The body must have been read.

        This is what a task with `until_gone` does, for calls that are too short to start one.
        """
        register = self.scope["extensions"]["microlite.gone"]

        def gone() -> None:
            self.gone = True
            callback()

        register(gone)
        try:
            yield
        finally:
            register(None)

    async def until_gone(self) -> None:
        """Return when the client has gone away, or no longer gets this answer. The body must have been read."""
        while not self.gone:
            self.gone = (await self.receive())["type"] == "http.disconnect"

    # -- WebSocket -----------------------------------------------------------------------------------------------------

    @property
    def wants_websocket(self) -> bool:
        """Whether the client asks to go on as a WebSocket."""
        return "microlite.upgrade" in self.scope["extensions"]

    def switch(self, headers: Headers) -> Channel:
        """Grant that. No other answer follows.

        Args:
            headers: of the answer, without date, `Connection` and trace, which are added.
        """
        self.started = True
        self.status = 101
        upgrade: Callable[[Headers], Channel] = self.scope["extensions"]["microlite.upgrade"]
        return upgrade([*headers, (b"traceparent", self.traceparent.encode())])

    # -- the answer ----------------------------------------------------------------------------------------------------

    async def start(self, status: int, headers: Headers, *, own: bool = True) -> None:
        """Send the head of the answer.

        Args:
            status: of the answer.
            headers: without date, framing and trace, which are added.
            own: whether the gateway speaks for itself or a service, and not for an HTTP program, which says by itself
                who may read its answers.
        """
        self.started = True
        self.status = status
        headers = list(headers)
        if own:
            headers.append(NO_SNIFF)
            headers += self.noted
            headers += self.edge.origins.headers(self.head.fields.get(b"origin"))
        if self.traceparent:
            headers.append((b"traceparent", self.traceparent.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, more: bool = True) -> None:
        """Send a piece of the answer's body, when the client has room for it; `more=False` with the last."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def respond(
        self, status: int, body: bytes = b"", *, content_type: bytes = JSON, headers: Headers | None = None
    ) -> None:
        """Send a whole answer. 204 and 304 have no body and no type."""
        own: Headers = (
            [] if status in (204, 304) else [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        )
        await self.start(status, [*own, *(headers or [])])
        await self.write(body, more=False)

    async def reply(
        self,
        body: bytes,
        *,
        content_type: bytes = JSON,
        headers: Headers | None = None,
        in_parts: bool = False,
        etag: str = "",
    ) -> None:
        """Send what was asked for, with status 200, in the way that suits the client.

        It is compressed where the client likes that, not sent at all where it has it already, and only a part of it is
        sent where it wants no more.

        Args:
            body: the whole.
            content_type: of the body.
            headers: further ones.
            in_parts: whether it makes sense to ask for a part.
            etag: the field of the body, which is JSON then, that is its tag.
        """
        told = self.head.metadata
        headers = list(headers or ())
        reads = self.method in ("GET", "HEAD")
        tag = await self._tag(body, etag) if reads or etag else ""
        ranges = in_parts and self.method == "GET"
        wanted = told.get("range", "") if ranges else ""
        coding = ""
        if codings.is_compressible(content_type, len(body)):
            headers.append(VARY_CODING)
            if not wanted and not self.edge.workers.is_busy:
                coding = codings.choose(told.get("accept-encoding", ""))
        if tag:
            headers.append((b"etag", (weak(tag) if coding else tag).encode()))
            if reads and is_known(tag, told.get("if-none-match", "")):
                await self.respond(304, headers=headers)
                return
        if in_parts:
            headers.append((b"accept-ranges", b"bytes"))
        if wanted and told.get("if-range", tag).strip() == tag:
            await self._respond_part(wanted, body, content_type, headers)
            return
        if coding:
            headers.append((b"content-encoding", coding.encode()))
            body = await self._compress(coding, body)
        await self.respond(200, body, content_type=content_type, headers=headers)

    async def _tag(self, body: bytes, field: str) -> str:
        """The tag that a field of the body declares; else, of what is read, that of the content."""
        if len(body) <= conditional.INLINE:
            tag = conditional.declared_etag(body, field) if field else ""
            return tag or (conditional.etag(body) if self.method in ("GET", "HEAD") else "")
        tag = await self.edge.workers.run(conditional.declared_etag, body, field) if field else ""
        if tag or self.method not in ("GET", "HEAD"):
            return tag
        return await self.edge.workers.run(conditional.etag, body)

    async def _compress(self, coding: str, body: bytes) -> bytes:
        if len(body) <= codings.INLINE:
            return codings.compress(coding, body)
        return await self.edge.workers.run(codings.compress, coding, body)

    async def _respond_part(self, wanted: str, body: bytes, content_type: bytes, headers: Headers) -> None:
        try:
            part = read_range(wanted, len(body))
        except Unsatisfiable:
            error = RangeNotSatisfiable(f"the answer has {len(body):,} bytes, and not these", id="gateway")
            size: Headers = [(b"content-range", b"bytes */%d" % len(body))]
            await self.respond(error.code, error_body(error), headers=size)
            return
        if part is None:
            await self.respond(200, body, content_type=content_type, headers=headers)
            return
        headers.append((b"content-range", part.content_range.encode()))
        await self.respond(206, body[part.first : part.end], content_type=content_type, headers=headers)

    async def fail(self, error: errors.Error) -> None:
        """Answer with an error. Where another answer has begun, that is broken off.

        Raises:
            ResponseAborted: an answer has begun.
        """
        if self.gone:
            self.status = self.status or errors.Canceled.code
            return
        if self.started:
            raise ResponseAborted
        headers = error_headers(error)
        if error.code in (408, 413) and not self._body_read:
            headers.append((b"connection", b"close"))
        await self.respond(error.code, error_body(error), headers=headers)
