"""`microlite auth list keys` and `microlite auth rotate keys`."""

from __future__ import annotations

import click

from microlite.cli.link import connect
from microlite.cli.moments import write_time
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json, print_table


@click.command("keys")
@output_option
@click.pass_obj
def list_keys(options: Options, output: str) -> None:
    """List the keys of the platform that sign tokens."""
    with connect(options) as link:
        found = link.ask("auth", "keys.list")
    _print(found, output)


@click.command("keys")
@output_option
@click.pass_obj
def rotate_keys(options: Options, output: str) -> None:
    """Sign new tokens by a new key from now on. Nobody is logged out: old keys stay as long as tokens of theirs hold."""
    with connect(options) as link:
        found = link.ask("auth", "keys.rotate")
    if output == "json":
        print_json(found)
        return
    click.echo("Keys rotated")


def _print(found: list[dict[str, object]], output: str) -> None:
    if output == "json":
        print_json(found)
        return
    print_table(
        ("ID", "Created", "Signs", "Until"),
        [
            (
                str(one["id"]),
                write_time(float(str(one["created"]))),
                "yes" if one.get("signs") else "no",
                write_time(float(str(one["until"]))) if one.get("until") else "",
            )
            for one in found
        ],
    )
