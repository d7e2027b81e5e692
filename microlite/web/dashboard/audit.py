"""The page of the audit log."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.response import Stream

from microlite.core import errors
from microlite.core.auth.api import AuditEntry, AuditPage
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.live import CALM, live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAGE: Final = 50
"""Entries on one page."""

_FIELDS: Final = ("actor", "action", "resource", "since", "until", "platform")

LIVE: Final = "/access/audit/live"


def audit_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The log, the newest first, and as it grows."""

    async def entries(session: WebSession, filters: Mapping[str, str], before: int = 0) -> AuditPage:
        page: AuditPage = await frame.calls.ask(
            session, "auth.audit.list", AuditPage, before=before, limit=PAGE, **_fields(filters)
        )
        return page

    async def fragments(session: WebSession, filters: Mapping[str, str]) -> AsyncGenerator[tuple[str, str], None]:
        """The newest page, at once and whenever something is done."""
        asked = {name: value for name, value in _fields(filters).items() if name not in ("since", "until")}
        following = frame.calls.follow(session, "auth.audit.watch", AuditEntry, **asked)
        async with aclosing(following) as news:
            coming = asyncio.ensure_future(anext(news, None))
            try:
                while True:
                    page = await entries(session, filters)
                    yield "entries", frame.render("access/_entries.html", **_shown(session, page, filters))
                    if await coming is None:
                        return
                    await asyncio.sleep(CALM)
                    coming = asyncio.ensure_future(anext(news, None))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    @get("/access/audit")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session = session_of(request)
        filters = _filters(request.query_params)
        before = _number(request.query_params.get("before", ""))
        page = await entries(session, filters, before)
        return frame.page(
            request,
            "access/audit.html",
            filters=filters,
            live="" if before or filters["until"] else _at(filters, path=LIVE),
            first=_at(filters) if before else "",
            following=_at(filters, before=page.cursor) if page.cursor else "",
            **_shown(session, page, filters),
        )

    @get(LIVE)
    async def index_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, fragments(session_of(request), _filters(request.query_params)))

    return [index, index_live]


def _shown(session: WebSession, page: AuditPage, filters: Mapping[str, str]) -> dict[str, Any]:
    return {"namespace": session.namespace, "entries": page.entries, "filtered": any(filters.values())}


def _filters(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query.get(name, "").strip() for name in _FIELDS}


def _fields(filters: Mapping[str, str]) -> dict[str, Any]:
    """The request that filters ask for."""
    return {
        **filters,
        "since": _moment(filters["since"], "from"),
        "until": _moment(filters["until"], "until"),
        "platform": filters["platform"] == "on",
    }


def _moment(text: str, field: str) -> float:
    """A moment as browsers write it, without a zone: it is that of the platform, in which the log is shown; 0 for none.

    Raises:
        BadRequest: it is none.
    """
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise errors.BadRequest(f"{field}: {text[:40]!r} is no date and time, as in 2026-01-31T12:00") from None


def _number(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 18:
        raise errors.BadRequest(f"before: {text[:20]!r} is no position of the log")
    return int(text)


def _at(filters: Mapping[str, str], *, before: int = 0, path: str = "/access/audit") -> str:
    fields: dict[str, Any] = {name: value for name, value in filters.items() if value}
    if before:
        fields["before"] = before
    return f"{path}?{urlencode(fields)}" if fields else path
