"""The help of dynamic commands, made from a service's description: micro's sections, typed flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from microlite.cli.commands import PROGRAM
from microlite.cli.flags import list_flags
from microlite.cli.output import plain
from microlite.core.description.access_words import access_words
from microlite.core.description.type_words import kind, type_word
from microlite.core.description.uploads import takes_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from microlite.cli.described import Described, DescribedEndpoint, Schema
    from microlite.cli.flags import Flag

_INDENT: Final = "        "


def print_service(versions: Sequence[Described], gateway: str, prefix: str = "") -> None:
    """Print which endpoints a service has.

    Args:
        versions: of the service; at least one.
        gateway: its URL, where an HTTP program is found, which has none.
        prefix: only the endpoints below it, `comments`.
    """
    name = versions[0].name
    endpoints = {endpoint.name: endpoint for one in versions for endpoint in one.endpoints}
    rows = [
        (_command_name(endpoint), _summary(endpoint))
        for _, endpoint in sorted(endpoints.items())
        if not prefix or endpoint.name.startswith(f"{prefix}.")
    ]
    path = " ".join((PROGRAM, name, *filter(None, prefix.split("."))))
    _section("NAME", [path, *_paragraph(versions[0].doc if not prefix else "")])
    _section("VERSION", [", ".join(one.version for one in versions)])
    if not endpoints:
        _section("USAGE", [f"curl {gateway}/{name}/"])
        return
    _section("USAGE", [f"{path} [command] [flags]", f"{path} [command] --help"])
    _table("COMMANDS", rows)


def print_endpoint(service: str, endpoint: DescribedEndpoint) -> None:
    """Print how an endpoint is called."""
    path = f"{PROGRAM} {service} {_command_name(endpoint)}"
    _section("NAME", [path, *_paragraph(endpoint.doc)])
    usage = [f"{path} [flags]"]
    if endpoint.takes_stream:
        usage.append(f"{path} [flags] < messages.ndjson")
    _section("USAGE", usage)
    demands = list(access_words(endpoint.role, endpoint.scopes))
    if demands:
        _section("ACCESS", demands)
    root = endpoint.request
    rows = [(f"--{flag.name} {type_word(flag.schema, root)}", _about(flag, root)) for flag in _flags(endpoint)]
    _table("FLAGS", [*rows, ("--json object", "the whole request, or the fields that no flag gives")])


def _flags(endpoint: DescribedEndpoint) -> Iterable[Flag]:
    return list_flags(endpoint.request)


def _command_name(endpoint: DescribedEndpoint) -> str:
    return endpoint.name.replace(".", " ")


def _summary(endpoint: DescribedEndpoint) -> str:
    return f"{endpoint.summary} (deprecated)".strip() if endpoint.deprecated else endpoint.summary


def _about(flag: Flag, root: Schema) -> str:
    parts = [flag.schema.get("description", "").replace("\n", " ")]
    if takes_files(flag.schema, root):
        parts.append("(@NAME reads a file)")
    default = flag.schema.get("default")
    if flag.required:
        parts.append("(required)")
    elif default not in (None, "", [], {}) and kind(flag.schema) != "object" and not isinstance(default, dict):
        parts.append(f"(default: {default if isinstance(default, str) else msgspec.json.encode(default).decode()})")
    return " ".join(filter(None, parts))


def _paragraph(doc: str) -> list[str]:
    return ["", *doc.splitlines()] if doc else []


def _section(title: str, lines: Sequence[str]) -> None:
    click.echo(click.style(f"{title}:", bold=True))
    for line in lines:
        click.echo(f"{_INDENT}{plain(line)}".rstrip())
    click.echo()


def _table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    width = min(32, max((len(left) for left, _ in rows), default=0))
    _section(title, [f"{left.ljust(width)}  {right}" for left, right in rows])
