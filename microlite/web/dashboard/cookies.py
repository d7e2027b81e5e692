"""The dashboard's cookie: the secrets of a browser's sessions, one for each platform of this machine.

Browsers tell hosts apart, not ports. Two platforms of one machine therefore see the same cookie, so each finds its own
secret in it, and keeps those of the others when it changes it.
"""

from __future__ import annotations

import re
from typing import Final

from microlite.core.auth.web_sessions import LONGEST

MOST: Final = 8
"""So many sessions of other platforms are kept; the oldest go first."""

_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def secrets_in(header: bytes, name: str) -> tuple[str, ...]:
    """The secrets that a header `Cookie` carries, the newest first."""
    for part in header.decode("latin-1").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return tuple(secret for secret in value.split(".") if _SECRET.fullmatch(secret))[:MOST]
    return ()


def with_secret(header: bytes, name: str, secret: str, *, secure: bool) -> str:
    """The `Set-Cookie` that adds a session."""
    others = [one for one in secrets_in(header, name) if one != secret]
    return _set_cookie(name, [secret, *others][:MOST], secure=secure)


def without_secret(header: bytes, name: str, secret: str, *, secure: bool) -> str:
    """The `Set-Cookie` that takes a session out."""
    return _set_cookie(name, [one for one in secrets_in(header, name) if one != secret], secure=secure)


def _set_cookie(name: str, secrets: list[str], *, secure: bool) -> str:
    age = int(LONGEST) if secrets else 0
    rest = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={age}"
    return f"{name}={'.'.join(secrets)}; {rest}{'; Secure' if secure else ''}"
