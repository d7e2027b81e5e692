"""`microlite services`."""

from __future__ import annotations

import click

from microlite.cli.link import connect
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_document


@click.command
@click.option("--built-in", is_flag=True, help="List those of the platform as well.")
@output_option
@click.pass_obj
def services(options: Options, built_in: bool, output: str) -> None:
    """List the services that can be called, by name."""
    with connect(options) as link:
        if output == "json":
            request = b'{"built_in":true}' if built_in else b"{}"
            print_document(link.ask_json("registry", "list", request))
            return
        for name in sorted({record["name"] for record in link.ask("registry", "list", built_in=built_in)}):
            click.echo(name)
