"""The logs: what services write, as they write it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.durations import parse_duration
from microlite.core.runtime.api import ServiceStatus
from microlite.core.runtime.lines import Line
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.live import CALM, live
from microlite.web.dashboard.log_levels import LEVELS, Levels
from microlite.web.dashboard.words import clock_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAST: Final = 300
"""Lines of each service that are shown of what was before, unless a time was asked for."""

MOST_WAITING: Final = 2_000
"""Lines that wait for a browser that does not read; beyond, the services' own queues drop the oldest and say so."""

SINCE: Final = (("", "the last lines"), ("5m", "5 minutes"), ("1h", "1 hour"), ("24h", "24 hours"))
"""How far back one can look: what the address says, and the word for it."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines.

    Attributes:
        service: only of this one; of all without it.
        node: only of this one.
        since: seconds since the Unix epoch; 0 for the last lines.
    """

    service: str = ""
    node: str = ""
    since: float = 0.0

    def fields(self, service: str) -> dict[str, object]:
        """The request to `runtime.logs`."""
        return {"service": service, "node": self.node, "since": self.since, "lines": 0 if self.since else PAST}


class Shown(msgspec.Struct, frozen=True):
    """A line as the page shows it."""

    time: str
    service: str
    node: str
    stream: str
    level: str
    text: str


def logs_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The log of one service, and of all together."""

    async def show(request: Request[Any, Any, Any], service: str = "") -> Response[str]:
        session = session_of(request)
        statuses = await frame.calls.ask(session, "runtime.status", list[ServiceStatus])
        wanted = _wanted(frame, request, service)
        trouble = ""
        past: list[Line] = []
        names = [service] if service else _names(statuses)
        for name in names:
            try:
                found = frame.calls.follow(session, "runtime.logs", Line, **wanted.fields(name))
                past += [line async for line in found]
            except errors.Error as error:
                trouble = error.detail if service else ""
        past.sort(key=lambda line: line.at)
        return frame.page(
            request,
            "logs/index.html",
            service=service,
            node=wanted.node,
            since=request.query_params.get("since", ""),
            names=sorted({*_names(statuses), *([service] if service else [])}),
            nodes=sorted({node.id for status in statuses if status.name == service for node in status.nodes}),
            lines=_show(past[-PAST:], Levels()),
            levels=LEVELS,
            choices=SINCE,
            trouble=trouble,
        )

    @get("/logs")
    async def all_logs(request: Request[Any, Any, Any]) -> Response[str]:
        return await show(request, request.query_params.get("service", ""))

    @get("/logs/{service:str}")
    async def one_log(request: Request[Any, Any, Any], service: FromPath[str]) -> Response[str]:
        return await show(request, service)

    @get("/live/logs")
    async def tail(request: Request[Any, Any, Any]) -> Stream:
        wanted = _wanted(frame, request, request.query_params.get("service", ""))
        return live(frame, request, _batches(frame, session_of(request), wanted))

    return [all_logs, one_log, tail]


async def _batches(frame: Frame, session: WebSession, wanted: Wanted) -> AsyncGenerator[tuple[str, str], None]:
    """Lines as events, those that come together as one, in the order of their times."""
    levels = Levels()
    async with _Tail(frame, session, wanted) as tail:
        async for lines in tail:
            yield "lines", msgspec.json.encode(_show(lines, levels)).decode()


class _Tail:
    """Follows the logs that are wanted, those of services that appear meanwhile included."""

    def __init__(self, frame: Frame, session: WebSession, wanted: Wanted) -> None:
        self._frame = frame
        self._session = session
        self._wanted = wanted
        self._queue: asyncio.Queue[Line] = asyncio.Queue(MOST_WAITING)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> _Tail:
        if self._wanted.service:
            self._start(self._wanted.service, self._follow(self._wanted.service, alone=True))
        else:
            self._start("", self._look_for_services())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._broken.done() and not self._broken.cancelled():
            self._broken.exception()  # it was told, or nobody is there to be told

    async def __aiter__(self) -> AsyncGenerator[list[Line], None]:
        while True:
            getting: asyncio.Future[Line] = asyncio.ensure_future(self._queue.get())
            both: set[asyncio.Future[Any]] = {getting, self._broken}
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not getting.done():
                    getting.cancel()
            if not getting.done() or getting.cancelled():
                self._broken.result()
                return
            await asyncio.sleep(CALM)
            lines = [getting.result()]
            while not self._queue.empty():
                lines.append(self._queue.get_nowait())
            lines.sort(key=lambda line: line.at)
            yield lines

    def _start(self, name: str, work: Any) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"microlite: dashboard log {name}")

    async def _look_for_services(self) -> None:
        try:
            async for statuses in self._frame.calls.follow(self._session, "runtime.watch", list[ServiceStatus]):
                for name in _names(statuses):
                    if name not in self._tasks or self._tasks[name].done():
                        self._start(name, self._follow(name, alone=False))
        except errors.Error as error:
            self._break(error)

    async def _follow(self, name: str, *, alone: bool) -> None:
        try:
            fields = self._wanted.fields(name)
            async for line in self._frame.calls.follow(self._session, "runtime.logs", Line, follow=True, **fields):
                await self._queue.put(line)
        except errors.Error as error:
            if alone:
                self._break(error)

    def _break(self, error: errors.Error) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)


def _wanted(frame: Frame, request: Request[Any, Any, Any], service: str) -> Wanted:
    since = 0.0
    with contextlib.suppress(ValueError, errors.Error):
        since = frame.parts.clock.now() - parse_duration(request.query_params.get("since", ""))
    return Wanted(service=service, node=request.query_params.get("node", ""), since=since)


def _names(statuses: list[ServiceStatus]) -> list[str]:
    """Services whose logs the platform has: those that it runs."""
    return sorted({status.name for status in statuses if status.managed})


def _show(lines: list[Line], levels: Levels) -> list[Shown]:
    return [
        Shown(clock_time(line.at), line.service, line.node, str(line.stream), levels.of(line), line.plain().text)
        for line in lines
    ]
