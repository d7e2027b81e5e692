"""`microlite logs`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
import msgspec

from microlite.cli.completes import completes
from microlite.cli.described import read_service
from microlite.cli.link import connect
from microlite.cli.moments import read_moment
from microlite.cli.options import Options, output_option
from microlite.core.runtime.lines import Line

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command
@click.argument("service", metavar="NAME", shell_complete=completes("managed"))
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", metavar="N", type=click.IntRange(0), help="So many of the last lines.  [default: 15]")
@click.option("--since", metavar="TIME", help="Nothing older: 10m, 2h, or 2026-01-31T12:00.")
@click.option("--node", default="", help="Only the lines of this node.", shell_complete=completes("nodes"))
@output_option
@click.pass_obj
def logs(
    options: Options, service: str, follow: bool, lines: int | None, since: str | None, node: str, output: str
) -> None:
    """Print what a service writes: its last lines, or all since a time.

    As JSON each line is a document of its own.
    """
    name = read_service(service.partition("@")[0])
    start = read_moment(since, "--since") if since is not None else 0.0
    if lines is None:
        lines = 15 if since is None else 0
    with connect(options) as link:
        found: Iterator[Line] = link.follow(
            "runtime", "logs", Line, service=name, lines=lines, follow=follow, since=start, node=node
        )
        colour = sys.stdout.isatty()
        for line in found:
            if output == "json":
                click.echo(msgspec.json.encode(line.plain()))
            else:
                click.echo(line.as_text(colour=colour))
