"""The dead letters of a topic: to look at, to mend, to deliver again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get, post
from litestar.params import FromPath

from microlite.core.events.api import DeadKind, DeadLetter, DeadLetters
from microlite.web.dashboard.acting import done, json_of, long_json, told
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.words import count

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.web.dashboard.frame import Frame

PAGE: Final = 25
"""Dead letters on one page."""


def dead_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page of the dead letters of a group, all of them or those of one error, and what changes them."""

    @get("/events/topic/{topic:str}/dead")
    async def index(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        session, query = session_of(request), request.query_params
        group, kind, after = query.get("group", ""), query.get("kind", ""), query.get("after", "")
        page = await frame.calls.ask(
            session, "events.dead-letters", DeadLetters, topic=topic, group=group, kind=kind, after=after, limit=PAGE
        )
        kinds = await frame.calls.ask(session, "events.dead-kinds", list[DeadKind], topic=topic, group=group)
        return frame.page(
            request,
            "events/dead.html",
            topic=topic,
            group=group,
            kind=kind,
            total=sum(one.count for one in kinds if kind in ("", one.kind)),
            letters=[(letter, long_json(letter.event.payload)) for letter in page.letters],
            following=f"{_path(topic, group, kind)}&{urlencode({'after': page.cursor})}" if page.cursor else "",
        )

    @post("/events/topic/{topic:str}/dead/redrive", status_code=200)
    async def redrive(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        number = await frame.calls.ask(session_of(request), "events.redrive", int, timeout=None, **_which(topic, form))
        return _done(request, topic, form, f"{count(number, 'event')} will be delivered again")

    @post("/events/topic/{topic:str}/dead/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        session = session_of(request)
        number = await frame.calls.ask(session, "events.delete-dead-letters", int, timeout=None, **_which(topic, form))
        return _done(request, topic, form, f"{count(number, 'dead letter')} removed")

    @post("/events/topic/{topic:str}/dead/edit", status_code=200)
    async def edit(request: Request[Any, Any, Any], topic: FromPath[str]) -> Response[str]:
        form = await told(request)
        session, group, letter = session_of(request), form.get("group", ""), form.get("id", "")
        payload = json_of(form.get("payload", ""), "payload")
        await frame.calls.ask(
            session, "events.edit-dead-letter", DeadLetter, topic=topic, group=group, id=letter, payload=payload
        )
        if form.get("then") != "redrive":
            return _done(request, topic, form, "The payload is changed")
        number = await frame.calls.ask(session, "events.redrive", int, topic=topic, group=group, ids=[letter])
        return _done(request, topic, form, f"{count(number, 'event')} will be delivered again")

    def _done(request: Request[Any, Any, Any], topic: str, form: dict[str, str], text: str) -> Response[str]:
        left = form.get("left", "")
        path = f"/events/topic/{topic}" if left == "0" else _path(topic, form.get("group", ""), form.get("kind", ""))
        return done(frame, request, path, text, go=True)

    return [index, redrive, delete, edit]


def _which(topic: str, form: dict[str, str]) -> dict[str, Any]:
    letter = form.get("id", "")
    return {
        "topic": topic,
        "group": form.get("group", ""),
        "ids": [letter] if letter else None,
        "kind": "" if letter else form.get("kind", ""),
    }


def _path(topic: str, group: str, kind: str) -> str:
    return f"/events/topic/{topic}/dead?{urlencode({'group': group, 'kind': kind})}"
