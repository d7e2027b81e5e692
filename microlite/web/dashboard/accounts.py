"""The pages of accounts: all of them, one of them, and what makes, changes and deletes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get, post

from microlite.core.auth.api import AccountRecord, NewAccount
from microlite.core.auth.secret_keys import new_secret
from microlite.web.dashboard.access_forms import notes_in, notes_text, scopes_in, show_once
from microlite.web.dashboard.acting import done, told
from microlite.web.dashboard.frame import session_of

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAGE: Final = 50
"""Accounts on one page."""

READ: Final = 500
"""Accounts that are asked for at a time."""

MOST_READ: Final = 10_000
"""Accounts that one page looks at, whatever it finds; the next one goes on from there."""


def account_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list, the page of one account, and what changes them."""

    async def read(session: WebSession, account: str) -> AccountRecord:
        found: AccountRecord = await frame.calls.ask(session, "auth.accounts.read", AccountRecord, id=account)
        return found

    async def search(session: WebSession, q: str, kind: str, after: str) -> tuple[list[AccountRecord], str]:
        """A page of accounts that are like that, and behind which id the next one begins; empty at the end."""
        found: list[AccountRecord] = []
        looked = 0
        while looked < MOST_READ:
            page = await frame.calls.ask(session, "auth.accounts.list", list[AccountRecord], after=after, limit=READ)
            for account in page:
                if len(found) == PAGE:
                    return found, after
                after = account.id
                if _is_like(account, q, kind):
                    found.append(account)
            if len(page) < READ:
                return found, ""
            looked += len(page)
        return found, after

    @get("/access/accounts")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        query = request.query_params
        q, kind, after = query.get("q", "").strip(), query.get("type", ""), query.get("after", "")
        found, behind = await search(session_of(request), q, kind, after)
        same = {"q": q, "type": kind}
        return frame.page(
            request,
            "access/accounts.html",
            accounts=found,
            q=q,
            type=kind,
            here=_list(**same, after=after),
            first=_list(**same) if after else "",
            following=_list(**same, after=behind) if behind else "",
        )

    @post("/access/accounts/create", status_code=200)
    async def create(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        typed = str((await request.form()).get("secret", ""))  # as it is: blanks are part of a secret
        made = await frame.calls.ask(
            session_of(request),
            "auth.accounts.create",
            NewAccount,
            id=form.get("id", ""),
            type=form.get("type", "user"),
            name=form.get("name", ""),
            scopes=scopes_in(form.get("scopes", "")),
            metadata=notes_in(form.get("metadata", "")),
            secret=typed,
        )
        title = f"The secret of {made.id}"
        return show_once(frame, request, "accounts", "/access/accounts", title, made.secret)

    @get("/access/account")
    async def one(request: Request[Any, Any, Any]) -> Response[str]:
        account = await read(session_of(request), request.query_params.get("id", ""))
        return frame.page(
            request, "access/account.html", account=account, metadata=notes_text(account.metadata), here=_at(account.id)
        )

    @post("/access/account/update", status_code=200)
    async def update(request: Request[Any, Any, Any]) -> Response[str]:
        form = await told(request)
        account = form.get("id", "")
        await frame.calls.ask(
            session_of(request),
            "auth.accounts.update",
            AccountRecord,
            id=account,
            name=form.get("name", ""),
            scopes=scopes_in(form.get("scopes", "")),
            metadata=notes_in(form.get("metadata", "")),
            disabled=form.get("disabled") == "on",
        )
        return done(frame, request, _at(account), f"{account} is changed")

    @post("/access/account/secret", status_code=200)
    async def secret(request: Request[Any, Any, Any]) -> Response[str]:
        form = await request.form()
        account, wanted = str(form.get("id", "")), str(form.get("secret", "")) or new_secret()
        await frame.calls.ask(session_of(request), "auth.accounts.change-secret", id=account, new_secret=wanted)
        return show_once(frame, request, "accounts", _at(account), f"The new secret of {account}", wanted)

    @post("/access/account/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        account = (await told(request)).get("id", "")
        await frame.calls.ask(session_of(request), "auth.accounts.delete", id=account)
        return done(frame, request, "/access/accounts", f"{account} is deleted", go=True)

    return [index, create, one, update, secret, delete]


def _is_like(account: AccountRecord, q: str, kind: str) -> bool:
    """Whether the id or name of an account begins so, in whatever letters, and it is of this kind."""
    wanted = q.casefold()
    begins = any(text.casefold().startswith(wanted) for text in (account.id, account.name))
    return begins and kind in ("", account.type)


def _list(**fields: str) -> str:
    query = urlencode({name: value for name, value in fields.items() if value})
    return f"/access/accounts?{query}" if query else "/access/accounts"


def _at(account: str) -> str:
    return f"/access/account?{urlencode({'id': account})}"
