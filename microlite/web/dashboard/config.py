"""The configuration: what is in force and why, edited, with its history."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Stream

from microlite.core import errors
from microlite.core.config.api import Difference, Entry, Explained, Misfit, Update, Written
from microlite.core.config.files import text_value
from microlite.core.config.paths import canonical, format_path, join, words_of
from microlite.web.dashboard.frame import HTML, session_of
from microlite.web.dashboard.live import CALM, live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAGE: Final = 30
"""Changes on one page of the history."""


class Branch(msgspec.Struct, kw_only=True):
    """A word of the tree: a value, or a table of what lies below.

    Attributes:
        name: the word.
        path: in canonical form.
        found: the value; None for a table.
        inner: what lies below.
        count: how many values that are.
    """

    name: str
    path: str
    found: Explained | None = None
    inner: list[Branch] = []
    count: int = 0


def config_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The tree, the page of one path, the history, and what changes them."""

    async def tree(session: WebSession) -> dict[str, Any]:
        found = await frame.calls.ask(session, "config.explain", list[Explained])
        misfits = await frame.calls.ask(session, "config.check", list[Misfit])
        return {"branches": grow(found), "total": len(found), "misfits": misfits}

    async def value(session: WebSession, path: str) -> dict[str, Any]:
        found = await frame.calls.ask(session, "config.explain", list[Explained], path=path)
        entries = await frame.calls.ask(session, "config.history", list[Entry], path=path, limit=PAGE)
        return {"at": path, "found": found, "entries": entries, "more": 0}

    async def past(session: WebSession, path: str, before: int) -> dict[str, Any]:
        entries = await frame.calls.ask(session, "config.history", list[Entry], path=path, limit=PAGE, before=before)
        more = entries[-1].revision if len(entries) == PAGE else 0
        return {"at": path, "entries": entries, "more": more, "before": before}

    async def changes(session: WebSession, path: str) -> AsyncGenerator[None, None]:
        following = frame.calls.follow(session, "config.watch", Update, path=path)
        async with aclosing(following) as updates:
            async for _ in updates:
                yield
                await asyncio.sleep(CALM)

    async def tree_fragments(session: WebSession) -> AsyncGenerator[tuple[str, str], None]:
        async for _ in changes(session, ""):
            yield "tree", frame.render("config/_tree.html", **await tree(session))

    async def value_fragments(session: WebSession, path: str) -> AsyncGenerator[tuple[str, str], None]:
        async for _ in changes(session, path):
            yield "value", frame.render("config/_value.html", **await value(session, path))

    async def history_fragments(session: WebSession, path: str) -> AsyncGenerator[tuple[str, str], None]:
        async for _ in changes(session, path):
            yield "history", frame.render("config/_history.html", **await past(session, path, 0))

    @get("/config")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        return frame.page(request, "config/index.html", **await tree(session_of(request)))

    @get("/config/live")
    async def index_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, tree_fragments(session_of(request)))

    @get("/config/value")
    async def one(request: Request[Any, Any, Any]) -> Response[str]:
        return await show(request, canonical(request.query_params.get("path", "")))

    async def show(request: Request[Any, Any, Any], path: str, revealed: str | None = None) -> Response[str]:
        if not path:
            raise errors.BadRequest("name a path of the configuration")
        session = session_of(request)
        context = await value(session, path)
        exact = next((one.setting for one in context["found"] if one.setting.path == path), None)
        return frame.page(
            request,
            "config/value.html",
            exact=exact,
            text="" if exact is None or exact.secret else editable(exact.value),
            revealed=revealed,
            **context,
        )

    @get("/config/value/live")
    async def one_live(request: Request[Any, Any, Any]) -> Stream:
        path = canonical(request.query_params.get("path", ""))
        return live(frame, request, value_fragments(session_of(request), path))

    @get("/config/history")
    async def history(request: Request[Any, Any, Any]) -> Response[str]:
        path = canonical(request.query_params.get("path", ""))
        before = _number(request.query_params.get("before", ""))
        return frame.page(request, "config/history.html", **await past(session_of(request), path, before))

    @get("/config/history/live")
    async def history_live(request: Request[Any, Any, Any]) -> Stream:
        path = canonical(request.query_params.get("path", ""))
        return live(frame, request, history_fragments(session_of(request), path))

    @get("/config/diff")
    async def diff(request: Request[Any, Any, Any]) -> Response[str]:
        since = _number(request.query_params.get("since", ""))
        found = await frame.calls.ask(session_of(request), "config.diff", list[Difference], since=since)
        return frame.page(request, "config/diff.html", since=since, differences=found)

    @post("/config/set", status_code=200)
    async def set_(request: Request[Any, Any, Any]) -> Response[str]:
        form = await request.form()
        path = canonical(str(form.get("path", "")).strip())
        if not path:
            raise errors.BadRequest("name a path, such as limits.max")
        text = str(form.get("value", "")).replace("\r\n", "\n")
        secret = form.get("secret") == "on"
        wanted = text if secret or form.get("kind") == "text" else text_value(text)
        written = await frame.calls.ask(
            session_of(request), "config.set", Written, path=path, value=wanted, secret=secret
        )
        word = f"{path} is set" if written.changed else f"{path} was so already"
        return _done(frame, request, _at(path), word)

    @post("/config/unset", status_code=200)
    async def unset(request: Request[Any, Any, Any]) -> Response[str]:
        path = canonical(str((await request.form()).get("path", "")))
        await frame.calls.ask(session_of(request), "config.unset", Written, path=path)
        return _done(frame, request, _at(path), f"what was set at {path} is taken back")

    @post("/config/rollback", status_code=200)
    async def rollback(request: Request[Any, Any, Any]) -> Response[str]:
        form = await request.form()
        path = canonical(str(form.get("path", "")))
        revision = _number(str(form.get("revision", "")))
        written = await frame.calls.ask(session_of(request), "config.rollback", Written, revision=revision, path=path)
        word = f"back to revision {revision}" if written.changed else f"it is as it was in revision {revision}"
        return _done(frame, request, "/config/history" + (f"?path={quote(path, safe='')}" if path else ""), word)

    @post("/config/reveal", status_code=200)
    async def reveal(request: Request[Any, Any, Any]) -> Response[str]:
        path = canonical(str((await request.form()).get("path", "")))
        found = await frame.calls.ask(session_of(request), "config.get", path=path, secret=True)
        if "hx-request" not in request.headers:
            return await show(request, path, editable(found))
        text = frame.render("config/_revealed.html", revealed=editable(found))
        return Response(text, media_type=HTML, headers={"cache-control": "no-store"})

    return [index, index_live, one, one_live, history, history_live, diff, set_, unset, rollback, reveal]


def grow(found: Iterable[Explained]) -> list[Branch]:
    """The tree of leaves."""
    root = Branch(name="", path="")
    for one in found:
        at = root
        for word in words_of(one.setting.path):
            at.count += 1
            path = join(at.path, format_path((word,)))
            inner = at.inner[-1] if at.inner and at.inner[-1].name == word else None
            if inner is None:
                inner = Branch(name=word, path=path)
                at.inner.append(inner)
            at = inner
        at.found = one
    return root.inner


def editable(value: Any) -> str:
    """A value as one types it: text as it is, unless it would be read as something else."""
    if isinstance(value, str) and text_value(value) == value and isinstance(text_value(value), str):
        return value
    encoded = msgspec.json.encode(value)
    return (msgspec.json.format(encoded, indent=2) if isinstance(value, dict | list) else encoded).decode()


def _at(path: str) -> str:
    return f"/config/value?path={quote(path, safe='')}"


def _number(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 15:
        raise errors.BadRequest(f"{text[:20]!r} is no revision")
    return int(text)


def _done(frame: Frame, request: Request[Any, Any, Any], target: str, word: str) -> Response[str]:
    """What was asked for is done: a notice where scripts run, else the page where one sees it."""
    if "hx-request" in request.headers:
        return Response(frame.render("_notice.html", text=word, tone="good"), media_type=HTML)
    return Response("", media_type=HTML, status_code=303, headers={"location": target})
