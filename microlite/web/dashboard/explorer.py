"""The explorer: any endpoint as a form, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.description.naming import DEFAULT_ENDPOINT
from microlite.core.description.structs import EndpointDescription
from microlite.core.registry.api import Protocol, ServiceRecord
from microlite.web.dashboard.frame import HTML, secret_of, session_of
from microlite.web.dashboard.live import hold

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.core.rpc.call import StreamCall
    from microlite.web.dashboard.frame import Frame

NDJSON: Final = "application/x-ndjson"

MOST_SHOWN: Final = 500_000
"""Characters of an answer that are shown; a browser does not like more in one place."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a call.

    Attributes:
        kind: `open`, `item`, `end` and `error` of a stream; `answer` and `error` of a single call.
        text: the document, indented; numbers and the order of fields are as the service wrote them.
        size: its bytes, as they came.
        seconds: from the call on.
        code: that it has, or would have, on HTTP.
        status: the words for the code.
        detail: of an error.
        id: of an error, or of the open stream.
    """

    kind: str
    text: str = ""
    size: int = 0
    seconds: float = 0.0
    code: int = 200
    status: str = "OK"
    detail: str = ""
    id: str = ""


_REMEMBERED: Final = 256
"""Streams of which it is known that they are over."""


class OpenStreams:
    """Calls whose caller's stream is still open, each for the session that opened it."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, StreamCall]] = {}
        self._over: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)

    def add(self, key: str, secret: str, call: StreamCall) -> None:
        """Keep one, until `remove`."""
        self._open[key] = (secret, call)

    def remove(self, key: str) -> None:
        """It is over."""
        found = self._open.pop(key, None)
        if found is not None:
            self._over.append((key, found[0]))

    def is_over(self, key: str, secret: str) -> bool:
        """Whether this session had opened it, and it ended a while ago at most: its own last line has told so."""
        return (key, secret) in self._over

    def find(self, key: str, secret: str) -> StreamCall:
        """The call that this session has opened.

        Raises:
            NotFound: there is none, or it is over.
        """
        found = self._open.get(key)
        if found is None or found[0] != secret:
            raise errors.NotFound("this stream is over")
        return found[1]


def explorer_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The pages of all endpoints, and the calls that they make."""
    streams = OpenStreams()
    clock = frame.parts.clock

    async def show(
        request: Request[Any, Any, Any], service: str = "", endpoint: str = "", document: str = "", answer: Any = None
    ) -> Response[str]:
        records = await frame.calls.ask(session_of(request), "registry.list", list[ServiceRecord], built_in=True)
        found = [record for record in records if record.name == service]
        record = found[-1] if found else None
        described = _endpoint(record, endpoint)
        if endpoint and record is not None and described is None:
            raise errors.EndpointNotFound(f'Endpoint "{endpoint}" not found for service "{service}"')
        program = record is not None and any(node.protocol is Protocol.HTTP for node in record.nodes)
        return frame.page(
            request,
            "explorer/index.html",
            records=_latest(records),
            service=service,
            record=record,
            program=program,
            endpoint=described,
            facts=_facts(frame, record, described),
            document=document or "{}",
            answer=answer,
        )

    @get("/explorer")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        return await show(request)

    @get("/explorer/{service:str}")
    async def first(request: Request[Any, Any, Any], service: FromPath[str]) -> Response[str]:
        records = await frame.calls.ask(session_of(request), "registry.list", list[ServiceRecord], built_in=True)
        endpoints = next((record.endpoints for record in reversed(records) if record.name == service), ())
        if not endpoints:
            return await show(request, service)
        path = f"/explorer/{service}/{endpoints[0].name}"
        return Response("", media_type=HTML, status_code=303, headers={"location": path})

    @get("/explorer/{service:str}/{endpoint:str}")
    async def one(request: Request[Any, Any, Any], service: FromPath[str], endpoint: FromPath[str]) -> Response[str]:
        return await show(request, service, endpoint)

    async def call(session: WebSession, service: str, endpoint: str, document: bytes) -> Answer:
        began = clock.monotonic()
        try:
            reply = await frame.calls.ask_raw(session, service, endpoint, document)
        except errors.Error as error:
            return _failed(error, clock.monotonic() - began)
        return _answered(reply, clock.monotonic() - began)

    @post("/explorer/{service:str}/{endpoint:str}", status_code=200)
    async def send(request: Request[Any, Any, Any], service: FromPath[str], endpoint: FromPath[str]) -> Response[Any]:
        session = session_of(request)
        if request.headers.get("content-type", "").startswith("application/json"):
            answer = await call(session, service, endpoint, await request.body())
            return Response(msgspec.json.encode(answer), media_type="application/json")
        document = str((await request.form()).get("request", "")).strip() or "{}"
        answer = await call(session, service, endpoint, document.encode())
        return await show(request, service, endpoint, document, answer)

    @post("/explorer/{service:str}/{endpoint:str}/stream", status_code=200)
    async def stream(request: Request[Any, Any, Any], service: FromPath[str], endpoint: FromPath[str]) -> Stream:
        session = session_of(request)
        document = await request.body()
        (record,) = (await frame.calls.ask(session, "registry.get", list[ServiceRecord], service=service))[-1:]
        described = _endpoint(record, endpoint)
        if described is None:
            raise errors.EndpointNotFound(f'Endpoint "{endpoint}" not found for service "{service}"')
        takes = described.streaming.from_server
        opened = frame.calls.open_raw(session, service, endpoint, document, takes=takes)
        lines = _lines(frame, opened, streams, secret_of(request))
        return hold(frame, request, lines, kind=NDJSON, ping=b"\n")

    @post("/streams/{key:str}", status_code=204)
    async def send_item(request: Request[Any, Any, Any], key: FromPath[str]) -> None:
        item, secret = await request.body(), secret_of(request)
        if not streams.is_over(key, secret):
            with contextlib.suppress(errors.Canceled):  # it ends while the item waits for room
                await streams.find(key, secret).send(item)

    @post("/streams/{key:str}/end", status_code=204)
    async def end(request: Request[Any, Any, Any], key: FromPath[str]) -> None:
        if not streams.is_over(key, secret_of(request)):
            streams.find(key, secret_of(request)).close_send()

    return [index, first, one, send, stream, send_item, end]


async def _lines(frame: Frame, call: StreamCall, streams: OpenStreams, secret: str) -> AsyncGenerator[bytes, None]:
    """What becomes of a streaming call, as one JSON document a line."""
    clock = frame.parts.clock
    began, key = clock.monotonic(), clock.new_id()
    async with call:
        streams.add(key, secret, call)
        try:
            yield _line(Answer(kind="open", id=key))
            async for payload in call.items():
                yield _line(msgspec.structs.replace(_answered(payload, clock.monotonic() - began), kind="item"))
                await asyncio.sleep(0)  # a service that never waits leaves others their turn
            yield _line(Answer(kind="end", seconds=clock.monotonic() - began))
        except errors.Error as error:
            yield _line(_failed(error, clock.monotonic() - began))
        finally:
            streams.remove(key)


def _line(answer: Answer) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


def _answered(reply: bytes, seconds: float) -> Answer:
    text = msgspec.json.format(reply or b"null", indent=2).decode()
    if len(text) > MOST_SHOWN:
        text = text[:MOST_SHOWN] + "\n… the rest is not shown"
    empty = not reply or reply == b"null"
    code, status = (204, "No Content") if empty else (200, "OK")
    return Answer(kind="answer", text=text, size=len(reply), seconds=seconds, code=code, status=status)


def _failed(error: errors.Error, seconds: float) -> Answer:
    return Answer(kind="error", seconds=seconds, code=error.code, status=error.status, detail=error.detail, id=error.id)


def _endpoint(record: ServiceRecord | None, name: str) -> EndpointDescription | None:
    if record is None:
        return None
    return next((one for one in record.endpoints if one.name == name), None)


def _latest(records: list[ServiceRecord]) -> list[ServiceRecord]:
    """One record of each name, those of the platform last."""
    found = {record.name: record for record in records if record.endpoints}
    return sorted(found.values(), key=lambda record: (record.built_in, record.name))


def _facts(frame: Frame, record: ServiceRecord | None, endpoint: EndpointDescription | None) -> dict[str, Any]:
    """What the scripts of the page need to know."""
    if record is None or endpoint is None:
        return {}
    path = "" if endpoint.name == DEFAULT_ENDPOINT else "/" + endpoint.name.replace(".", "/")
    return {
        "service": record.name,
        "endpoint": endpoint.name,
        "request": endpoint.request,
        "items": endpoint.items,
        "fromClient": endpoint.streaming.from_client,
        "fromServer": endpoint.streaming.from_server,
        "url": f"{frame.gateway}/{record.name}{path}",
        "token": f"{frame.parts.home}/admin.token" if record.built_in else "",
    }
