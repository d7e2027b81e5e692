"""Which namespace a session shows: whoever operates the platform can choose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get, post

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE
from microlite.web.dashboard.acting import told
from microlite.web.dashboard.frame import HTML, secret_of, session_of

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame


_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


class _Named(msgspec.Struct):
    """What is read here of a namespace."""

    name: str
    deleting: bool = False


def namespace_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page that offers the namespaces, and what chooses one."""

    async def names(session: WebSession) -> list[str]:
        """What can be chosen; nothing where the platform cannot list them, and a name is typed."""
        asking = msgspec.structs.replace(session, namespace=DEFAULT_NAMESPACE)  # there is one in every platform
        try:
            found = await frame.calls.ask(asking, "namespaces.list", list[_Named])
        except errors.NotFound:
            return []
        return [*sorted({DEFAULT_NAMESPACE, *(one.name for one in found if not one.deleting)}), PLATFORM_NAMESPACE]

    def check(session: WebSession) -> None:
        if not session.account.is_platform_admin:
            raise errors.Forbidden("only who operates the platform looks into other namespaces than their own")

    @get("/namespace")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        check(session)
        found = await names(session)
        return frame.page(request, "access/namespace.html", names=found, platform=PLATFORM_NAMESPACE)

    @post("/namespace", status_code=200)
    async def choose(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        check(session)
        wanted = (await told(request)).get("namespace", "")
        known = await names(session)
        if known and wanted not in known:
            raise errors.NotFound(f"there is no namespace {wanted!r}; make it with: microlite namespace create NAME")
        if not known and not _NAME.fullmatch(wanted):
            raise errors.BadRequest("namespace: lower-case letters, digits, hyphens and points")
        await frame.parts.sessions.move(secret_of(request), wanted)
        moved = msgspec.structs.replace(session, namespace=wanted)
        return Response("", media_type=HTML, status_code=303, headers={"location": frame.home_page(moved)})

    return [index, choose]
