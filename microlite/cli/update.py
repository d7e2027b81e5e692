"""`microlite update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.cli.places import find_targets

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command
@click.argument(
    "services",
    nargs=-1,
    required=True,
    metavar="NAME[@VERSION]... | FOLDER | GIT-ADDRESS",
    shell_complete=completes("managed_or_places"),
)
@click.option("-i", "--instances", metavar="N", type=click.IntRange(1), help="How many nodes it has from now on.")
@click.pass_obj
def update(options: Options, services: tuple[str, ...], instances: int | None) -> None:
    """Load the code of running services anew; the old nodes serve until the new ones do.

    A folder, such as ., or a git address stands for what runs from it. From a repository the newest commit of the branch
    is fetched. Where the new code does not start, the old one serves on, and this command fails with the reason.
    """
    failed = []
    with connect(options) as link:
        for name, version in find_targets(link, services, options.home):
            statuses = link.ask(
                "runtime", "update", timeout=None, service=name, version=version, instances=instances or 0
            )
            for status in statuses:
                _say_pinned(status)
            failed += [
                f"service {status['name']} does not run its new code: {status['error']}"
                for status in statuses
                if status.get("error")
            ]
    if failed:
        raise CommandError("\n".join(failed))


def _say_pinned(status: Mapping[str, Any]) -> None:
    """An update cannot move what was asked for by its commit: that is said, since it is easily forgotten."""
    commit = status.get("commit", "")
    ref = status["source"].rpartition("@")[2] if commit else ""
    if ref and commit.startswith(ref):
        click.echo(f"{status['name']} is pinned to commit {ref}: run it at a branch to have it move", err=True)
