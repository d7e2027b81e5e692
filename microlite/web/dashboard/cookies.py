"""The dashboard's cookie: the secrets of a browser's sessions, one for each platform of this machine.

Browsers tell hosts apart, not ports. Two platforms of one machine therefore see the same cookie, so each finds its own
secret in it, and keeps those of the others when it changes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from microlite.core.auth.web_sessions import LONGEST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, MutableMapping

OVER_TLS: Final = "__Host-"
"""How the name of a cookie begins that browsers take only over TLS and from this very host, and send only there
(https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html, section 4.1.3.2): no server that speaks plain HTTP at
the same host gets it, or can put another in its place."""

MOST: Final = 8
"""So many sessions of other platforms are kept; the oldest go first."""

MOST_READ: Final = 64
"""So many secrets of one request are looked at."""

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def is_secure(scope: MutableMapping[str, Any], headers: Mapping[bytes, bytes]) -> bool:
    """Whether the browser came by TLS: to us, or to a proxy that says so.

    Whoever says so is believed. Nobody can make another's browser say it, and all that follows is a stricter cookie.
    """
    return scope["scheme"] == "https" or headers.get(b"x-forwarded-proto", b"") == b"https"


def cookie_name(name: str, *, secure: bool) -> str:
    """The name under which a browser that came by TLS, or did not, has the cookie."""
    return OVER_TLS + name if secure else name


def secrets_in(header: bytes, name: str) -> tuple[str, ...]:
    """The secrets that a header `Cookie` carries, the newest first.

    Whatever else listens at this host can set a cookie of this name for some paths, which browsers then send before ours
    (RFC 6265, section 5.4): it must not hide ours, so all are looked at.
    """
    found: dict[str, None] = {}
    for part in header.decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            found.update(dict.fromkeys([secret for secret in value.split(".") if _SECRET.fullmatch(secret)][:MOST]))
    return tuple(found)[:MOST_READ]


def with_secret(header: bytes, name: str, secret: str, *, secure: bool) -> str:
    """The `Set-Cookie` that adds a session."""
    others = [one for one in secrets_in(header, name) if one != secret]
    return _set_cookie(name, [secret, *others][:MOST], secure=secure)


def without_secrets(header: bytes, name: str, secrets: Collection[str], *, secure: bool) -> str:
    """The `Set-Cookie` that takes sessions out."""
    return _set_cookie(name, [one for one in secrets_in(header, name) if one not in secrets][:MOST], secure=secure)


def _set_cookie(name: str, secrets: list[str], *, secure: bool) -> str:
    age = int(LONGEST) if secrets else 0
    rest = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={age}"
    return f"{name}={'.'.join(secrets)}; {rest}{'; Secure' if secure else ''}"
