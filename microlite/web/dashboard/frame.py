"""What every page is made with: templates, calls, the session of a request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from litestar import Request, Response

from microlite.core.auth.web_sessions import WebSession
from microlite.core.description.type_words import objects, type_word
from microlite.version import __version__
from microlite.web.dashboard import words
from microlite.web.dashboard.calls import Calls
from microlite.web.dashboard.static import StaticFiles

if TYPE_CHECKING:
    from microlite.web.dashboard.options import DashboardOptions
    from microlite.web.dashboard.parts import DashboardParts

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"

HTML: Final = "text/html"

NAVIGATION: Final = (
    ("Run", (("services", "/", "Services"), ("logs", "/logs", "Logs"))),
    ("Call", (("explorer", "/explorer", "Explorer"), ("docs", "/docs", "API docs"))),
    (
        "State",
        (("store", "/store", "Records"), ("blobs", "/store/blobs", "Blobs"), ("config", "/config", "Configuration")),
    ),
    (
        "Background",
        (("events", "/events", "Events"), ("broker", "/broker", "Messages"), ("schedules", "/schedules", "Schedules")),
    ),
    ("Platform", (("namespaces", "/namespaces", "Namespaces"),)),
)
"""The pages in the navigation, by what they are for: key, path, word. A page says its key, so that it is marked."""


class Frame:
    """Renders pages and makes their calls.

    Args:
        options: the settings.
        parts: the rest of the platform.
        url: of the dashboard.
        gateway: URL of the gateway, without a slash at the end.

    Attributes:
        stopping: set when the platform ends, so that what is live does too.
    """

    def __init__(self, options: DashboardOptions, parts: DashboardParts, url: str, gateway: str) -> None:
        self.options = options
        self.parts = parts
        self.url = url
        self.gateway = gateway
        self.calls = Calls(parts.send)
        self.static = StaticFiles(Path(__file__).parent / "static")
        self.stopping = asyncio.Event()
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.policies["json.dumps_kwargs"] = {"sort_keys": False}  # fields stay as they were declared
        self._templates.filters.update(words.FILTERS)
        self._templates.globals.update(
            version=__version__,
            gateway=gateway,
            home=parts.home,
            static=self.static.url,
            navigation=NAVIGATION,
            type_word=type_word,
            objects=objects,
            now=parts.clock.now,
        )

    def render(self, template: str, **context: Any) -> str:
        """A template as text."""
        return self._templates.get_template(template).render(context)

    def page(
        self, request: Request[Any, Any, Any], template: str, *, status: int = 200, **context: Any
    ) -> Response[str]:
        """A whole page for somebody who is logged in."""
        session = session_of(request)
        text = self.render(
            template, session=session, csrf=csrf_token(secret_of(request)), path=request.url.path, **context
        )
        return Response(text, media_type=HTML, status_code=status, headers={"cache-control": "no-store"})


def session_of(request: Request[Any, Any, Any]) -> WebSession:
    """Who is logged in. The guard lets no request without a session come to a page."""
    session: WebSession = request.scope["state"]["microlite.session"]
    return session


def secret_of(request: Request[Any, Any, Any]) -> str:
    """The secret of the session."""
    secret: str = request.scope["state"]["microlite.secret"]
    return secret


def csrf_token(secret: str) -> str:
    """What a request that changes something must show besides the cookie: pages of other sites cannot read it."""
    return hmac.new(secret.encode(), b"microlite csrf", hashlib.sha256).hexdigest()
