"""A configuration as one document: what `export` gives and `import` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.config.api import Change, Set, Unset
from microlite.core.config.paths import format_path, lies_within
from microlite.core.config.tree import flatten, is_empty_table, nest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from microlite.core.config.api import Setting

MARK: Final = "$secret"
"""A table with this one name stands for a secret: `{"$secret": "value"}`."""

MOST: Final = 400
"""Leaves that one commit takes; larger documents come in several."""

MOST_BYTES: Final = 256 * 1024
"""Bytes that one commit takes."""


def document(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """What was set, as one table; secrets that are shown are marked, those that are not are left out."""
    leaves = {path: {MARK: setting.value} if setting.secret else setting.value for path, setting in settings.items()}
    found: dict[str, Any] = nest(leaves)
    return found


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The leaves of a document, by canonical path: those that are no secrets, and those that are.

    Raises:
        BadRequest: it holds what the configuration cannot keep.
    """
    secrets: dict[str, Any] = {}
    plain = _without(dict(values), (), secrets)
    return flatten(plain), secrets


def batches(plain: Mapping[str, Any], secrets: Mapping[str, Any]) -> Iterator[list[Change]]:
    """The changes that set these leaves, so many at a time as one commit takes."""
    found: list[Change] = []
    size = 0
    for path, value, secret in (
        *((path, value, False) for path, value in plain.items()),
        *((path, value, True) for path, value in secrets.items()),
    ):
        weight = len(repr(value))
        if found and (len(found) >= MOST or size + weight > MOST_BYTES):
            yield found
            found, size = [], 0
        found.append(Set(path=path, value=value, secret=secret))
        size += weight
    if found:
        yield found


def superfluous(stored: Mapping[str, object], wanted: Mapping[str, object]) -> list[Change]:
    """The changes that take away what is set and does not stand in a document."""
    return [
        Unset(path=path)
        for path in stored
        if path not in wanted and not any(lies_within(one, path) or lies_within(path, one) for one in wanted)
    ]


def _without(value: dict[str, Any], words: tuple[str, ...], secrets: dict[str, Any]) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict) and set(inner) == {MARK}:
            if isinstance(inner[MARK], dict) and not is_empty_table(inner[MARK]):
                raise errors.BadRequest(f"{format_path((*words, name))}: a secret is a single value, and no table")
            secrets.update(flatten(inner[MARK], (*words, name)))
        elif isinstance(inner, dict) and inner:
            below = _without(inner, (*words, name), secrets)
            if below:
                rest[name] = below
        else:
            rest[name] = inner
    return rest
