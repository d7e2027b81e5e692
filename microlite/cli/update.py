"""`microlite update`."""

from __future__ import annotations

import click

from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options, completes
from microlite.cli.places import find_targets


@click.command
@click.argument(
    "services",
    nargs=-1,
    required=True,
    metavar="NAME[@VERSION]... | FOLDER",
    shell_complete=completes("managed_or_places"),
)
@click.option("-i", "--instances", type=click.IntRange(1), help="How many nodes it has from now on.")
@click.pass_obj
def update(options: Options, services: tuple[str, ...], instances: int | None) -> None:
    """Load the code of running services anew; the old nodes serve until the new ones do.

    A folder, such as ., stands for what runs from it. Where the new code does not start, the old one serves on, and
    this command fails with the reason.
    """
    failed = []
    with connect(options) as link:
        for name, version in find_targets(link, services):
            statuses = link.ask(
                "runtime", "update", timeout=None, service=name, version=version, instances=instances or 0
            )
            failed += [
                f"service {status['name']} does not run its new code: {status['error']}"
                for status in statuses
                if status.get("error")
            ]
    if failed:
        raise CommandError("\n".join(failed))
