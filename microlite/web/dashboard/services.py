"""The pages of services: what runs, one of them in full, and the buttons that act on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.registry.api import Protocol, ServiceRecord
from microlite.core.runtime.api import ServiceStatus
from microlite.core.runtime.lines import strip_ansi
from microlite.core.runtime.states import SERVING
from microlite.web.dashboard.frame import HTML, session_of
from microlite.web.dashboard.live import CALM, live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A service as the pages show it: what runs of it, and what it says of itself.

    Attributes:
        status: from `runtime`.
        record: from `registry`; None while no node is registered.
        url: where an HTTP program is reached by a browser; empty for others.
    """

    status: ServiceStatus
    record: ServiceRecord | None = None
    url: str = ""

    @property
    def running(self) -> int:
        """How many nodes serve."""
        return sum(node.state in SERVING for node in self.status.nodes)

    @property
    def up(self) -> float:
        """Since when one has served without a break; 0 for not at all."""
        return min((node.healthy for node in self.status.nodes if node.state in SERVING and node.healthy), default=0.0)

    @property
    def metadata(self) -> dict[str, str]:
        """Of the code, and of whoever runs it."""
        return {**(self.record.metadata if self.record is not None else {}), **self.status.metadata}

    @property
    def last_lines(self) -> tuple[str, ...]:
        """What the node wrote last whose failure is the error; none where there is no error."""
        failures = [one for one in self.status.story if one.lines] if self.status.error else []
        return tuple(strip_ansi(line) for line in failures[-1].lines) if failures else ()


def services_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list, the page of one service, and what changes them."""

    async def rows(session: WebSession, statuses: list[ServiceStatus]) -> list[Row]:
        records = await frame.calls.ask(session, "registry.list", list[ServiceRecord])
        return [_row(frame, status, records) for status in statuses]

    async def changes(session: WebSession, service: str) -> AsyncGenerator[list[Row], None]:
        async for statuses in frame.calls.follow(session, "runtime.watch", list[ServiceStatus], service=service):
            yield await rows(session, statuses)
            await asyncio.sleep(CALM)

    async def list_fragments(session: WebSession) -> AsyncGenerator[tuple[str, str], None]:
        async for found in changes(session, ""):
            yield "services", frame.render("services/_list.html", rows=found)

    async def detail_fragments(session: WebSession, name: str) -> AsyncGenerator[tuple[str, str], None]:
        async for found in changes(session, name):
            yield "service", frame.render("services/_service.html", name=name, rows=found)

    async def find(session: WebSession, name: str) -> list[Row]:
        try:
            statuses = await frame.calls.ask(session, "runtime.status", list[ServiceStatus], service=name)
        except errors.ServiceNotFound:
            statuses = []
        return await rows(session, statuses)

    @get("/")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        found = await rows(session, await frame.calls.ask(session, "runtime.status", list[ServiceStatus]))
        built_in = await frame.calls.ask(session, "registry.list", list[ServiceRecord], built_in=True)
        platform = [record for record in built_in if record.built_in]
        return frame.page(request, "services/index.html", rows=found, built_in=platform)

    @get("/services/live")
    async def list_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, list_fragments(session_of(request)))

    @get("/services/{name:str}")
    async def detail(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        session = session_of(request)
        found = await find(session, name)
        if not found:
            records = await frame.calls.ask(session, "registry.get", list[ServiceRecord], service=name)
            return frame.page(request, "services/built_in.html", name=name, record=records[-1])
        return frame.page(request, "services/detail.html", name=name, rows=found)

    @get("/services/{name:str}/live")
    async def detail_live(request: Request[Any, Any, Any], name: FromPath[str]) -> Stream:
        return live(frame, request, detail_fragments(session_of(request), name))

    @post("/services/{name:str}/update", status_code=200)
    async def update(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        statuses = await frame.calls.ask(
            session_of(request), "runtime.update", list[ServiceStatus], timeout=None, service=name
        )
        broken = [status for status in statuses if status.error]
        word = f"{name}: the new code does not run" if broken else f"{name} runs its newest code"
        return _done(frame, request, f"/services/{name}", word, failed=bool(broken))

    @post("/services/{name:str}/kill", status_code=200)
    async def kill(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        await frame.calls.ask(session_of(request), "runtime.kill", timeout=None, services=[name])
        return _done(frame, request, "/", f"{name} has ended")

    return [index, list_live, detail, detail_live, update, kill]


def _row(frame: Frame, status: ServiceStatus, records: list[ServiceRecord]) -> Row:
    versions = [record for record in records if record.name == status.name]
    own = [record for record in versions if record.version == status.version] or versions
    record = own[-1] if own else None
    program = record is not None and any(node.protocol is Protocol.HTTP for node in record.nodes)
    scheme, _, rest = frame.gateway.partition("://")
    # A certificate is hardly ever for names below localhost.
    origin = f"{scheme}://{status.name}.localhost:{rest.rpartition(':')[2]}/" if scheme == "http" else ""
    url = (origin or f"{frame.gateway}/{status.name}/") if program else ""
    return Row(status=status, record=record, url=url)


def _done(
    frame: Frame, request: Request[Any, Any, Any], path: str, text: str, *, failed: bool = False
) -> Response[str]:
    """What a button answers: a notice for a script, the page it belongs to for a plain form."""
    if "hx-request" in request.headers:
        notice = frame.render("_notice.html", text=text, tone="bad" if failed else "good")
        return Response(notice, media_type=HTML)
    return Response("", media_type=HTML, status_code=303, headers={"location": path})
