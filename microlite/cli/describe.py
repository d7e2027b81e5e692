"""`microlite describe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import msgspec

from microlite.cli.completes import completes
from microlite.cli.described import read_record, split_version
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_json, print_table
from microlite.core import errors
from microlite.core.description.access_words import access_words
from microlite.core.description.type_words import alternatives, kind, type_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from microlite.cli.described import Described, DescribedEndpoint, Schema

_DEPTH: Final = 6
"""Types within types are shown so deep."""

_STREAMING: Final = {
    "server": "answers with a stream",
    "client": "takes a stream",
    "bidirectional": "streams both ways",
}


@click.command
@click.argument("service", metavar="NAME[@VERSION]", shell_complete=completes("services"))
@output_option
@click.pass_obj
def describe(options: Options, service: str, output: str) -> None:
    """Show the endpoints of a service with their fields, and its nodes.

    As JSON it is one document for each version, with JSON Schemas.
    """
    name, version = split_version(service)
    with connect(options) as link:
        records = link.ask("registry", "get", service=name)
    found = [record for record in records if version in ("", record["version"])]
    if not found:
        raise errors.ServiceNotFound(f'Service "{service}" not found')
    for number, record in enumerate(found):
        if output == "json":
            print_json(record)
            continue
        if number:
            click.echo()
        _print(read_record(record))


def _print(one: Described) -> None:
    click.echo(f"service {one.name}")
    click.echo(f"version {one.version}")
    if one.doc:
        click.echo(f"\n{plain(one.doc)}")
    if one.metadata:
        click.echo(f"\nmetadata {plain(_metadata(one.metadata))}")
    if one.nodes:
        click.echo()
        print_table(
            ("ID", "ADDRESS", "METADATA"), [(node.id, node.address, _metadata(node.metadata)) for node in one.nodes]
        )
    for endpoint in one.endpoints:
        click.echo()
        _print_endpoint(endpoint)


def _print_endpoint(endpoint: DescribedEndpoint) -> None:
    notes = [_STREAMING[endpoint.streaming]] if endpoint.streaming in _STREAMING else []
    notes += [f"answers with {endpoint.produces}"] if endpoint.produces else []
    notes += access_words(endpoint.role, endpoint.scopes)
    notes += ["deprecated"] if endpoint.deprecated else []
    click.echo(click.style(f"Endpoint: {endpoint.name}", bold=True) + plain(f" ({', '.join(notes)})" if notes else ""))
    if endpoint.summary:
        click.echo(plain(endpoint.summary))
    if endpoint.metadata:
        click.echo(plain(f"Metadata: {_metadata(endpoint.metadata)}"))
    shown = (("Request", endpoint.request), ("Messages", endpoint.items), ("Response", endpoint.response))
    for title, schema in shown:
        if schema is not None:
            click.echo(plain("\n".join(_tree(f"{title}:", schema, schema, 0, ""))))


def _tree(label: str, schema: Schema, root: Schema, depth: int, note: str) -> Iterator[str]:
    """Lines for one type: `label type`, or its fields in braces below it."""
    found = [one for one in alternatives(schema, root) if kind(one) != "null"]
    opening, inner = "{", found[0] if len(found) == 1 else {}
    while kind(inner) == "array" and not inner.get("prefixItems"):
        opening, elements = f"list {opening}", alternatives(inner.get("items") or {}, root)
        inner = elements[0] if len(elements) == 1 else {}
    indent = "        " * depth
    if "properties" not in inner or depth >= _DEPTH:
        yield f"{indent}{label} {type_word(schema, root)}{note}"
        return
    fields = inner["properties"]
    yield f"{indent}{label} {opening}{'' if fields else '}'}{note}"
    for name, field in fields.items():
        yield from _tree(name, field, root, depth + 1, _note(name, field, inner))
    if fields:
        yield f"{indent}}}"


def _note(name: str, field: Schema, owner: Schema) -> str:
    notes = []
    if name in owner.get("required", ()):
        notes.append("required")
    default = field.get("default")
    if default not in (None, "", [], {}):
        notes.append(f"default {msgspec.json.encode(default).decode()}")
    if field.get("description"):
        notes.append(field["description"].replace("\n", " "))
    return f"  # {'; '.join(notes)}" if notes else ""


def _metadata(metadata: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(metadata.items()))
