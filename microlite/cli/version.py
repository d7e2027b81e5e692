"""`microlite version`."""

from __future__ import annotations

import click

from microlite.cli.options import output_option
from microlite.version import __version__


@click.command
@output_option
def version(output: str) -> None:
    """Print the version."""
    if output == "json":
        import platform

        from microlite.cli.output import print_json

        print_json({"version": __version__, "python": platform.python_version()})
    else:
        click.echo(f"microlite {__version__}")
