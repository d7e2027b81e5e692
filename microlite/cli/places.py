"""Services named by where their code is: `microlite run ./orders`, `microlite kill .`, `microlite update github.com/o/r`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from microlite.cli.described import split_version
from microlite.cli.failure import NOT_FOUND, CommandError
from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from microlite.cli.link import Link
    from microlite.core.runtime.git.address import Address


def is_place(typed: str) -> bool:
    """Whether a word is a path or an address: no name of a service has a slash or begins with a dot."""
    return os.sep in typed or typed.startswith((".", "~"))


def find_source(typed: str, home: Path) -> str:
    """What a word after `run` means: the absolute path of a folder or file, else an address in a git repository.

    Args:
        typed: the word. What exists by this name on the disk goes first.
        home: the folder of the platform, with the user's own settings in it.

    Raises:
        Error: it is neither; better said before a platform is started for it.
    """
    path = _absolute(typed)
    address = _address(typed, path, home)
    if address is not None:
        return address.text
    if os.path.exists(path):  # noqa: PTH110 - a text, whose links are kept
        return path
    raise errors.NotFound(f"there is no folder or file {path}{_other_ways(typed)}")


def find_targets(link: Link, words: Sequence[str], home: Path) -> list[tuple[str, str]]:
    """Name and version (empty for any) of each service that is meant by these names, paths and addresses.

    A path stands for what runs from that folder or file; else for all that runs from below it; else for what runs from
    the nearest folder above. An address stands for what runs from it, or from below it; without a ref, for any.

    Raises:
        CommandError: a name is none, or nothing runs from a path or address.
    """
    found: list[tuple[str, str]] = []
    running: Sequence[Mapping[str, Any]] | None = None
    for word in words:
        if not is_place(word):
            found.append(split_version(word))
            continue
        if running is None:
            running = link.ask("runtime", "status")
        path = _absolute(word)
        address = _address(word, path, home)
        found += _from_place(path, running) if address is None else _from_address(address, running)
    return list(dict.fromkeys(found))


def _absolute(typed: str) -> str:
    return os.path.abspath(os.path.expanduser(typed))  # noqa: PTH100, PTH111 - resolve() would follow links


def _address(typed: str, path: str, home: Path) -> Address | None:
    from microlite.core.runtime.git.address import of_path, parse_address
    from microlite.core.user_config import UserConfig

    if os.path.exists(path):  # noqa: PTH110 - a text
        return of_path(path)
    return parse_address(typed, base=UserConfig(home).base_url) or of_path(path)


def _other_ways(typed: str) -> str:
    """How a word could have been meant that is no path: the end of a sentence."""
    from microlite.core.runtime.git.address import parse_address

    if parse_address(typed, base="example.org/owner/repository") is None:
        return ""
    return "; for short names of services in git: microlite user config set git.baseurl github.com/<owner>/<repository>"


def _from_place(place: str, running: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    managed = [one for one in running if one.get("managed", True) and one.get("source")]
    here = [one for one in managed if one["source"] == place]
    here = here or [one for one in managed if one["source"].startswith(place.rstrip(os.sep) + os.sep)]
    if not here:
        above = [one for one in managed if place.startswith(one["source"].rstrip(os.sep) + os.sep)]
        nearest = max((len(one["source"]) for one in above), default=0)
        here = [one for one in above if len(one["source"]) == nearest]
    return _named(here, running, place)


def _from_address(address: Address, running: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    from microlite.core.runtime.git.address import address_of

    here = []
    for one in running:
        source = address_of(one["source"]) if one.get("commit") else None
        if source is None or source.url != address.url or (address.ref and source.ref != address.ref):
            continue
        if source.path == address.path or not address.path or source.path.startswith(f"{address.path}/"):
            here.append(one)
    return _named(here, running, address.text)


def _named(
    here: Sequence[Mapping[str, Any]], running: Sequence[Mapping[str, Any]], place: str
) -> list[tuple[str, str]]:
    """Names, with the version where another one of the same name runs."""
    if not here:
        raise CommandError(f"nothing runs from {place}; see what does with: microlite status", NOT_FOUND)
    names = [one["name"] for one in running]
    return [(one["name"], one["version"] if names.count(one["name"]) > 1 else "") for one in here]
