"""The page of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from litestar import Request, Response, get

from microlite.core import errors
from microlite.core.auth.api import AuditPage
from microlite.web.dashboard.frame import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.handlers import HTTPRouteHandler

    from microlite.web.dashboard.frame import Frame

PAGE: Final = 50
"""Entries on one page."""

_FIELDS: Final = ("actor", "action", "resource", "since", "until")


def audit_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The log, the newest first, and as it grows."""

    @get("/access/audit")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        filters = _filters(request.query_params)
        before = _number(request.query_params.get("before", ""))
        page = await frame.calls.ask(
            session_of(request), "auth.audit.list", AuditPage, before=before, limit=PAGE, **_fields(filters)
        )
        return frame.page(
            request,
            "access/audit.html",
            entries=page.entries,
            filters=filters,
            filtered=any(filters.values()),
            live="",
            first=_at(filters) if before else "",
            following=_at(filters, page.cursor) if page.cursor else "",
        )

    return [index]


def _filters(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query.get(name, "").strip() for name in _FIELDS}


def _fields(filters: Mapping[str, str]) -> dict[str, Any]:
    """The request that filters ask for."""
    return {**filters, "since": _moment(filters["since"], "from"), "until": _moment(filters["until"], "until")}


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


def _at(filters: Mapping[str, str], before: int = 0) -> str:
    fields: dict[str, Any] = {name: value for name, value in filters.items() if value}
    if before:
        fields["before"] = before
    return f"/access/audit?{urlencode(fields)}" if fields else "/access/audit"
