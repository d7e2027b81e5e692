"""`microlite cache`."""

from __future__ import annotations

import click

from microlite.cli.options import output_option
from microlite.cli.subcommands import Subcommands


@click.group(cls=Subcommands, no_args_is_help=True)
def cache() -> None:
    """Look after what the one file has unpacked."""


@cache.command
@output_option
def clean(output: str) -> None:
    """Remove all that was unpacked and that no running microlite uses."""
    from microlite import onefile

    done = onefile.clean()
    if output == "json":
        from microlite.cli.output import print_json

        print_json(done._asdict())
        return
    for path in done.removed:
        click.echo(f"removed {path}")
    for path in done.in_use:
        click.echo(f"in use  {path}")
    click.echo(f"{done.freed / 1e6:.1f} MB freed")
