"""The page of one's own account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post

from microlite.core import errors
from microlite.web.dashboard.frame import HTML, is_of_machine, session_of
from microlite.web.dashboard.login import open_session
from microlite.web.dashboard.tokens import tokens_of

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.web.dashboard.frame import Frame


def own_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page, and what changes the secret."""

    @get("/me")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        of_machine = is_of_machine(session)
        tokens = [] if of_machine else await tokens_of(frame, session, "")
        return frame.page(
            request, "access/me.html", of_machine=of_machine, tokens=tokens, changed="changed" in request.query_params
        )

    @post("/me/secret", status_code=200)
    async def secret(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        form = await request.form()
        old, new, again = (str(form.get(name, "")) for name in ("old", "secret", "again"))
        if new != again:
            raise errors.BadRequest("the new secret and its repetition are not the same")
        await frame.calls.ask(session, "auth.accounts.change-secret", old_secret=old, new_secret=new)
        # All sessions of the account have ended by that; who knows both secrets goes on in a new one.
        cookie = await open_session(frame, request, session.account, session.namespace)
        if "hx-request" in request.headers:
            return Response("", media_type=HTML, headers={"hx-redirect": "/me?changed", "set-cookie": cookie})
        return Response("", media_type=HTML, status_code=303, headers={"location": "/me?changed", "set-cookie": cookie})

    return [index, secret]
