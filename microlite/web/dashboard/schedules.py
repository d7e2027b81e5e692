"""The pages of schedules: what is called when, how that went, and the buttons and the form that act on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.description.timing import seconds
from microlite.core.schedules.api import Outcome, Run, Schedule
from microlite.web.dashboard.frame import HTML, csrf_token, secret_of, session_of
from microlite.web.dashboard.live import CALM, live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

MOST: Final = 200
"""Schedules that are shown at a time; a beginning of their names narrows them down."""

HISTORY: Final = 50
"""Runs that are shown of one schedule."""

TONES: Final = {
    Outcome.WAITING: "busy",
    Outcome.RUNNING: "busy",
    Outcome.DONE: "good",
    Outcome.FAILED: "bad",
    Outcome.INTERRUPTED: "bad",
    Outcome.SKIPPED: "quiet",
    Outcome.MISSED: "quiet",
}
"""The colour of each outcome; its word always stands beside it."""

_WORDS: Final = {"run": "runs", "pause": "is paused", "resume": "runs at its times again", "remove": "is removed"}


def schedules_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list, the page of one schedule, and what changes them."""

    async def one(session: WebSession, name: str) -> dict[str, Any]:
        try:
            schedule = await frame.calls.ask(session, "schedules.get", Schedule, name=name)
        except errors.NotFound:
            schedule = None
        try:
            runs = await frame.calls.ask(session, "schedules.history", list[Run], name=name, limit=HISTORY)
        except errors.NotFound:
            runs = []
        return {"name": name, "schedule": schedule, "runs": runs, "tones": TONES}

    async def list_fragments(session: WebSession, prefix: str, csrf: str) -> AsyncGenerator[tuple[str, str], None]:
        follow = frame.calls.follow(session, "schedules.watch", list[Schedule], prefix=prefix, limit=MOST)
        async for found in follow:
            yield "schedules", frame.render("schedules/_list.html", **_listed(found, prefix), csrf=csrf)
            await asyncio.sleep(CALM)

    async def detail_fragments(session: WebSession, name: str, csrf: str) -> AsyncGenerator[tuple[str, str], None]:
        async for _ in frame.calls.follow(session, "schedules.watch", list[Schedule], prefix=name, limit=1):
            yield "schedule", frame.render("schedules/_schedule.html", **await one(session, name), csrf=csrf)
            await asyncio.sleep(CALM)

    @get("/schedules")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        prefix = request.query_params.get("prefix", "")
        found = await frame.calls.ask(session, "schedules.list", list[Schedule], prefix=prefix, limit=MOST)
        singles = await frame.calls.ask(session, "schedules.history", list[Run], limit=20)
        return frame.page(request, "schedules/index.html", **_listed(found, prefix), singles=singles)

    @get("/schedules/live")
    async def list_live(request: Request[Any, Any, Any]) -> Stream:
        prefix = request.query_params.get("prefix", "")
        return live(frame, request, list_fragments(session_of(request), prefix, csrf_token(secret_of(request))))

    @get("/schedules/{name:str}")
    async def detail(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        found = await one(session_of(request), name)
        if found["schedule"] is None and not found["runs"]:
            raise errors.NotFound(f"there is no schedule {name!r}, and no run of one is remembered")
        return frame.page(request, "schedules/detail.html", **found)

    @get("/schedules/{name:str}/live")
    async def detail_live(request: Request[Any, Any, Any], name: FromPath[str]) -> Stream:
        return live(frame, request, detail_fragments(session_of(request), name, csrf_token(secret_of(request))))

    @post("/schedules/add", status_code=200)
    async def add(request: Request[Any, Any, Any]) -> Response[str]:
        form = await request.form()
        change = _read(form)
        await frame.calls.ask(session_of(request), "schedules.add", schedule=change)
        return _done(frame, request, "/schedules", f"{change['id'] or change['target']} is added")

    @post("/schedules/{name:str}/{verb:str}", status_code=200)
    async def act(request: Request[Any, Any, Any], name: FromPath[str], verb: FromPath[str]) -> Response[str]:
        if verb not in _WORDS:
            raise errors.NotFound("there is no such page")
        await frame.calls.ask(session_of(request), f"schedules.{verb}", name=name)
        back = "/schedules" if verb == "remove" else f"/schedules/{quote(name)}"
        return _done(frame, request, back, f"{name} {_WORDS[verb]}")

    return [index, list_live, detail, detail_live, add, act]


def _listed(found: list[Schedule], prefix: str) -> dict[str, Any]:
    return {"schedules": found, "prefix": prefix, "most": MOST, "tones": TONES}


def _read(form: Mapping[str, Any]) -> dict[str, Any]:
    """The change that a filled form asks for.

    Raises:
        BadRequest: a field of it cannot be.
    """
    text = {key: str(value).strip() for key, value in form.items()}
    when, kind = text.get("when", ""), text.get("kind", "every")
    document = text.get("request", "") or "{}"
    try:
        request = msgspec.json.decode(document, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise errors.BadRequest(f"request: {error}; write a JSON object, as in {{}}") from None
    change: dict[str, Any] = {
        "target": text.get("target", ""),
        "id": text.get("id", ""),
        "request": request,
        "zone": text.get("zone", "") or "UTC",
        "missed": text.get("missed", "once"),
        "overlap": text.get("overlap", "skip"),
    }
    if kind == "cron":
        change["cron"] = when
    elif kind == "delay":
        change["delay"] = seconds(when, "when", least=0.0)
    else:
        change["every"] = seconds(when, "when", least=1.0)
    if kind != "cron":
        change["zone"] = "UTC"
    return change


def _done(frame: Frame, request: Request[Any, Any, Any], path: str, text: str) -> Response[str]:
    """What a button answers: a notice for a script, the page it belongs to for a plain form."""
    if "hx-request" in request.headers:
        return Response(frame.render("_notice.html", text=text, tone="good"), media_type=HTML)
    return Response("", media_type=HTML, status_code=303, headers={"location": path})
