"""`microlite status`."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from microlite.cli.completes import completes
from microlite.cli.described import split_version
from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import plain, print_document, table_lines
from microlite.core.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS: Final = ("NAME", "VERSION", "SOURCE", "STATE", "NODES", "PID", "UPTIME", "RESTARTS", "ERROR")
_NARROWEST: Final = 12  # characters of a source that is cut
_MOST_PIDS: Final = 3
_COMMIT: Final = 7


@click.command
@click.argument("service", required=False, metavar="[NAME[@VERSION]]", shell_complete=completes("managed"))
@click.argument("version", required=False)
@output_option
@click.pass_obj
def status(options: Options, service: str | None, version: str | None, output: str) -> None:
    """Show what runs: state, nodes, restarts, errors."""
    name, named_version = split_version(service) if service else ("", "")
    version = version or named_version
    with connect(options) as link:
        if output == "json":
            import msgspec

            request = msgspec.json.encode({"service": name, "version": version})
            print_document(link.ask_json("runtime", "status", request))
            return
        statuses = link.ask("runtime", "status", service=name, version=version)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in status_lines(statuses, time.time(), width):
        click.echo(line)


class _Row(NamedTuple):
    """One service as the table shows it."""

    name: str
    version: str
    source: str
    state: str
    waiting: str
    """The services that it waits for."""
    debugger: str
    """Where debuggers can attach."""
    isolation: str
    """How its nodes are walled in, empty where they are not."""
    counts: tuple[str, ...]
    error: str

    @property
    def remarks(self) -> list[str]:
        """What there is to add to the state."""
        waiting = [f"waiting for {self.waiting}"] if self.waiting else []
        isolated = [f"isolated ({self.isolation})"] if self.isolation else []
        return waiting + isolated + ([f"debugger at {self.debugger}"] if self.debugger else [])

    def whole(self) -> tuple[str, ...]:
        """All of it on one line."""
        state = ", ".join([*([] if self.waiting else [self.state]), *self.remarks])
        return (self.name, self.version, self.source, state, *self.counts, self.error)

    def short(self, most: int) -> tuple[str, ...]:
        """Without what stands below the line; the source has at most so many characters."""
        source = self.source if len(self.source) <= most else f"…{self.source[len(self.source) - most + 1 :]}"
        return (self.name, self.version, source, "waiting" if self.waiting else self.state, *self.counts)


def status_lines(statuses: Sequence[Mapping[str, Any]], now: float, width: int = 0) -> list[str]:
    """The table of what runs.

    Where a terminal is too narrow for it, sources are cut at their beginning, and remarks and errors stand below the line
    of their service.

    Args:
        statuses: as `runtime.status` gives them.
        now: seconds since the Unix epoch.
        width: columns of the terminal; 0 where it is none, and nothing is cut.
    """
    rows = [_row(one, now) for one in statuses]
    wide = table_lines(_COLUMNS, [row.whole() for row in rows])
    if not width or all(len(click.unstyle(line)) <= width for line in wide):
        return wide
    most = max((len(row.source) for row in rows), default=0)
    narrow = table_lines(_COLUMNS[:-1], [row.short(most) for row in rows])
    excess = max(len(line) for line in map(click.unstyle, narrow)) - width
    if excess > 0:
        most = max(_NARROWEST, most - excess)
        narrow = table_lines(_COLUMNS[:-1], [row.short(most) for row in rows])
    lines = narrow[:1]
    for line, row in zip(narrow[1:], rows, strict=True):
        lines += [line, *(f"  {plain(text)}" for text in (*row.remarks, row.error) if text)]
    return lines


def _row(one: Mapping[str, Any], now: float) -> _Row:
    from microlite.core.runtime.states import SERVING, State, word  # read only where there is something to show

    nodes: Sequence[Mapping[str, Any]] = one.get("nodes", ())
    serving = [node for node in nodes if State(node["state"]) in SERVING]
    pids = [str(node["pid"]) for node in serving or nodes if node.get("pid")]
    since = min((node["healthy"] for node in serving if node.get("healthy")), default=None)
    return _Row(
        name=one["name"],
        version=one["version"],
        source=_source(one),
        state=word(State(one["state"])),
        waiting=", ".join(one.get("waiting_for", ())),
        debugger=", ".join(node["debugger"] for node in nodes if node.get("debugger")),
        isolation=isolation if (isolation := one.get("isolation", "off")) != "off" else "",
        counts=(
            str(len(nodes)) if len(serving) == len(nodes) else f"{len(serving)}/{len(nodes)}",
            ",".join(pids[:_MOST_PIDS]) + (",…" if len(pids) > _MOST_PIDS else ""),
            format_duration(now - since) if since is not None else "",
            str(one.get("restarts", 0)),
        ),
        error=one.get("error", "").partition("\n")[0],
    )


def _source(one: Mapping[str, Any]) -> str:
    """The folder, or the address with the commit that it stands for."""
    source, commit = _short(one.get("source", "")), one.get("commit", "")
    return f"{source} ({commit[:_COMMIT]})" if commit else source


def _short(path: str) -> str:
    home = os.environ.get("HOME", "")
    return f"~{path[len(home) :]}" if len(home) > 1 and path.startswith(f"{home}{os.sep}") else path
