"""The events: topics, what is in them, who consumes them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.durations import parse_duration
from microlite.core.events.api import (
    DeadKind,
    Event,
    GroupStatus,
    Misfits,
    Published,
    Retention,
    TopicSettings,
    TopicStatus,
)
from microlite.web.dashboard.acting import done, json_of, long_json, short_json, told
from microlite.web.dashboard.events_dead import dead_pages
from microlite.web.dashboard.frame import csrf_token, secret_of, session_of
from microlite.web.dashboard.live import live
from microlite.web.dashboard.words import clock_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

BEAT: Final = 1.0
"""Seconds between two looks at numbers that change all the time."""

PAGE: Final = 50
"""Events on one page."""

SINCE: Final = (("", "the latest"), ("5m", "5 minutes ago"), ("1h", "1 hour ago"), ("24h", "24 hours ago"))
"""Where to begin to read: what the address says, and the word for it."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the list shows it.

    Attributes:
        rate: events a second since the last look; none on the first.
        lag: of the group that is furthest behind; none where nobody consumes it.
        dead: dead letters of all its groups.
    """

    status: TopicStatus
    rate: float | None = None
    lag: int | None = None
    dead: int = 0


def rate(row: Row, before: Mapping[str, int], passed: float) -> float | None:
    """Events a second, by the last positions that were there some seconds before."""
    last = before.get(row.status.name)
    return None if last is None else (row.status.last - last) / passed


def events_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list of topics, the page of one, and what changes them; those of dead letters are beside."""

    async def topics(session: WebSession) -> list[TopicStatus]:
        found: list[TopicStatus] = await frame.calls.ask(session, "events.topics", list[TopicStatus])
        return found

    async def rows(session: WebSession) -> list[Row]:
        found = await topics(session)
        groups = await frame.calls.ask(session, "events.groups", list[GroupStatus])
        return [
            Row(
                status=one,
                lag=max((group.lag for group in groups if group.topic == one.name), default=None),
                dead=sum(group.dead for group in groups if group.topic == one.name),
            )
            for one in found
        ]

    async def lists(session: WebSession) -> AsyncGenerator[tuple[str, str], None]:
        before: dict[str, int] = {}
        shown: list[Row] = []
        at = asyncio.get_running_loop().time()
        while True:
            found, now = await rows(session), asyncio.get_running_loop().time()
            passed = max(now - at, 0.001)
            found = [msgspec.structs.replace(row, rate=rate(row, before, passed)) for row in found]
            before, at = {row.status.name: row.status.last for row in found}, now
            if found != shown:
                shown = found
                yield "topics", frame.render("events/_topics.html", rows=found)
            await asyncio.sleep(BEAT)

    async def state(session: WebSession, topic: str) -> dict[str, Any]:
        return {
            "topic": await frame.calls.ask(session, "events.topic", TopicStatus, topic=topic),
            "groups": await frame.calls.ask(session, "events.groups", list[GroupStatus], topic=topic),
            "kinds": await frame.calls.ask(session, "events.dead-kinds", list[DeadKind], topic=topic),
        }

    async def states(request: Request[Any, Any, Any], topic: str) -> AsyncGenerator[tuple[str, str], None]:
        session, csrf = session_of(request), csrf_token(secret_of(request))
        shown: dict[str, Any] = {}
        while True:
            found = await state(session, topic)
            if found != shown:
                shown = found
                yield "state", frame.render("events/_state.html", csrf=csrf, **found)
            await asyncio.sleep(BEAT)

    async def entries(session: WebSession, topic: str) -> AsyncGenerator[tuple[str, str], None]:
        async for event in frame.calls.follow(session, "events.follow", Event[Any], topic=topic):
            shown = {
                "time": clock_time(event.published),
                "name": f"{event.position}",
                "text": short_json(event.payload),
                "note": f"key {event.key}" if event.key else "",
                "more": "\n".join(f"{name}: {value}" for name, value in event.metadata.items()),
            }
            yield "item", msgspec.json.encode(shown).decode()

    @get("/events")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        return frame.page(request, "events/index.html", rows=await rows(session_of(request)))

    @get("/events/live")
    async def index_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, lists(session_of(request)))

    @post("/events/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        name = (await told(request)).get("topic", "")
        session = session_of(request)
        if all(one.name != name for one in await topics(session)):
            await frame.calls.ask(session, "events.set-topic", TopicStatus, topic=name, settings=TopicSettings())
        return done(frame, request, f"/events/topic/{name}", "", go=True)

    @get("/events/topic/{topic:str}")
    async def detail(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        session = session_of(request)
        found = await state(session, topic)
        wanted = _wanted(frame, request)
        events = await frame.calls.ask(session, "events.read", list[Event[Any]], topic=topic, limit=PAGE, **wanted)
        forward = not wanted["reverse"]
        shown = list(reversed(events)) if forward else events
        return frame.page(
            request,
            "events/topic.html",
            events=[(event, short_json(event.payload)) for event in shown],
            older=shown[-1].position if shown and shown[-1].position > found["topic"].first else 0,
            position=request.query_params.get("position", ""),
            since=request.query_params.get("since", ""),
            choices=SINCE,
            age=_span(found["topic"].settings.retention.age),
            schema=long_json(found["topic"].settings.schema) if found["topic"].settings.schema else "",
            **found,
        )

    @get("/events/topic/{topic:str}/live")
    async def detail_live(request: Request[Any, Any, Any], topic: FromPath[str]) -> Stream:
        return live(frame, request, states(request, topic))

    @get("/events/topic/{topic:str}/follow")
    async def follow(request: Request[Any, Any, Any], topic: FromPath[str]) -> Stream:
        return live(frame, request, entries(session_of(request), topic))

    @post("/events/topic/{topic:str}/publish", status_code=200)
    async def publish(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        published = await frame.calls.ask(
            session_of(request),
            "events.publish",
            Published,
            topic=topic,
            payload=json_of(form.get("payload", ""), "payload"),
            key=form.get("key", ""),
            delay=_seconds(form.get("delay", ""), "delay"),
            deduplication_id=form.get("deduplication_id", ""),
        )
        text = f"Published at position {published.position}"
        if published.duplicate:
            text = f"Nothing was published: {published.id} has the same de-duplication id"
        elif published.quarantined:
            text = "It does not fit the schema, and was put aside"
        elif not published.position:
            text = "It takes its place in the topic when its delay is over"
        return done(frame, request, f"/events/topic/{topic}", text)

    @post("/events/topic/{topic:str}/settings", status_code=200)
    async def change(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        settings = TopicSettings(
            retention=Retention(
                age=_seconds(form.get("age", ""), "age"),
                count=_whole(form.get("count", ""), "events"),
                size=_whole(form.get("size", ""), "bytes"),
            ),
            schema=json_of(form.get("schema", ""), "schema") or {},
            misfits=Misfits.QUARANTINE if form.get("misfits") == Misfits.QUARANTINE else Misfits.REFUSE,
        )
        await frame.calls.ask(session_of(request), "events.set-topic", TopicStatus, topic=topic, settings=settings)
        return done(frame, request, f"/events/topic/{topic}", "The settings are changed")

    @post("/events/topic/{topic:str}/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        await frame.calls.ask(session_of(request), "events.delete-topic", topic=topic)
        return done(frame, request, "/events", "", go=True)

    @post("/events/topic/{topic:str}/reset-group", status_code=200)
    async def reset_group(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        position = _whole(form.get("position", ""), "position") or None
        await frame.calls.ask(
            session_of(request),
            "events.reset-group",
            GroupStatus,
            topic=topic,
            group=form.get("group", ""),
            to=form.get("to", "beginning"),
            position=position,
        )
        return done(frame, request, f"/events/topic/{topic}", f"{form.get('group')} begins anew")

    @post("/events/topic/{topic:str}/delete-group", status_code=200)
    async def delete_group(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        group = (await told(request)).get("group", "")
        await frame.calls.ask(session_of(request), "events.delete-group", topic=topic, group=group)
        return done(frame, request, f"/events/topic/{topic}", f"{group} is removed")

    return [
        index,
        index_live,
        create,
        detail,
        detail_live,
        follow,
        publish,
        change,
        delete,
        reset_group,
        delete_group,
        *dead_pages(frame),
    ]


def _wanted(frame: Frame, request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Which events the address asks for: from a position or time on, or the latest before a position."""
    query = request.query_params
    with contextlib.suppress(ValueError):
        position = int(query.get("position", ""))
        if position > 0:
            return {"after": position - 1, "reverse": False}
    with contextlib.suppress(ValueError):
        return {"since": frame.parts.clock.now() - parse_duration(query.get("since", "")), "reverse": False}
    with contextlib.suppress(ValueError):
        return {"after": max(0, int(query.get("before", ""))), "reverse": True}
    return {"reverse": True}


def _seconds(text: str, field: str) -> float:
    if not text:
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as error:
        raise errors.BadRequest(f"{field}: {error}") from None


def _span(seconds: float) -> str:
    """A length of time as it is typed: `7d`, `90s`; empty for none."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s" if seconds else ""


def _whole(text: str, field: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise errors.BadRequest(f"{field}: {text!r} is no whole number")
    return int(text)
