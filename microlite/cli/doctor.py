"""`microlite doctor`."""

from __future__ import annotations

from typing import Final

import click

from microlite.cli.checks import run_checks
from microlite.cli.failure import FAILED
from microlite.cli.finding import Verdict
from microlite.cli.options import Options, output_option
from microlite.cli.output import print_json

_COLOURS: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.BROKEN: "red"}


@click.command
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    help="Port of the gateway, if no platform runs.",
)
@output_option
@click.pass_context
@click.pass_obj
def doctor(options: Options, context: click.Context, port: int, output: str) -> None:
    """Find out what is wrong here, and how to mend it.

    Ends with exit code 1 if something is broken.
    """
    findings = run_checks(options, port)
    if output == "json":
        print_json(findings)
    else:
        for finding in findings:
            verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict])
            click.echo(f"{verdict} {finding.check:<12} {finding.detail}")
            if finding.mend:
                click.echo(f"{'':<21} mend it with: {finding.mend}")
    if any(finding.verdict is Verdict.BROKEN for finding in findings):
        context.exit(FAILED)
