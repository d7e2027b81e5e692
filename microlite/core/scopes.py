"""The names of scopes: what accounts carry, rules ask for and endpoints demand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SCOPES: Final = 64
"""Most scopes of one account, token or endpoint."""

_SCOPE: Final = re.compile(r"[a-z0-9](?:[a-z0-9._:/-]{0,62}[a-z0-9])?")


def check_scope(name: str) -> str:
    """A scope as it was given, if it can be one: `admin`, `orders:write`.

    Raises:
        BadRequest: it cannot.
    """
    if not _SCOPE.fullmatch(name):
        raise errors.BadRequest(
            f"{name!r} cannot be a scope: up to 64 lower-case letters, digits and . _ : / - between them"
        )
    return name


def check_scopes(names: Iterable[str]) -> tuple[str, ...]:
    """Scopes as they were given, each once, in their order. A single name counts as one.

    Raises:
        BadRequest: one of them cannot be a scope, or there are too many.
    """
    found = tuple(dict.fromkeys(check_scope(name) for name in ((names,) if isinstance(names, str) else names)))
    if len(found) > MAX_SCOPES:
        raise errors.BadRequest(f"{len(found)} scopes are too many: at most {MAX_SCOPES}")
    return found
