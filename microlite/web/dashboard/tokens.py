"""The page of personal tokens, and what makes and revokes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get, post

from microlite.core.auth.api import AccountRecord, NewPersonalToken, PersonalToken
from microlite.core.description.timing import seconds
from microlite.web.dashboard.access_forms import scopes_in, show_once
from microlite.web.dashboard.acting import done, told
from microlite.web.dashboard.frame import is_of_machine, session_of
from microlite.web.dashboard.navigation import may

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

LOOKED_AT: Final = 1_000
"""Accounts whose tokens are listed together."""


async def tokens_of(frame: Frame, session: WebSession, account: str) -> list[PersonalToken]:
    """The personal tokens of an account; without one those of the asker, or all if he operates the platform from there."""
    if not account and is_of_machine(session):
        accounts = await frame.calls.ask(session, "auth.accounts.list", list[AccountRecord], limit=LOOKED_AT)
        return [one for each in accounts for one in await tokens_of(frame, session, each.id)]
    found: list[PersonalToken] = await frame.calls.ask(
        session, "auth.tokens.list", list[PersonalToken], account=account
    )
    return found


def token_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list, and what changes it."""

    @get("/access/tokens")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        account = request.query_params.get("account", "").strip()
        return frame.page(
            request,
            "access/tokens.html",
            tokens=await tokens_of(frame, session, account),
            account=account,
            of_machine=is_of_machine(session),
            may_all=may(session, "auth.accounts.list", frame.parts.authority),
            here=_list(account),
        )

    @post("/access/tokens/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        account = form.get("account", "")
        made = await frame.calls.ask(
            session_of(request),
            "auth.tokens.create",
            NewPersonalToken,
            name=form.get("name", ""),
            account=account,
            scopes=scopes_in(form.get("scopes", "")),
            expires_in=seconds(form.get("expires", ""), "expires", least=60.0),
        )
        return show_once(frame, request, "tokens", _list(account), f"The token {made.name}", made.token)

    @post("/access/tokens/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        fields: dict[str, Any] = {"id": form.get("id", ""), "account": form.get("account", "")}
        await frame.calls.ask(session_of(request), "auth.tokens.delete", **fields)
        return done(frame, request, _list(form.get("account", "")), "The token is revoked")

    return [index, create, delete]


def _list(account: str) -> str:
    return f"/access/tokens?{urlencode({'account': account})}" if account else "/access/tokens"
