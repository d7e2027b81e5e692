"""The ASGI application of the dashboard: the pages, behind the guard. Importing it brings Litestar and Jinja."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException

from microlite.core import errors
from microlite.web.dashboard.accounts import account_pages
from microlite.web.dashboard.audit import audit_pages
from microlite.web.dashboard.blobs import blob_pages
from microlite.web.dashboard.broker import broker_pages
from microlite.web.dashboard.config import config_pages
from microlite.web.dashboard.docs import docs_pages
from microlite.web.dashboard.events import events_pages
from microlite.web.dashboard.explorer import explorer_pages
from microlite.web.dashboard.frame import HTML, Frame, is_logged_in, session_of
from microlite.web.dashboard.guard import Guard
from microlite.web.dashboard.keys import key_pages
from microlite.web.dashboard.login import login_pages
from microlite.web.dashboard.logs import logs_pages
from microlite.web.dashboard.me import own_pages
from microlite.web.dashboard.namespace_switch import namespace_pages
from microlite.web.dashboard.namespaces import namespaces_pages
from microlite.web.dashboard.rules import rule_pages
from microlite.web.dashboard.schedules import schedules_pages
from microlite.web.dashboard.services import services_pages
from microlite.web.dashboard.store import store_pages
from microlite.web.dashboard.tokens import token_pages

if TYPE_CHECKING:
    import asyncio
    from collections.abc import MutableMapping

    from microlite.web.dashboard.options import DashboardOptions
    from microlite.web.dashboard.parts import DashboardParts
    from microlite.web.gateway.cycle import Receive, Send

log = logging.getLogger("microlite.dashboard")

PAGES = (
    login_pages,
    services_pages,
    explorer_pages,
    store_pages,
    blob_pages,
    events_pages,
    broker_pages,
    config_pages,
    schedules_pages,
    logs_pages,
    docs_pages,
    account_pages,
    token_pages,
    rule_pages,
    audit_pages,
    key_pages,
    own_pages,
    namespace_pages,
    namespaces_pages,
)
"""What makes the pages: one function for each module. A page for a further built-in service is one more."""


class DashboardApp:
    """Answers all requests of the dashboard.

    Args:
        options: the settings.
        parts: the rest of the platform.
        url: of the dashboard.
        gateway: URL of the gateway.
    """

    def __init__(self, options: DashboardOptions, parts: DashboardParts, url: str, gateway: str) -> None:
        self._frame = Frame(options, parts, url, gateway)
        application = Litestar(
            [handler for pages in PAGES for handler in pages(self._frame)],
            openapi_config=None,
            logging_config=None,
            debug=False,
            request_max_body_size=options.max_body,
            exception_handlers={
                errors.Error: self._on_error,
                HTTPException: self._on_http_error,
                Exception: self._on_failure,
            },
        )
        self._guard = Guard(application, self._frame)  # type: ignore[arg-type]  # Litestar's own types of ASGI

    @property
    def stopping(self) -> asyncio.Event:
        """Set it to end what is live."""
        return self._frame.stopping

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (https://asgi.readthedocs.io)."""
        await self._guard(scope, receive, send)

    def _on_error(self, request: Request[Any, Any, Any], error: errors.Error) -> Response[str]:
        if "hx-request" in request.headers or "text/html" not in request.headers.get("accept", ""):
            return Response(error.detail, media_type="text/plain", status_code=error.code)
        if isinstance(error, errors.Unauthorized):
            return Response(self._frame.login_page(), media_type=HTML, status_code=error.code)
        if isinstance(error, errors.Forbidden) and is_logged_in(request):
            return self._frame.page(request, "denied.html", status=error.code, error=error)
        chooses = is_logged_in(request) and session_of(request).account.is_platform_admin
        text = self._frame.render("error.html", error=error, chooses=chooses)
        return Response(text, media_type=HTML, status_code=error.code, headers={"cache-control": "no-store"})

    def _on_http_error(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
        known = {
            404: errors.NotFound("there is no such page"),
            405: errors.MethodNotAllowed("this page does not answer that method"),
            413: errors.PayloadTooLarge("the body is larger than the dashboard takes"),
        }
        return self._on_error(request, known.get(error.status_code, errors.BadRequest(error.detail or "bad request")))

    def _on_failure(self, request: Request[Any, Any, Any], error: Exception) -> Response[str]:
        error_id = self._frame.parts.clock.new_id()
        log.error("the dashboard failed at %s (%s)", request.url.path.partition("/login/")[0], error_id, exc_info=error)
        detail = "the dashboard failed; the platform's log has the cause under this id"
        return self._on_error(request, errors.InternalServerError(detail, id=error_id))
