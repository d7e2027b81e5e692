"""Pages of other origins: which may read answers, which may send forms, and what their browsers are told beforehand.

Rules of the browsers: https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from microlite.web.gateway.answers import Headers
    from microlite.web.gateway.head import Head
    from microlite.web.gateway.options import GatewayOptions

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

_UNASKED: Final = frozenset({FORM, MULTIPART, "text/plain", ""})
"""Content types with which a page may send a POST to another origin before anybody is asked."""

_EXPOSED: Final = b"allow, content-range, etag, idempotent-replayed, retry-after, traceparent, www-authenticate"
"""Headers that a page may read, beside those that it always may."""

_MAX_AGE: Final = b"600"
"""Seconds for which a browser remembers what it was told."""

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


class Origins:
    """The origins that are listed in the settings, and what follows for requests from pages.

    Credentials are never allowed: a page speaks for itself, with a token that it has, or for nobody.
    """

    def __init__(self, options: GatewayOptions) -> None:
        self._any = "*" in options.cors_origins
        self._listed = frozenset(origin.lower().rstrip("/") for origin in options.cors_origins if origin != "*")

    def is_trusted(self, origin: str, host: str) -> bool:
        """Whether a page is the gateway's own, or of an origin that is listed by name.

        Args:
            origin: the header `Origin`.
            host: the header `Host`; it must have been found to be allowed.
        """
        scheme, _, authority = origin.lower().partition("://")
        if scheme in _DEFAULT_PORTS:
            port = _DEFAULT_PORTS[scheme]
            if authority and authority.removesuffix(port) == host.lower().removesuffix(port):
                return True
        return origin.lower() in self._listed

    def check_unasked(self, method: str, head: Head, *, has_body: bool) -> None:
        """Refuse what a page of a foreign origin can send without its browser asking here first.

        Any page that a user visits can send a form to this address, with whatever the user's machine may reach; whoever
        wants that has to list the origin.

        Args:
            method: of the request.
            head: its headers.
            has_body: whether it has a body.

        Raises:
            Forbidden: the request is such a one.
        """
        origin = head.fields.get(b"origin")
        kind = head.text(b"content-type").partition(";")[0].strip().lower()
        if origin is None or kind not in _UNASKED or method in ("GET", "HEAD") or not (has_body or method == "POST"):
            return
        text = origin.decode("latin-1")
        if not self.is_trusted(text, head.text(b"host")):
            what = f'"{kind}"' if kind else "a request without a content type"
            listed = f"start the platform with --cors-origin {text}, or " if "://" in text else ""
            raise errors.Forbidden(
                f'{what} is not taken from a page of the origin "{text}"; {listed}send application/json',
                id="gateway",
            )

    def check_websocket(self, head: Head) -> None:
        """Let a page open a WebSocket that may also read answers.

        A browser neither asks before it opens one, nor keeps from the page what comes (RFC 6455, section 10.2), so that it
        is here that somebody has to look.

        Raises:
            Forbidden: the page is of another origin.
        """
        origin = head.fields.get(b"origin")
        if origin is None or self._may_read(origin):
            return
        text = origin.decode("latin-1")
        if not self.is_trusted(text, head.text(b"host")):
            raise errors.Forbidden(
                f"pages of the origin {text} may not open WebSockets here: list it in the settings (cors origins)",
                id="gateway",
            )

    def headers(self, origin: bytes | None) -> Headers:
        """What lets a page of this origin read an answer."""
        if origin is None:
            return []
        if not self._may_read(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    @staticmethod
    def is_preflight(method: str, head: Head) -> bool:
        """Whether a browser asks on behalf of a page what that page may send."""
        return method == "OPTIONS" and b"origin" in head.fields and b"access-control-request-method" in head.fields

    def preflight(self, head: Head, methods: bytes) -> Headers:
        """The answer to a browser that asks, beside what every answer says to this origin.

        A page of the internet is let into a private network only where its origin is listed by name
        (https://wicg.github.io/private-network-access).
        """
        origin = head.fields.get(b"origin", b"")
        if not self._may_read(origin):
            return []
        answer: Headers = [
            (b"access-control-allow-methods", methods),
            (b"access-control-max-age", _MAX_AGE),
        ]
        wanted = head.fields.get(b"access-control-request-headers", b"")
        if wanted:
            answer.append((b"access-control-allow-headers", wanted))
        if head.fields.get(b"access-control-request-private-network") == b"true" and self._is_listed(origin):
            answer.append((b"access-control-allow-private-network", b"true"))
        return answer

    def _is_listed(self, origin: bytes) -> bool:
        return origin.decode("latin-1").lower() in self._listed

    def _may_read(self, origin: bytes) -> bool:
        return self._any or self._is_listed(origin)
