"""What every request of the dashboard passes before a page sees it, and every answer before a browser does."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from microlite.core import errors
from microlite.web.dashboard.cookies import cookie_name, is_secure, secrets_in
from microlite.web.dashboard.frame import csrf_token
from microlite.web.dashboard.login import LOGIN, OPEN
from microlite.web.dashboard.policy import policy
from microlite.web.dashboard.static import PREFIX
from microlite.web.gateway.access import Hosts
from microlite.web.gateway.options import GatewayOptions
from microlite.web.gateway.refusals import MisdirectedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from microlite.web.dashboard.frame import Frame
    from microlite.web.gateway.cycle import Application, Message, Receive, Send

HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer, besides the policy."""

CSRF_HEADER: Final = b"x-csrf-token"
CSRF_FIELD: Final = "csrf"
"""Where a request that changes something shows its token: scripts in the header, plain forms in the field."""

MAX_FORM: Final = 64 * 1024
"""Bytes of the largest plain form."""

_HTML: Final = b"text/html; charset=utf-8"
_ONCE: Final = frozenset(
    {b"host", b"origin", b"cookie", b"content-type", b"sec-fetch-site", b"x-forwarded-proto", CSRF_HEADER}
)
_SAFE: Final = ("GET", "HEAD")
_METHODS: Final = (*_SAFE, "POST")


class Guard:
    """Checks host, origin, session and token, in this order, and adds what browsers must know.

    Args:
        application: gets what passes; finds the session in `scope["state"]`.
        frame: has sessions, settings and templates.
    """

    def __init__(self, application: Application, frame: Frame) -> None:
        self._application = application
        self._frame = frame
        self._policy = policy().encode()
        options = frame.options
        self._hosts = Hosts(GatewayOptions(host=options.host, allowed_hosts=options.allowed_hosts))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (https://asgi.readthedocs.io)."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", self._policy))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *HEADERS]}
            await send(message)

        headers = dict(scope["headers"])
        try:
            _check_once(scope["headers"])
            receive = await self._check(scope, headers, receive, send_guarded) or receive
        except _Answered:
            return
        except errors.Error as error:
            await self._refuse(scope, headers, error, send_guarded)
            return
        await self._application(scope, receive, send_guarded)

    async def _check(
        self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> Receive | None:
        """Let the request pass, with the way to its body where that was read here.

        Raises:
            Error: it does not pass.
        """
        method, path = scope["method"], scope["path"]
        host = headers.get(b"host")
        if self._hosts.check_host(host):
            raise MisdirectedRequest("programs are served by the gateway, not by the dashboard")
        if method not in _METHODS:
            raise errors.MethodNotAllowed(f"nothing here answers {method}")
        if path.startswith(PREFIX):
            if await self._frame.static.serve(path, method, headers.get(b"if-none-match", b""), send):
                raise _Answered
            raise errors.NotFound("there is no such file")
        if method not in _SAFE:
            _check_origin(headers, (host or b"").decode("latin-1"), secure=is_secure(scope, headers))
        secret = await self._find_session(scope, headers)
        if path == LOGIN or path.startswith(OPEN):
            # Of whoever is not logged in no more is read than a token takes.
            return None if method in _SAFE else _replay(await _read(receive), receive)
        if not secret:
            raise errors.Unauthorized("log in first: microlite web")
        if method in _SAFE:
            return None
        token = headers.get(CSRF_HEADER, b"").decode("latin-1")
        replayed = None
        if not token and headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            body = await _read(receive)
            token = parse_qs(body.decode("utf-8", "replace")).get(CSRF_FIELD, [""])[0]
            replayed = _replay(body, receive)
        if not hmac.compare_digest(token.encode(), csrf_token(secret).encode()):
            raise errors.Forbidden(
                "this page is too old, or another one sent this in its name: load it again, and retry"
            )
        return replayed

    async def _find_session(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> str:
        name = cookie_name(self._frame.options.cookie, secure=is_secure(scope, headers))
        for secret in secrets_in(headers.get(b"cookie", b""), name):
            session = await self._frame.parts.sessions.find(secret)
            if session is not None:
                scope["state"] = {**scope.get("state", {}), "microlite.session": session, "microlite.secret": secret}
                return secret
        return ""

    async def _refuse(
        self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes], error: errors.Error, send: Send
    ) -> None:
        """Answer with the error: a browser that wants a page gets one, the log-in page for whoever is not logged in."""
        wants_page = b"text/html" in headers.get(b"accept", b"") and b"hx-request" not in headers
        unknown_host = isinstance(error, MisdirectedRequest | errors.BadRequest)
        if not wants_page or unknown_host:
            body, kind = error.detail.encode(), b"text/plain; charset=utf-8"
        elif isinstance(error, errors.Unauthorized):
            body, kind = self._frame.login_page().encode(), _HTML
        else:
            body, kind = self._frame.render("error.html", error=error).encode(), _HTML
        answer = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        if error.code == 405:
            answer.append((b"allow", ", ".join(_METHODS).encode()))
        await send({"type": "http.response.start", "status": error.code, "headers": answer})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Answered(Exception):
    """Nothing is left to do."""


def _check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request that says twice what is decided by: who reads the other one would decide otherwise.

    Raises:
        BadRequest: it does.
    """
    seen = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            raise errors.BadRequest(f"the header {name.decode('latin-1')} is there twice")
        seen.add(name)


def _check_origin(headers: dict[bytes, bytes], host: str, *, secure: bool) -> None:
    """Refuse what another site's page has sent. A program that is no browser says nothing of all this.

    Browsers that hide the referrer, as our pages ask them to, send the origin of a plain form as `null`; where it comes
    from is then in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), which no page can forge.

    Raises:
        Forbidden: it has.
    """
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    ours = origin is None or _is_ours(origin, host, secure=secure)
    if origin == b"null" and site == b"same-origin":
        ours = True
    if not ours or site not in (None, b"same-origin", b"none"):
        raise errors.Forbidden("another site's page has sent this: it is refused")


def _is_ours(origin: bytes, host: str, *, secure: bool) -> bool:
    """Whether an origin is this host; of one that was reached by TLS, a page that came without is another's."""
    scheme, _, authority = origin.decode("latin-1").lower().partition("://")
    return authority == host.lower() and (scheme == "https" or (scheme == "http" and not secure))


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise errors.Canceled("the browser went away")
        body += message.get("body", b"")
        if len(body) > MAX_FORM:
            raise errors.PayloadTooLarge(f"the form is larger than {MAX_FORM:,} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A way to a body that was read already, and to what comes after it."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
