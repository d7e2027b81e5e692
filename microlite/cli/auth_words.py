"""What the commands of `microlite auth` share: lists that are typed with commas, pages, and cells of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from microlite.cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microlite.cli.link import Link

PAGE: Final = 500
"""What is asked for at a time."""

PUBLIC: Final = "<public>"
"""What a table shows for a rule that applies to everybody."""


def split_names(texts: Sequence[str]) -> list[str]:
    """Names that are typed with commas between them, or by repeating the option; each once, in their order."""
    return list(dict.fromkeys(filter(None, (name.strip() for text in texts for name in text.split(",")))))


def list_all(link: Link, endpoint: str, **fields: Any) -> list[dict[str, Any]]:
    """All that an endpoint of `auth` lists by id, over as many pages as it takes."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["id"] if found else ""
        page = link.ask("auth", endpoint, after=after, limit=PAGE, **fields)
        found += page
        if len(page) < PAGE:
            return found


def metadata_cell(metadata: Mapping[str, str]) -> str:
    """Metadata in a table: `team=shop, since=2026`."""
    return ", ".join(f"{key}={value}" for key, value in sorted(metadata.items()))


def print_created(what: str, created: object, output: str) -> None:
    """Print what was made, with the secret that is shown this once: `Account created: {…}`, or the document alone."""
    if output == "json":
        print_json(created)
        return
    click.echo(f"{what} created: {msgspec.json.encode(created).decode()}")
