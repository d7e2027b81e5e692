"""`microlite namespace`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.link import Link, connect
from microlite.cli.live_line import LiveLine
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_json, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.sizes import parse_size, write_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_INTERVAL = 0.1
"""Seconds between two words about how far a deletion is."""


@click.group(cls=Subcommands)
def namespace() -> None:
    """Create, limit and delete namespaces: tenants whose names and data never meet.

    For who operates the platform. Other commands act in a namespace by `microlite --namespace NAME …`.
    """


def _limits(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for what a namespace may use, and for its hosts."""
    for option in reversed(
        (
            click.option("--max-records", metavar="N", help="So many records at most; none for any number."),
            click.option(
                "--max-bytes", metavar="SIZE", help="So many bytes of records, blobs and events: 500MB, 2GiB; or none."
            ),
            click.option("--max-rate", metavar="N", help="So many calls in a second at most; or none."),
            click.option(
                "--burst", metavar="N", help="Calls that may come at once after a pause; or none for --max-rate."
            ),
            click.option("--max-nodes", metavar="N", help="So many nodes at most; or none."),
            click.option(
                "--host",
                "hosts",
                multiple=True,
                metavar="NAME",
                help="A host that stands for it at the gateway: shop.example.org, or *.shop.example.org; repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


@namespace.command("list")
@output_option
@click.pass_obj
def list_(options: Options, output: str) -> None:
    """List all namespaces, with what they may use at most."""
    with _connect(options) as link:
        found = link.ask("namespaces", "list")
    if output == "json":
        print_json(found)
        return
    print_table(
        ("NAME", "RECORDS", "BYTES", "RATE", "NODES", "HOSTS", "STATE"),
        [
            (
                one["name"],
                _number(one["limits"]["records"]),
                write_size(one["limits"]["bytes"]) if one["limits"]["bytes"] else "any",
                f"{one['limits']['rate']:g}/s" if one["limits"]["rate"] else "any",
                _number(one["limits"]["nodes"]),
                " ".join(one["hosts"]),
                "being deleted" if one["deleting"] else "ready",
            )
            for one in found
        ],
    )


@namespace.command
@click.argument("name")
@_limits
@click.pass_obj
def create(options: Options, /, name: str, hosts: tuple[str, ...], **limits: str | None) -> None:
    """Create a namespace: a name of lower-case letters, digits and hyphens.

    \b
        microlite namespace create shop --max-bytes 2GB --max-rate 200 --host shop.example.org
        microlite --namespace shop run .
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    fields = _read_limits(limits)
    with _connect(options) as link:
        link.ask("namespaces", "create", name=name, hosts=list(hosts), **fields)


@namespace.command("set")
@click.argument("name", shell_complete=completes("namespaces"))
@_limits
@click.option("--no-hosts", is_flag=True, help="No host stands for it any more.")
@click.pass_obj
def set_(options: Options, /, name: str, hosts: tuple[str, ...], no_hosts: bool, **limits: str | None) -> None:
    """Change what a namespace may use, and which hosts stand for it. It holds at once; what is not named stays.

    The hosts that are named are all that stand for it from now on.
    """
    fields: dict[str, Any] = _read_limits(limits)
    if hosts and no_hosts:
        raise click.UsageError("say --host or --no-hosts, not both")
    if hosts or no_hosts:
        fields["hosts"] = list(hosts)
    if not fields:
        raise click.UsageError(
            "say what to change: --max-records, --max-bytes, --max-rate, --burst, --max-nodes, --host"
        )
    with _connect(options) as link:
        link.ask("namespaces", "update", name=name, **fields)


@namespace.command
@click.argument("name", required=False, default="", shell_complete=completes("namespaces"))
@output_option
@click.pass_obj
def usage(options: Options, name: str, output: str) -> None:
    """Show what namespaces use, beside what they may use; all, or only NAME."""
    with _connect(options) as link:
        found = link.ask("namespaces", "usage", name=name)
    if output == "json":
        print_json(found)
        return
    print_table(
        ("NAME", "RECORDS", "BYTES", "NODES", "RATE", "REFUSED"),
        [
            (
                one["name"],
                _of(f"{one['records']:,}", f"{one['limits']['records']:,}", one["limits"]["records"]),
                _of(write_size(one["bytes"]), write_size(one["limits"]["bytes"]), one["limits"]["bytes"]),
                _of(str(one["nodes"]), str(one["limits"]["nodes"]), one["limits"]["nodes"]),
                f"{one['limits']['rate']:g}/s" if one["limits"]["rate"] else "any",
                f"{one['refused']:,}",
            )
            for one in found
        ],
    )


@namespace.command
@click.argument("name", shell_complete=completes("namespaces"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(options: Options, name: str, yes: bool) -> None:
    """Delete a namespace and everything in it: services, records, blobs, events, configuration, accounts, logs.

    It goes on when you leave, and after a restart of the platform.
    """
    with _connect(options) as link:
        (held,) = link.ask("namespaces", "usage", name=name)
        if name == DEFAULT_NAMESPACE:
            raise CommandError('the namespace "default" cannot be deleted: it is where calls go that name none')
        if not yes:
            _confirm(name, held)
        line = LiveLine(_INTERVAL)
        done = False
        try:
            for one in link.follow("namespaces", "delete", dict[str, Any], name=name, confirm=name):
                done = one["done"]
                if line.is_due:
                    size = write_size(one["bytes"])
                    line.write(f"removing {plain(one['doing'])}: {one['records']:,} records, {size} left")
        finally:
            if line.is_shown:
                line.end()
        if not done:
            raise CommandError("the platform stopped; the deletion goes on when it starts again")


def _connect(options: Options) -> AbstractContextManager[Link]:
    """A connection in the default namespace: what is said here is about all of them, whichever is set for the commands."""
    return connect(options._replace(namespace=DEFAULT_NAMESPACE))


def _confirm(name: str, held: dict[str, Any]) -> None:
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here whether that is meant: say --yes")
    size = write_size(held["bytes"])
    click.echo(
        f"Everything in {name} will be gone: {held['records']:,} records, {size}, {held['nodes']} running nodes.",
        err=True,
    )
    if click.prompt("Type the name of the namespace to delete it", err=True, default="", show_default=False) != name:
        raise CommandError("that is not its name: nothing was deleted")


def _read_limits(limits: dict[str, str | None]) -> dict[str, Any]:
    """The fields of a request."""
    found: dict[str, Any] = {}
    for field, text in limits.items():
        option = f"--{field.replace('_', '-')}"
        if text is None:
            continue
        if text == "none":
            found[field] = 0
        elif field == "max_bytes":
            try:
                found[field] = parse_size(text)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint=option) from None
        else:
            try:
                found[field] = float(text) if field == "max_rate" else int(text.replace(",", ""))
            except ValueError:
                raise click.BadParameter(f"write a number, or none, not {text!r}", param_hint=option) from None
    return found


def _number(limit: int) -> str:
    return f"{limit:,}" if limit else "any"


def _of(used: str, limit: str, limited: float) -> str:
    return f"{used} of {limit}" if limited else used
