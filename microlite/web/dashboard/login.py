"""Logging in and out: by account and secret, by the link of `microlite web`, or by the admin's token."""

from __future__ import annotations

import hmac
import math
import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response, get, post
from litestar.params import FromPath

from microlite.core import errors
from microlite.core.auth.web_sessions import WebSession
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN, Account
from microlite.web.dashboard.cookies import cookie_name, is_secure, secrets_in, with_secret, without_secrets
from microlite.web.dashboard.frame import HTML

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.core.clock import Clock
    from microlite.web.dashboard.frame import Frame

LOGIN: Final = "/login"
OPEN: Final = "/login/"
"""Below it stand the secrets of links; like `LOGIN` itself it is open to all."""

MOST_TRIES: Final = 5
TRY_WINDOW: Final = 60.0
"""So many wrong tokens are taken within so many seconds; with 256 bits this is for the log's sake more than for safety."""


class Tries:
    """Counts what was typed wrong, for all who type.

    Args:
        clock: for the window.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: deque[float] = deque()

    def wait(self) -> float:
        """Seconds until another try is taken; 0 for now."""
        now = self._clock.monotonic()
        while self._failed and now - self._failed[0] >= TRY_WINDOW:
            self._failed.popleft()
        return 0.0 if len(self._failed) < MOST_TRIES else TRY_WINDOW - (now - self._failed[0])

    def fail(self) -> None:
        """One more was wrong."""
        self._failed.append(self._clock.monotonic())


async def open_session(frame: Frame, request: Request[Any, Any, Any], account: Account, namespace: str) -> str:
    """Log an account in. Returns the `Set-Cookie` that gives the browser its session.

    Raises:
        Unauthorized: the account is not there any more, or kept out.
    """
    secret = await frame.parts.sessions.open(account, namespace)
    secure = _is_secure(request)
    return with_secret(_cookies(request), cookie_name(frame.options.cookie, secure=secure), secret, secure=secure)


def login_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The pages of logging in and out."""
    tries = Tries(frame.parts.clock)

    def cookie_of(request: Request[Any, Any, Any]) -> str:
        return cookie_name(frame.options.cookie, secure=_is_secure(request))

    async def enter(request: Request[Any, Any, Any], account: Account, namespace: str) -> Response[str]:
        header = await open_session(frame, request, account, namespace)
        first = frame.home_page(WebSession(account=account, namespace=namespace, began=0.0, seen=0.0))
        if request.headers.get("sec-fetch-site", "none") == "cross-site":
            # A redirect would still count as another site's doing, and the new cookie would not be sent along.
            headers = {"set-cookie": header, "refresh": f"0; url={first}", "cache-control": "no-store"}
            return Response(frame.render("login/entered.html", first=first), media_type=HTML, headers=headers)
        return _to(first, header)

    def show(
        status: int = 200, error: str = "", *, account: str = "", namespace: str = "", by_token: bool = False
    ) -> Response[str]:
        text = frame.login_page(error, account=account, namespace=namespace, by_token=by_token)
        return Response(text, media_type=HTML, status_code=status, headers={"cache-control": "no-store"})

    def show_wait(seconds: float, **filled: Any) -> Response[str]:
        answer = show(429, f"Too many tries to log in: the next one is looked at {_in_words(seconds)}.", **filled)
        answer.headers["retry-after"] = str(max(1, math.ceil(seconds)))
        return answer

    @get(LOGIN)
    async def login() -> Response[str]:
        return show()

    @post(LOGIN, status_code=200)
    async def login_by_form(request: Request[Any, Any, Any]) -> Response[str]:
        form = await request.form()
        if "token" in form:
            return await by_token(request, str(form.get("token", "")).strip())
        name, namespace = (str(form.get(field, "")).strip() for field in ("account", "namespace"))
        namespace = namespace or DEFAULT_NAMESPACE
        address = request.client.host if request.client else ""
        try:
            account = await frame.parts.log_in(namespace, name, str(form.get("secret", "")), address)
        except errors.TooManyRequests as error:
            return show_wait(_wait_of(error), account=name, namespace=namespace)
        except errors.Unauthorized:
            return show(403, "No account of this namespace has this secret.", account=name, namespace=namespace)
        return await enter(request, account, _home_of(account))

    async def by_token(request: Request[Any, Any, Any], token: str) -> Response[str]:
        wait = tries.wait()
        if wait:
            return show_wait(wait, by_token=True)
        wanted = frame.parts.admin_token
        if not wanted or not hmac.compare_digest(token.encode(), wanted.encode()):
            tries.fail()
            return show(403, "That is not the token of this platform.", by_token=True)
        return await enter(request, PLATFORM_ADMIN, DEFAULT_NAMESPACE)

    @get("/login/{secret:str}")
    async def login_by_link(request: Request[Any, Any, Any], secret: FromPath[str]) -> Response[str]:
        invitation = await frame.parts.links.redeem(secret) if request.method == "GET" else None
        if invitation is None:
            return show(410, "That link was used already, or is older than a minute.")
        return await enter(request, invitation.account, invitation.namespace)

    @post("/logout", status_code=200)
    async def logout(request: Request[Any, Any, Any]) -> Response[str]:
        # A browser that has logged in more than once has several sessions here: whoever logs out wants none to be left.
        sessions, cookie = frame.parts.sessions, cookie_of(request)
        ours = [one for one in secrets_in(_cookies(request), cookie) if await sessions.lasts(one)]
        for secret in ours:
            await sessions.end(secret)
        return _to(LOGIN, without_secrets(_cookies(request), cookie, ours, secure=_is_secure(request)))

    @get("/alive")
    async def alive() -> Response[str]:
        return Response("yes", media_type="text/plain", headers={"cache-control": "no-store"})

    return [login, login_by_form, login_by_link, logout, alive]


def _home_of(account: Account) -> str:
    """The namespace that an account sees first: its own, which for one of the platform is that of everybody."""
    return DEFAULT_NAMESPACE if account.is_platform_admin else account.namespace


def _wait_of(error: errors.TooManyRequests) -> float:
    """Seconds until the next try, as the error says them."""
    found = re.search(r"in (\d+) s", error.detail)
    return float(found[1]) if found else TRY_WINDOW


def _in_words(seconds: float) -> str:
    if seconds <= 1:
        return "in a second"
    if seconds < 90:
        return f"in {math.ceil(seconds)} seconds"
    return f"in {math.ceil(seconds / 60)} minutes"


def _to(path: str, cookie: str) -> Response[str]:
    headers = {"location": path, "set-cookie": cookie, "cache-control": "no-store"}
    return Response("", media_type=HTML, status_code=303, headers=headers)


def _cookies(request: Request[Any, Any, Any]) -> bytes:
    return request.headers.get("cookie", "").encode("latin-1")


def _is_secure(request: Request[Any, Any, Any]) -> bool:
    return is_secure(request.scope, dict(request.scope["headers"]))  # type: ignore[arg-type]  # Litestar's own type of it
