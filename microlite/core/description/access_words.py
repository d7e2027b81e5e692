"""Who may call an endpoint, in words: its least role and the scopes that it demands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROLES: Final = {
    "account": "needs an account",
    "service": "for services",
    "admin": "for admins",
    "platform": "for who operates the platform",
}
"""By least role; anybody may call what has another one, as far as rules let him."""


def access_words(role: str, scopes: Iterable[str]) -> Iterator[str]:
    """What is demanded of a caller, a few words each: `for admins`, `needs the scope orders:write`."""
    if role in _ROLES:
        yield _ROLES[role]
    for scope in scopes:
        yield f"needs the scope {scope}"
