"""The pages of namespaces: what each uses beside what it may use, and the forms that make, limit and delete one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.namespaces.api import Deletion, Namespace, Usage
from microlite.core.sizes import parse_size
from microlite.web.dashboard.acting import done, told
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.live import live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

LOOK: Final = 2.0
"""Seconds between two looks at what is used."""


def namespaces_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list, the page of one namespace, and what changes them."""

    async def ask(session: WebSession, endpoint: str, type: Any, **fields: Any) -> Any:
        asking = msgspec.structs.replace(session, namespace=DEFAULT_NAMESPACE)  # it is about all of them
        return await frame.calls.ask(asking, f"namespaces.{endpoint}", type, **fields)

    async def listed(session: WebSession) -> dict[str, Any]:
        namespaces, usages = await asyncio.gather(
            ask(session, "list", list[Namespace]), ask(session, "usage", list[Usage])
        )
        used = {usage.name: usage for usage in usages}
        return {"namespaces": [(one, used.get(one.name) or Usage(name=one.name)) for one in namespaces]}

    async def list_fragments(session: WebSession) -> AsyncGenerator[tuple[str, str], None]:
        while True:
            yield "namespaces", frame.render("namespaces/_list.html", **await listed(session))
            await asyncio.sleep(LOOK)

    async def usage_fragments(session: WebSession, name: str) -> AsyncGenerator[tuple[str, str], None]:
        while True:
            try:
                (usage,) = await ask(session, "usage", list[Usage], name=name)
            except errors.NotFound:
                yield "usage", frame.render("namespaces/_gone.html", name=name)
                return
            yield "usage", frame.render("namespaces/_usage.html", usage=usage)
            await asyncio.sleep(LOOK)

    @get("/namespaces")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        return frame.page(request, "namespaces/index.html", **await listed(session_of(request)))

    @get("/namespaces/live")
    async def list_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, list_fragments(session_of(request)))

    @get("/namespaces/{name:str}")
    async def detail(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        session = session_of(request)
        namespace = await ask(session, "read", Namespace, name=name)
        (usage,) = await ask(session, "usage", list[Usage], name=name)
        return frame.page(
            request, "namespaces/detail.html", namespace=namespace, usage=usage, default=DEFAULT_NAMESPACE
        )

    @get("/namespaces/{name:str}/live")
    async def detail_live(request: Request[Any, Any, Any], name: FromPath[str]) -> Stream:
        return live(frame, request, usage_fragments(session_of(request), name))

    @post("/namespaces/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        made = await ask(session_of(request), "create", Namespace, name=form.get("name", ""), **_read(form))
        return done(frame, request, f"/namespaces/{quote(made.name)}", f"{made.name} is there", go=True)

    @post("/namespaces/{name:str}/update", status_code=200)
    async def update(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        await ask(session_of(request), "update", Namespace, name=name, **_read(await told(request)))
        return done(frame, request, f"/namespaces/{quote(name)}", f"{name} may use that from now on")

    @post("/namespaces/{name:str}/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[str]:
        session = msgspec.structs.replace(session_of(request), namespace=DEFAULT_NAMESPACE)
        confirm = (await told(request)).get("confirm", "")
        following = frame.calls.follow(session, "namespaces.delete", Deletion, name=name, confirm=confirm)
        try:
            await anext(following)  # it has begun, and goes on by itself
        finally:
            await following.aclose()
        return done(frame, request, "/namespaces", f"{name} is being deleted", go=True)

    return [index, list_live, detail, detail_live, create, update, delete]


def _read(form: Mapping[str, str]) -> dict[str, Any]:
    """What a filled form asks for; an empty field sets no limit.

    Raises:
        BadRequest: a field of it cannot be.
    """
    fields: dict[str, Any] = {"hosts": form.get("hosts", "").replace(",", " ").split()}
    for field, read in (
        ("max_records", int),
        ("max_bytes", parse_size),
        ("max_rate", float),
        ("burst", int),
        ("max_nodes", int),
    ):
        text = form.get(field, "")
        try:
            fields[field] = read(text) if text else 0
        except ValueError as error:
            detail = str(error) if read is parse_size else f"{text[:40]!r} is no number; leave it empty for no limit"
            raise errors.BadRequest(f"{field}: {detail}") from None
    return fields
