"""`microlite audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from microlite.cli.config_text import for_terminal
from microlite.cli.link import connect
from microlite.cli.moments import read_moment, write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

PAGE = 500
"""Entries that are asked for at a time."""


@click.command
@click.option("--actor", metavar="ACCOUNT", default="", help="Only what this account has done.")
@click.option("--action", metavar="PREFIX", default="", help="Only acts whose names begin so: auth.rules.")
@click.option("--resource", metavar="PREFIX", default="", help="Only what was done to things that begin so: rule:")
@click.option("--since", metavar="TIME", help="Nothing older: how long ago (2h, 7d), or when (2026-01-31T12:00).")
@click.option("--until", metavar="TIME", help="Nothing younger, said likewise.")
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@click.option("--before", metavar="POSITION", type=click.IntRange(1), help="Only entries before this one.")
@click.option("--platform", is_flag=True, help="What was done to the platform as a whole, for who operates it.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C; the newest is last.")
@output_option
@click.pass_obj
def audit(
    options: Options,
    actor: str,
    action: str,
    resource: str,
    since: str | None,
    until: str | None,
    limit: int,
    before: int | None,
    platform: bool,
    follow: bool,
    output: str,
) -> None:
    """Show what was done with special rights: who, when, to what. The newest comes first.

    Every act of an admin that changes something is written down in the same commit as the act, and nobody can change or
    remove an entry. How long they are kept is said by `microlite server --audit-days` and `--audit-size`.

    \b
        microlite audit --action auth.rules. --since 7d
        microlite audit --actor ann --output json
        microlite audit --follow
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if follow and (until is not None or before is not None):
        raise click.UsageError("--follow goes on with what comes: leave out --until and --before")
    wanted: dict[str, Any] = {"actor": actor, "action": action, "resource": resource, "platform": platform}
    times = {
        "since": read_moment(since, "--since") if since is not None else 0.0,
        "until": read_moment(until, "--until") if until is not None else 0.0,
    }
    with connect(options) as link:
        entries: list[Mapping[str, Any]] = []
        cursor = before or 0
        while len(entries) < limit:
            size = min(PAGE, limit - len(entries))
            page = link.ask("auth", "audit.list", **wanted, **times, before=cursor, limit=size)
            entries += page["entries"]
            cursor = page["cursor"]
            if not cursor:
                break
        if not follow:
            if output == "json":
                print_json(entries)
            else:
                print_table(("POSITION", "WHEN", "BY", "ACTION", "TO", "DETAIL"), _rows(entries))
            return
        last = entries[0]["position"] if entries else _last(link, platform)
        _print_lines(reversed(entries), output)
        _print_lines(link.follow("auth", "audit.watch", dict, **wanted, after=last), output)


def _last(link: Any, platform: bool) -> int:
    """The position of the newest entry, whatever it is about."""
    newest = link.ask("auth", "audit.list", limit=1, platform=platform)["entries"]
    return newest[0]["position"] if newest else 0


def _print_lines(entries: Iterable[Mapping[str, Any]], output: str) -> None:
    for entry in entries:
        if output == "json":
            click.echo(msgspec.json.encode(entry))
        else:
            _, *words = next(_rows([entry]))
            click.echo("  ".join(word for word in words if word))


def _rows(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        who = entry["actor"] or "nobody"
        if entry["service"] and entry["service"] != entry["actor"]:
            who += f" by {entry['service']}"
        detail = " ".join(f"{name}={value}" for name, value in entry["detail"].items())
        yield tuple(
            for_terminal(word)
            for word in (
                str(entry["position"]),
                write_time(entry["at"]),
                who,
                entry["action"],
                entry["resource"],
                detail,
            )
        )
