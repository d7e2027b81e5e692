"""The services in a folder of a repository, once that was fetched."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.runtime.sources import Source, find_sources
from microlite.core.runtime.tree import folders

if TYPE_CHECKING:
    from microlite.core.runtime.git.address import Address
    from microlite.core.runtime.git.checkouts import Checkout

_DEPTH: Final = 4
_SHOWN: Final = 3


def find_fetched(address: Address, checkout: Checkout, *, name: str = "", command: str = "") -> tuple[Source, ...]:
    """The services that an address means; at least one. Reads files: not for the loop.

    Args:
        address: what the user wrote.
        checkout: the commit that it means.
        name: see `find_sources`.
        command: see `find_sources`.

    Raises:
        Error: the repository has no such folder, or nothing to run is in it.
    """
    root = Path(checkout.folder)
    place = root / address.path
    if not (place.exists() and place.resolve().is_relative_to(root.resolve())):
        raise errors.NotFound(
            f"{address.text}: the repository has no folder {address.path!r} there{_near(address, root)}"
        )
    found = find_sources(str(place), cwd=root, name=name, command=command)
    if not all(Path(source.folder).is_relative_to(place if place.is_dir() else place.parent) for source in found):
        raise errors.BadRequest(
            f"{address.text}: no main.py and no [tool.microlite] in a pyproject.toml, there or below"
        )
    return tuple(
        msgspec.structs.replace(
            source,
            origin=address.at(str(Path(source.place).relative_to(root))).text,
            commit=checkout.commit,
        )
        for source in found
    )


def _near(address: Address, root: Path) -> str:
    """Folders with a similar name, as the end of a sentence; empty if there are none."""
    names = [str(Path(folder).relative_to(root)) for folder in folders(root, depth=_DEPTH)][1:]
    last = address.path.rpartition("/")[2]
    near = difflib.get_close_matches(address.path, names, n=_SHOWN, cutoff=0.6)
    near += [name for name in names if name.rpartition("/")[2] == last and name not in near]
    return f"; did you mean {' or '.join(near[:_SHOWN])}?" if near else ""
