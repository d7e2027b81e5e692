"""`microlite events topics` and `microlite events groups`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from microlite.cli.asking import confirm
from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.moments import read_moment, read_seconds
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_document, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.durations import write_duration

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)(?:i?[bB])?")
_FACTORS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@click.group(cls=Subcommands, no_args_is_help=True)
def topics() -> None:
    """Look after topics."""


@click.group(cls=Subcommands, no_args_is_help=True)
def groups() -> None:
    """Look after groups of consumers."""


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    options: tuple[Callable[[Any], Any], ...] = (
        click.option("--age", metavar="DURATION", help="Keep events so long: 7d, 12h; 0 for no limit."),
        click.option("--events", metavar="N", type=click.IntRange(0), help="Keep so many events; 0 for no limit."),
        click.option("--size", metavar="SIZE", help="Keep so many bytes: 500MB, 2GB; 0 for no limit."),
        click.option(
            "--schema", metavar="FILE", help="A JSON Schema that payloads have to fit; - for stdin, {} for any."
        ),
        click.option(
            "--misfits", type=click.Choice(("refuse", "quarantine")), help="What happens to those that do not."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _changed(
    before: dict[str, Any],
    age: str | None,
    events: int | None,
    size: str | None,
    schema: str | None,
    misfits: str | None,
) -> dict[str, Any]:
    """The settings with what was said in place of what was."""
    settings = {**before, "retention": dict(before.get("retention", {}))}
    if age is not None:
        settings["retention"]["age"] = read_seconds(age, "--age")
    if events is not None:
        settings["retention"]["count"] = events
    if size is not None:
        settings["retention"]["size"] = _bytes(size)
    if schema is not None:
        settings["schema"] = _schema(schema)
    if misfits is not None:
        settings["misfits"] = misfits
    return settings


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(
            f"{text!r} is no size: write bytes with a unit, as in 500MB or 2GB", param_hint="--size"
        )
    return int(float(match[1]) * _FACTORS[match[2].lower()])


def _schema(source: str) -> Any:
    try:
        if source.lstrip().startswith("{"):
            text = source.encode()
        else:
            text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return msgspec.json.decode(text)
    except OSError as error:
        raise CommandError(f"the file {source!r} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise CommandError(f"--schema: {source} holds no JSON document: {error}") from None


@topics.command("list")
@click.argument("prefix", required=False, default="")
@output_option
@click.pass_obj
def list_topics(options: Options, prefix: str, output: str) -> None:
    """List topics: how many events they hold, and how large they are."""
    with connect(options) as link:
        if output == "json":
            print_document(link.ask_json("events", "topics", msgspec.json.encode({"prefix": prefix})))
            return
        found = link.ask("events", "topics", prefix=prefix)
    print_table(
        ("TOPIC", "EVENTS", "SIZE", "FIRST", "LAST", "QUARANTINED"),
        [
            (
                one["name"],
                str(one["count"]),
                _size(one["size"]),
                str(one["first"]),
                str(one["last"]),
                str(one["quarantined"]),
            )
            for one in found
        ],
    )


@topics.command
@click.argument("topic")
@_settings
@click.pass_obj
def create(options: Options, /, topic: str, **said: Any) -> None:
    """Make a topic. The first event would make it too; here it gets settings of its own."""
    with connect(options) as link:
        if any(one["name"] == topic for one in link.ask("events", "topics", prefix=topic)):
            raise CommandError(
                f"the topic {topic} is there already; change it with: microlite events topics settings {topic}"
            )
        link.ask("events", "set-topic", topic=topic, settings=_changed({}, **said))


@topics.command
@click.argument("topic", shell_complete=completes("event_topics"))
@_settings
@output_option
@click.pass_obj
def settings(options: Options, /, topic: str, output: str, **said: Any) -> None:
    """Change what is set for a topic; what is not named stays. Without an option, print the settings."""
    with connect(options) as link:
        before = link.ask("events", "topic", topic=topic)["settings"]
        if any(value is not None for value in said.values()):
            link.ask("events", "set-topic", topic=topic, settings=_changed(before, **said))
            return
    if output == "json":
        print_document(msgspec.json.encode(before))
        return
    for name, value in _settings_lines(before):
        click.echo(f"{name:8}  {value}")


@topics.command
@click.argument("topic", shell_complete=completes("event_topics"))
@output_option
@click.pass_obj
def describe(options: Options, topic: str, output: str) -> None:
    """Show a topic: its settings, where it stands, and its groups with their lag."""
    with connect(options) as link:
        if output == "json":
            print_document(link.ask_json("events", "topic", msgspec.json.encode({"topic": topic})))
            return
        found = link.ask("events", "topic", topic=topic)
    click.echo(f"topic {found['name']}")
    for name, value in (
        ("events", f"{found['count']}, positions {found['first']} to {found['last']}" if found["count"] else "0"),
        ("bytes", _size(found["size"])),
        *_settings_lines(found["settings"]),
        *([("aside", f"{found['quarantined']} events do not fit the schema")] if found["quarantined"] else []),
    ):
        click.echo(f"{name:8}  {value}")
    if found["groups"]:
        click.echo()
        _print_groups(found["groups"])


@topics.command("delete")
@click.argument("topic", shell_complete=completes("event_topics"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_topic(options: Options, topic: str, yes: bool) -> None:
    """Remove a topic with its events, groups and dead letters."""
    confirm(f"Remove {topic} with its events, groups and dead letters?", yes)
    with connect(options) as link:
        link.ask("events", "delete-topic", topic=topic)


@groups.command("list")
@click.argument("topic", required=False, default="", shell_complete=completes("event_topics"))
@output_option
@click.pass_obj
def list_groups(options: Options, topic: str, output: str) -> None:
    """List groups with their lag: how many events they have not settled yet."""
    with connect(options) as link:
        if output == "json":
            print_document(link.ask_json("events", "groups", msgspec.json.encode({"topic": topic})))
            return
        _print_groups(link.ask("events", "groups", topic=topic))


@groups.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.argument("group", shell_complete=completes("event_groups"))
@click.pass_obj
def lag(options: Options, topic: str, group: str) -> None:
    """Print how many events a group has not settled yet."""
    with connect(options) as link:
        for one in link.ask("events", "groups", topic=topic):
            if one["name"] == group:
                click.echo(one["lag"])
                return
    raise CommandError(f"the topic {topic} has no group {group}; microlite events groups list {topic} lists them")


@groups.command
@click.argument("topic", shell_complete=completes("event_topics"))
@click.argument("group", shell_complete=completes("event_groups"))
@click.option("--to", default=None, metavar="WHERE", help="beginning, new, or a time: 10m (ago), 2026-01-31T12:00.")
@click.option("--position", metavar="N", type=click.IntRange(1), help="The position of the first event to handle.")
@click.pass_obj
def reset(options: Options, topic: str, group: str, to: str | None, position: int | None) -> None:
    """Let a group begin anew somewhere: it handles all events from there on, also those that it has handled before."""
    if (to is None) == (position is None):
        raise click.UsageError("say where it shall begin: --to or --position")
    where: str | float = "beginning"
    if to is not None:
        where = to if to in ("beginning", "new") else read_moment(to, "--to")
    with connect(options) as link:
        link.ask("events", "reset-group", topic=topic, group=group, to=where, position=position)


@groups.command("settings")
@click.argument("topic", shell_complete=completes("event_topics"))
@click.argument("group", shell_complete=completes("event_groups"))
@click.option(
    "--retries",
    metavar="N",
    type=click.IntRange(-1),
    help="Further deliveries of an event that failed; -1 for no limit.",
)
@click.option("--ack-wait", metavar="DURATION", help="How long one delivery may take.")
@click.option("--backoff", metavar="DURATION", help="Before the first further delivery; each next one twice as long.")
@click.option("--max-backoff", metavar="DURATION", help="The longest such wait.")
@click.option(
    "--concurrency", metavar="N", type=click.IntRange(1), help="Most events that are handled at the same time."
)
@click.pass_obj
def set_group(options: Options, /, topic: str, group: str, **said: Any) -> None:
    """Make a group, or change what is set for it; what is not named stays."""
    with connect(options) as link:
        found = link.ask("events", "groups", topic=topic) if _is_topic(link, topic) else []
        known: dict[str, Any] = next((one["settings"] for one in found if one["name"] == group), {})
        for name, value in said.items():
            if value is not None:
                known[name] = read_seconds(value, f"--{name.replace('_', '-')}") if isinstance(value, str) else value
        link.ask("events", "set-group", topic=topic, group=group, settings=known)


@groups.command("delete")
@click.argument("topic", shell_complete=completes("event_topics"))
@click.argument("group", shell_complete=completes("event_groups"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete_group(options: Options, topic: str, group: str, yes: bool) -> None:
    """Remove a group with its dead letters."""
    confirm(f"Remove the group {group} of {topic} with its dead letters?", yes)
    with connect(options) as link:
        link.ask("events", "delete-group", topic=topic, group=group)


def _is_topic(link: Any, topic: str) -> bool:
    return any(one["name"] == topic for one in link.ask("events", "topics", prefix=topic))


def _print_groups(found: list[dict[str, Any]]) -> None:
    print_table(
        ("TOPIC", "GROUP", "LAG", "POSITION", "UNDER WAY", "RETRYING", "DEAD", "CONSUMERS"),
        [
            (
                one["topic"],
                one["name"],
                str(one["lag"]),
                str(one["position"]),
                str(one["under_way"]),
                str(one["retrying"]),
                str(one["dead"]),
                ", ".join(one["consumers"]),
            )
            for one in found
        ],
    )


def _settings_lines(settings: dict[str, Any]) -> list[tuple[str, str]]:
    retention = settings["retention"]
    return [
        ("age", write_duration(retention["age"]) if retention["age"] else "no limit"),
        ("most", f"{retention['count']} events" if retention["count"] else "no limit"),
        ("size", _size(retention["size"]) if retention["size"] else "no limit"),
        ("schema", msgspec.json.encode(settings["schema"]).decode() if settings["schema"] else "none"),
        ("misfits", settings["misfits"]),
    ]


def _size(count: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
