"""The page of the keys that sign tokens, and of the tokens by which nodes of other machines join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post

from microlite.core import errors
from microlite.core.auth.api import JoinToken, Key, NewJoinToken
from microlite.core.description.timing import seconds
from microlite.web.dashboard.access_forms import show_once
from microlite.web.dashboard.acting import done, told
from microlite.web.dashboard.frame import session_of

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame


def key_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page, and what changes keys and join tokens."""

    async def joins(session: WebSession) -> list[JoinToken] | None:
        try:
            found: list[JoinToken] = await frame.calls.ask(session, "auth.join-tokens.list", list[JoinToken])
        except (errors.Forbidden, errors.NotFound):
            return None
        return found

    @get("/access/keys")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        keys = await frame.calls.ask(session, "auth.keys.list", list[Key])
        return frame.page(request, "access/keys.html", keys=keys, joins=await joins(session))

    @post("/access/keys/rotate", status_code=200)
    async def rotate(request: Request[Any, Any, Any]) -> Response[str]:
        await frame.calls.ask(session_of(request), "auth.keys.rotate")
        return done(frame, request, "/access/keys", "A new key signs from now on")

    @post("/access/joins/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        made = await frame.calls.ask(
            session_of(request),
            "auth.join-tokens.create",
            NewJoinToken,
            service=form.get("service", ""),
            lifetime=seconds(form.get("expires", ""), "expires", least=1.0),
        )
        return show_once(frame, request, "keys", "/access/keys", "The join token", made.token)

    @post("/access/joins/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        token = (await told(request)).get("id", "")
        await frame.calls.ask(session_of(request), "auth.join-tokens.delete", id=token)
        return done(frame, request, "/access/keys", "The join token is revoked")

    return [index, rotate, create, delete]
