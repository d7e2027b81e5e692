"""`microlite status`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import click

from microlite.cli.described import split_version
from microlite.cli.link import connect
from microlite.cli.options import Options, completes, output_option
from microlite.cli.output import print_document, print_table
from microlite.core.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLUMNS: Final = ("NAME", "VERSION", "SOURCE", "STATE", "NODES", "PID", "UPTIME", "RESTARTS", "ERROR")
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
    now = time.time()
    print_table(_COLUMNS, [_row(one, now) for one in statuses])


def _row(one: Mapping[str, Any], now: float) -> Sequence[str]:
    from microlite.core.runtime.states import SERVING, State, word  # read only where there is something to show

    nodes: Sequence[Mapping[str, Any]] = one.get("nodes", ())
    serving = [node for node in nodes if State(node["state"]) in SERVING]
    pids = [str(node["pid"]) for node in serving or nodes if node.get("pid")]
    waiting: Sequence[str] = one.get("waiting_for", ())
    since = min((node["healthy"] for node in serving if node.get("healthy")), default=None)
    return (
        one["name"],
        one["version"],
        _source(one),
        f"waiting for {', '.join(waiting)}" if waiting else word(State(one["state"])),
        str(len(nodes)) if len(serving) == len(nodes) else f"{len(serving)}/{len(nodes)}",
        ",".join(pids[:_MOST_PIDS]) + (",…" if len(pids) > _MOST_PIDS else ""),
        format_duration(now - since) if since is not None else "",
        str(one.get("restarts", 0)),
        one.get("error", "").partition("\n")[0],
    )


def _source(one: Mapping[str, Any]) -> str:
    """The folder, or the address with the commit that it stands for."""
    source, commit = _short(one.get("source", "")), one.get("commit", "")
    return f"{source} ({commit[:_COMMIT]})" if commit else source


def _short(path: str) -> str:
    home = os.environ.get("HOME", "")
    return f"~{path[len(home) :]}" if len(home) > 1 and path.startswith(f"{home}{os.sep}") else path
