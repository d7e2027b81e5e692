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
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN
from microlite.core.description.access_words import access_words
from microlite.core.description.type_words import objects, type_word
from microlite.version import __version__
from microlite.web.dashboard import words
from microlite.web.dashboard.bell import Bell
from microlite.web.dashboard.calls import Calls
from microlite.web.dashboard.navigation import first_page, pages_for
from microlite.web.dashboard.static import StaticFiles

if TYPE_CHECKING:
    from microlite.web.dashboard.options import DashboardOptions
    from microlite.web.dashboard.parts import DashboardParts

TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"

HTML: Final = "text/html"


class Frame:
    """Renders pages and makes their calls.

    Args:
        options: the settings.
        parts: the rest of the platform.
        url: of the dashboard.
        gateway: URL of the gateway, without a slash at the end.

    Attributes:
        stopping: set when the platform ends, so that what is live does too.
        ends: rings when a log-in may have ended, so that what is live looks whether it was its own.
    """

    def __init__(self, options: DashboardOptions, parts: DashboardParts, url: str, gateway: str) -> None:
        self.options = options
        self.parts = parts
        self.url = url
        self.gateway = gateway
        self.calls = Calls(parts.send)
        self.static = StaticFiles(Path(__file__).parent / "static")
        self.stopping = asyncio.Event()
        self.ends = Bell()
        parts.on_revoked(lambda _: self.ends.ring())
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
            access_words=access_words,
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
            template,
            session=session,
            navigation=pages_for(session, self.parts.authority),
            home_page=self.home_page(session),
            csrf=csrf_token(secret_of(request)),
            path=request.url.path,
            **context,
        )
        return Response(text, media_type=HTML, status_code=status, headers={"cache-control": "no-store"})

    def login_page(self, error: str = "", *, account: str = "", namespace: str = "", by_token: bool = False) -> str:
        """The page on which one logs in.

        Args:
            error: why a try has failed.
            account, namespace: what was typed; the secret is never written back.
            by_token: whether the admin's token was tried.
        """
        namespace = namespace or DEFAULT_NAMESPACE
        return self.render("login/login.html", error=error, account=account, namespace=namespace, by_token=by_token)

    def home_page(self, session: WebSession) -> str:
        """The path of the page with which somebody begins: the first that the account may read."""
        return first_page(session, self.parts.authority)


def is_logged_in(request: Request[Any, Any, Any]) -> bool:
    """Whether the guard has found a session."""
    return "microlite.session" in request.scope.get("state", {})


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


def is_of_machine(session: WebSession) -> bool:
    """Whether it is who operates the platform at its machine, of whom no account is kept."""
    return session.account.id == PLATFORM_ADMIN.id and session.account.namespace == PLATFORM_ADMIN.namespace
