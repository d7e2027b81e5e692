"""What the forms of access say, as the endpoints of `auth` take it; and the page that shows a secret once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response

from microlite.core import errors
from microlite.web.dashboard.acting import CHANGED
from microlite.web.dashboard.frame import HTML

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.web.dashboard.frame import Frame


def scopes_in(text: str) -> tuple[str, ...]:
    """The scopes that somebody has typed, with blanks or commas between them."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def notes_in(text: str) -> dict[str, str]:
    """The metadata that somebody has typed, one a line, `key=value`.

    Raises:
        BadRequest: a line is not like that; the detail names it.
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or not key.strip():
            raise errors.BadRequest(f"notes: line {number} is no key=value: {line.strip()[:60]}")
        found[key.strip()] = value.strip()
    return found


def notes_text(metadata: Mapping[str, str]) -> str:
    """Metadata as one types it."""
    return "\n".join(f"{key}={value}" for key, value in metadata.items())


def show_once(
    frame: Frame, request: Request[Any, Any, Any], section: str, back: str, title: str, secret: str
) -> Response[str]:
    """Show a secret that nobody can read again: in the page for a script, as a page for a plain form.

    It is the body of an answer to a POST that no cache keeps, and stands in no address.

    Args:
        section: of the navigation.
        back: the path of the page that the form is on.
        title: what it is, as a sentence.
    """
    if "hx-request" in request.headers:
        text = frame.render("access/_once.html", title=title, secret=secret)
        return Response(text, media_type=HTML, headers={"hx-trigger": CHANGED, "cache-control": "no-store"})
    return frame.page(request, "access/once.html", section=section, back=back, title=title, secret=secret)
