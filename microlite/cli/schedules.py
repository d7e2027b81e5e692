"""`microlite schedules`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from microlite.cli.calling import read_json
from microlite.cli.completes import completes
from microlite.cli.described import read_target
from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.moments import read_seconds, read_time, write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_document, print_table
from microlite.cli.subcommands import Subcommands
from microlite.core.durations import write_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE = 1000
"""Schedules that are asked for at a time."""


@click.group(cls=Subcommands)
def schedules() -> None:
    """See, add, pause and run what is called at its time."""


@schedules.command("list")
@click.argument("prefix", required=False, default="")
@output_option
@click.pass_obj
def list_(options: Options, prefix: str, output: str) -> None:
    """List schedules by name, with their next and last run; only those whose names begin with PREFIX."""
    with connect(options) as link:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["name"] if found else ""
            page = link.ask("schedules", "list", prefix=prefix, after=after, limit=_PAGE)
            found += page
            if len(page) < _PAGE:
                break
    if output == "json":
        import msgspec

        print_document(msgspec.json.encode(found))
        return
    now = time.time()
    print_table(
        ("NAME", "CALLS", "WHEN", "NEXT", "LAST", "STATE"),
        [(one["name"], one["target"], when(one), _next(one, now), _last(one, now), _state(one)) for one in found],
    )


@schedules.command
@click.argument("name")
@click.argument("target", metavar="SERVICE.ENDPOINT", shell_complete=completes("single_targets"))
@click.argument("request", required=False, default="", metavar="[JSON]")
@click.option("--every", metavar="DURATION", help="The time between two runs: 30s, 10m, 1h30m, 1d.")
@click.option("--cron", metavar="FIELDS", help="In its place: minute, hour, day, month, day of the week: '0 6 * * *'.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone of --cron: Europe/Berlin.")
@click.option("--in", "delay", metavar="DURATION", help="A single call, so long from now.")
@click.option(
    "--at", metavar="TIME", help="A single call, at this time: 2026-12-24T18:00, of this machine's zone or +01:00."
)
@click.option(
    "--missed",
    type=click.Choice(("skip", "once", "all")),
    default="once",
    show_default=True,
    help="What becomes of times that passed while nothing could run them.",
)
@click.option(
    "--overlap",
    type=click.Choice(("skip", "queue", "allow")),
    default="skip",
    show_default=True,
    help="What happens when the run before has not ended.",
)
@click.option("--timeout", metavar="DURATION", default="5m", show_default=True, help="How long a run may take.")
@click.option("--retries", type=int, default=0, show_default=True, help="How often a run that failed is tried again.")
@click.option(
    "--backoff", metavar="DURATION", default="1s", show_default=True, help="The time before the first such try."
)
@click.option("--replace", is_flag=True, help="Take the place of a schedule of this name.")
@click.pass_obj
def add(
    options: Options,
    name: str,
    target: str,
    request: str,
    every: str | None,
    cron: str | None,
    zone: str,
    delay: str | None,
    at: str | None,
    missed: str,
    overlap: str,
    timeout: str,
    retries: int,
    backoff: str,
    replace: bool,
) -> None:
    """Have an endpoint called again and again, or once.

    \b
        microlite schedules add nightly orders.expire '{"limit": 5}' --cron '0 3 * * *' --zone Europe/Berlin
        microlite schedules add sweep orders.expire --every 10m
        microlite schedules add reminder mail.send '{"to": "ann"}' --in 2h
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    import msgspec

    service, endpoint = read_target([target])
    given = {"--every": every, "--cron": cron, "--in": delay, "--at": at}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise click.UsageError("say when: exactly one of --every, --cron, --in and --at")
    fields = msgspec.json.decode(read_json(request))
    if not isinstance(fields, dict):
        raise click.BadParameter("a request is a JSON object, as in '{\"id\": 1}'", param_hint="JSON")
    schedule: dict[str, Any] = {
        "target": f"{service}.{endpoint}",
        "request": fields,
        "id": name,
        "cron": cron or "",
        "zone": zone,
        "missed": missed,
        "overlap": overlap,
        "timeout": read_seconds(timeout, "--timeout"),
        "retries": retries,
        "backoff": read_seconds(backoff, "--backoff"),
        "replace": replace,
    }
    if every is not None:
        schedule["every"] = read_seconds(every, "--every")
    if delay is not None:
        schedule["delay"] = read_seconds(delay, "--in")
    if at is not None:
        schedule["at"] = read_time(at, "--at")
    with connect(options) as link:
        link.ask("schedules", "add", schedule=schedule)


@schedules.command
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completes("schedules"))
@click.pass_obj
def pause(options: Options, names: tuple[str, ...]) -> None:
    """Let the times of schedules pass until they are resumed."""
    _each(options, "pause", names)


@schedules.command
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completes("schedules"))
@click.pass_obj
def resume(options: Options, names: tuple[str, ...]) -> None:
    """Run schedules at their times again."""
    _each(options, "resume", names)


@schedules.command
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=completes("schedules"))
@click.pass_obj
def remove(options: Options, names: tuple[str, ...]) -> None:
    """Remove schedules, and single calls that were not made yet.

    What the code of a running service declares is removed there.
    """
    _each(options, "remove", names)


@schedules.command
@click.argument("name", shell_complete=completes("schedules"))
@click.option("--no-wait", is_flag=True, help="Return when the run has begun, not when it has ended.")
@click.pass_obj
def run(options: Options, name: str, no_wait: bool) -> None:
    """Run a schedule now, whatever time it is, and wait for its end."""
    with connect(options) as link:
        found = link.ask("schedules", "run", name=name, wait=not no_wait, timeout=None)
    if not no_wait and found["outcome"] != "done":
        raise CommandError(f"{found['schedule']} {found['outcome']}: {plain(found.get('error', ''))}".rstrip(": "))


@schedules.command
@click.argument("name", required=False, default="", shell_complete=completes("schedules"))
@click.option(
    "-n", "--limit", metavar="N", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many."
)
@output_option
@click.pass_obj
def history(options: Options, name: str, limit: int, output: str) -> None:
    """Show the runs of a schedule, the latest first. Without a name: single calls that have ended."""
    with connect(options) as link:
        if output == "json":
            import msgspec

            request = msgspec.json.encode({"name": name, "limit": limit})
            print_document(link.ask_json("schedules", "history", request))
            return
        runs = link.ask("schedules", "history", name=name, limit=limit)
    rows = [
        (
            *([] if name else [one["schedule"]]),
            write_time(one["due"]),
            one["outcome"],
            _took(one),
            str(one.get("attempt", 0)),
            one.get("by", ""),
            one.get("error", "").partition("\n")[0],
        )
        for one in runs
    ]
    print_table((*([] if name else ["NAME"]), "DUE", "OUTCOME", "TOOK", "TRY", "BY", "ERROR"), rows)


def when(one: Mapping[str, Any]) -> str:
    """The times of a schedule in words."""
    if one.get("cron"):
        zone = one.get("zone", "UTC")
        return f"{one['cron']} {zone}"
    if one.get("every"):
        return f"every {write_duration(one['every'])}"
    return "once"


def _each(options: Options, endpoint: str, names: tuple[str, ...]) -> None:
    with connect(options) as link:
        for name in names:
            link.ask("schedules", endpoint, name=name)


def _next(one: Mapping[str, Any], now: float) -> str:
    if not one.get("next"):
        return ""
    return "now" if one["next"] <= now else f"in {write_duration(one['next'] - now + 0.5, 2)}"


def _last(one: Mapping[str, Any], now: float) -> str:
    last = one.get("last")
    return f"{last['outcome']} {write_duration(max(0.0, now - last['ended']), 2)} ago" if last else ""


def _state(one: Mapping[str, Any]) -> str:
    running, waiting = one.get("running", 0), one.get("waiting", 0)
    words = ["paused"] if one.get("paused") else []
    words += [f"{running} running"] if running else []
    words += [f"{waiting} waiting"] if waiting else []
    words += [one["trouble"]] if one.get("trouble") else []
    return ", ".join(words) or "ready"


def _took(one: Mapping[str, Any]) -> str:
    started, ended = one.get("started", 0), one.get("ended", 0)
    return f"{ended - started:.3f}s" if started and ended else ""
