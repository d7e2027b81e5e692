"""The messages: who is subscribed, what is published, a form to publish, and what comes, live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core.broker.api import Message, Published, Subscription, Topic
from microlite.web.dashboard.acting import done, json_of, short_json, told
from microlite.web.dashboard.frame import csrf_token, secret_of, session_of
from microlite.web.dashboard.live import live
from microlite.web.dashboard.words import clock_time, count

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

BEAT: Final = 1.0
"""Seconds between two looks at numbers that change all the time."""

PATH: Final = "/broker"


def broker_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page, what it follows, and what its buttons do."""

    async def state(session: WebSession) -> dict[str, Any]:
        return {
            "subscriptions": await frame.calls.ask(session, "broker.subscriptions", list[Subscription]),
            "topics": await frame.calls.ask(session, "broker.topics", list[Topic]),
        }

    async def states(request: Request[Any, Any, Any]) -> AsyncGenerator[tuple[str, str], None]:
        session, csrf = session_of(request), csrf_token(secret_of(request))
        shown: dict[str, Any] = {}
        while True:
            found = await state(session)
            if found != shown:
                shown = found
                yield "state", frame.render("broker/_state.html", csrf=csrf, **found)
            await asyncio.sleep(BEAT)

    async def messages(session: WebSession, topic: str) -> AsyncGenerator[tuple[str, str], None]:
        async for message in frame.calls.follow(session, "broker.subscribe", Message[Any], topic=topic):
            shown = {
                "time": clock_time(frame.parts.clock.now()),
                "name": message.topic,
                "text": short_json(message.value),
                "note": f"{message.dropped} dropped before" if message.dropped else "",
                "more": "\n".join(f"{name}: {value}" for name, value in message.headers.items()),
            }
            yield "item", msgspec.json.encode(shown).decode()

    @get(PATH)
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        topic = request.query_params.get("topic", ">")
        return frame.page(request, "broker/index.html", topic=topic, **await state(session_of(request)))

    @get(f"{PATH}/live")
    async def state_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, states(request))

    @get(f"{PATH}/messages")
    async def follow(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, messages(session_of(request), request.query_params.get("topic", ">")))

    @post(f"{PATH}/publish", status_code=200)
    async def publish(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        published = await frame.calls.ask(
            session_of(request),
            "broker.publish",
            Published,
            topic=form.get("topic", ""),
            value=json_of(form.get("value", ""), "message"),
        )
        took = count(published.subscribers, "subscriber") if published.subscribers else "nobody"
        return done(frame, request, PATH, f"Published: {took} took it")

    @post(f"{PATH}/unsubscribe/{{seat:str}}", status_code=200)
    async def unsubscribe(request: Request[Any, Any, Any], seat: FromPath[str]) -> Response[str]:
        await frame.calls.ask(session_of(request), "broker.unsubscribe", id=seat)
        return done(frame, request, PATH, "The subscription has ended")

    return [index, state_live, follow, publish, unsubscribe]
