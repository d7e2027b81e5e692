"""What a button or form of a page answers, and what of it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response

from microlite.core import errors
from microlite.web.dashboard.frame import HTML

if TYPE_CHECKING:
    from microlite.web.dashboard.frame import Frame

CHANGED = "changed"
"""The event by which what a page shows is loaded again, where it is not live (`hx-trigger="changed from:body"`)."""

SHORT = 2_000
"""Characters of a value that a list shows."""


def done(frame: Frame, request: Request[Any, Any, Any], path: str, text: str, *, go: bool = False) -> Response[str]:
    """A notice for a script, the page it belongs to for a plain form.

    Args:
        path: of the page.
        text: what has happened.
        go: whether a script goes to the page too, as what it showed is not there any more.
    """
    if "hx-request" in request.headers:
        if go:
            return Response("", media_type=HTML, headers={"hx-redirect": path})
        notice = frame.render("_notice.html", text=text, tone="good")
        return Response(notice, media_type=HTML, headers={"hx-trigger": CHANGED})
    return Response("", media_type=HTML, status_code=303, headers={"location": path})


async def told(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of the form, without the blanks around them."""
    return {name: str(value).strip() for name, value in (await request.form()).items()}


def json_of(text: str, field: str) -> Any:
    """The value that somebody has typed as JSON; nothing typed is null.

    Raises:
        BadRequest: it is none.
    """
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError as error:
        raise errors.BadRequest(f"{field}: that is no JSON document: {error}. A text stands in quotes.") from None


def short_json(value: object) -> str:
    """A value on a line, cut where it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHORT else f"{text[:SHORT]}… ({len(text):,} characters)"


def long_json(value: object) -> str:
    """A value over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
