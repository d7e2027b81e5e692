"""Services named by where their code is: `microlite kill .`, `microlite update ./orders`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from microlite.cli.described import split_version
from microlite.cli.failure import NOT_FOUND, CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microlite.cli.link import Link


def is_place(typed: str) -> bool:
    """Whether a word is a path: no name of a service has a slash or begins with a dot."""
    return os.sep in typed or typed.startswith((".", "~"))


def find_targets(link: Link, words: Sequence[str]) -> list[tuple[str, str]]:
    """Name and version (empty for any) of each service that is meant by these names and paths.

    A path stands for what runs from that folder or file; else for all that runs from below it; else for what runs from
    the nearest folder above.

    Raises:
        CommandError: a name is none, or nothing runs from a path.
    """
    found: list[tuple[str, str]] = []
    running: Sequence[Mapping[str, Any]] | None = None
    for word in words:
        if not is_place(word):
            found.append(split_version(word))
            continue
        if running is None:
            running = link.ask("runtime", "status")
        found += _from_place(word, running)
    return list(dict.fromkeys(found))


def _from_place(word: str, running: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    place = os.path.abspath(os.path.expanduser(word))  # noqa: PTH100, PTH111 - resolve() would follow links
    managed = [one for one in running if one.get("managed", True) and one.get("source")]
    here = [one for one in managed if one["source"] == place]
    here = here or [one for one in managed if one["source"].startswith(place.rstrip(os.sep) + os.sep)]
    if not here:
        above = [one for one in managed if place.startswith(one["source"].rstrip(os.sep) + os.sep)]
        nearest = max((len(one["source"]) for one in above), default=0)
        here = [one for one in above if len(one["source"]) == nearest]
    if not here:
        raise CommandError(f"nothing runs from {place}; see what does with: microlite status", NOT_FOUND)
    names = [one["name"] for one in here]
    return [(one["name"], one["version"] if names.count(one["name"]) > 1 else "") for one in here]
