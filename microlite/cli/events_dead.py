"""`microlite events dead`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import msgspec

from microlite.cli.asking import confirm
from microlite.cli.calling import read_json
from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.moments import write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_document, print_json, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from microlite.cli.link import Link

QUARANTINE = "-"
"""Stands for the group of events that do not fit the schema of their topic, which have none."""


@click.group(cls=Subcommands, no_args_is_help=True)
def dead() -> None:
    """Look after dead letters: events that a group has given up.

    The group - stands for quarantine: events that do not fit the schema of their topic.
    """


def _of(command: Callable[..., None]) -> Callable[..., None]:
    """Topic and group, as arguments."""
    command = click.argument("group", shell_complete=completes("event_groups"))(command)
    return click.argument("topic", shell_complete=completes("event_topics"))(command)


def _which(command: Callable[..., None]) -> Callable[..., None]:
    """Which letters: ids, an error, or all."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="All of the group."),
        click.option("--kind", default="", help="Those that died of this error, as `list` shows it."),
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return _of(command)


@dead.command("list")
@click.argument("topic", required=False, default="", shell_complete=completes("event_topics"))
@click.option("--group", help="Only of this group; - for quarantine.", shell_complete=completes("event_groups"))
@click.option("--each", is_flag=True, help="Each of them, and not how many of each error; a topic has to be named.")
@click.option("--kind", default="", help="With --each, only those that died of this error.")
@output_option
@click.pass_obj
def list_dead(options: Options, topic: str, group: str | None, each: bool, kind: str, output: str) -> None:
    """List dead letters, grouped by the error that they died of."""
    if each and not topic:
        raise click.UsageError("name the topic whose dead letters are to be listed one by one")
    of = None if group is None else _group(group)
    with connect(options) as link:
        if each:
            _print_letters(list(_letters(link, topic, of, kind)), output)
            return
        found = link.ask("events", "dead-kinds", topic=topic, group=of)
    if output == "json":
        print_json(found)
        return
    print_table(
        ("TOPIC", "GROUP", "COUNT", "LAST", "ERROR"),
        [
            (
                one["topic"],
                one["group"] or QUARANTINE,
                str(one["count"]),
                f"{format_duration(time.time() - one['last'])} ago",
                one["kind"].partition("\n")[0],
            )
            for one in found
        ],
    )


@dead.command
@_of
@click.argument("id")
@output_option
@click.pass_obj
def show(options: Options, topic: str, group: str, id: str, output: str) -> None:
    """Show one dead letter: its event, and each attempt that was made."""
    with connect(options) as link:
        document = link.ask_json(
            "events", "dead-letter", msgspec.json.encode({"topic": topic, "group": _group(group), "id": id})
        )
    if output == "json":
        print_document(document)
        return
    letter = msgspec.json.decode(document)
    event = letter["event"]
    for name, value in (
        ("id", letter["id"]),
        ("error", letter["error"]),
        ("died", write_time(letter["died"])),
        ("event", f"{event['id']}, position {event['position']}, of {write_time(event['timestamp'])}"),
        *([("key", event["key"])] if event["key"] else []),
        *([("edited", "yes")] if letter["edited"] else []),
        ("tried", f"{letter['deliveries']} times"),
    ):
        click.echo(f"{name:7}  {value}")
    for attempt in letter["attempts"]:
        node = f"  {attempt['node']}" if attempt["node"] else ""
        click.echo(f"         {write_time(attempt['at'])}{node}  {attempt['error']}")
    for name, value in event["metadata"].items():
        click.echo(f"         {name}: {value}")
    click.echo()
    print_json(event["payload"])


@dead.command
@_of
@click.argument("id")
@click.argument("payload", metavar="JSON")
@click.pass_obj
def edit(options: Options, topic: str, group: str, id: str, payload: str) -> None:
    """Change the payload of a dead letter; with - it is read from stdin. Redrive it then."""
    request = {"topic": topic, "group": _group(group), "id": id, "payload": msgspec.Raw(read_json(payload))}
    with connect(options) as link:
        link.ask_json("events", "edit-dead-letter", msgspec.json.encode(request))


@dead.command
@_which
@click.pass_obj
def redrive(options: Options, topic: str, group: str, ids: tuple[str, ...], kind: str, everything: bool) -> None:
    """Have dead letters delivered again: those named by id, those of one error, or --all. Prints how many."""
    _check_which(ids, kind, everything)
    with connect(options) as link:
        click.echo(
            link.ask(
                "events", "redrive", topic=topic, group=_group(group), ids=list(ids) or None, kind=kind, timeout=None
            )
        )


@dead.command("delete")
@_which
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_dead(
    options: Options, topic: str, group: str, ids: tuple[str, ...], kind: str, everything: bool, yes: bool
) -> None:
    """Remove dead letters for good: those named by id, those of one error, or --all. Prints how many."""
    _check_which(ids, kind, everything)
    if not ids:
        confirm(f"Remove the dead letters of {group} in {topic} for good?", yes)
    fields = {"topic": topic, "group": _group(group), "ids": list(ids) or None, "kind": kind}
    with connect(options) as link:
        click.echo(link.ask("events", "delete-dead-letters", timeout=None, **fields))


def _group(text: str) -> str:
    return "" if text == QUARANTINE else text


def _check_which(ids: tuple[str, ...], kind: str, everything: bool) -> None:
    if (bool(ids) + bool(kind) + everything) != 1:
        raise click.UsageError("say which: ids, or --kind with an error, or --all")


def _letters(link: Link, topic: str, group: str | None, kind: str) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        page = link.ask("events", "dead-letters", topic=topic, group=group, kind=kind, after=after, limit=500)
        yield from page["letters"]
        after = page["cursor"]
        if not after:
            return


def _print_letters(letters: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        print_json(letters)
        return
    print_table(
        ("ID", "GROUP", "DIED", "TRIED", "KEY", "ERROR"),
        [
            (
                one["id"],
                one["group"] or QUARANTINE,
                write_time(one["died"]),
                str(one["deliveries"]),
                one["event"]["key"],
                one["error"].partition("\n")[0],
            )
            for one in letters
        ],
    )
