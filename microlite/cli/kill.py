"""`microlite kill`."""

from __future__ import annotations

import click

from microlite.cli.completes import completes
from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.cli.places import find_targets


@click.command
@click.argument(
    "services",
    nargs=-1,
    required=True,
    metavar="NAME[@VERSION]... | FOLDER | GIT-ADDRESS",
    shell_complete=completes("managed_or_places"),
)
@click.pass_obj
def kill(options: Options, services: tuple[str, ...]) -> None:
    """Drain and end services; return when their processes are gone.

    A folder, such as ., or a git address stands for what runs from it.
    """
    with connect(options) as link:
        targets = find_targets(link, services, options.home)
        names = [f"{name}@{version}" if version else name for name, version in targets]
        link.ask("runtime", "kill", timeout=None, services=names)
