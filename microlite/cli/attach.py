"""`microlite attach`."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import click

from microlite.cli.described import read_service
from microlite.cli.failure import CommandError
from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.cli.terminal import Terminal
from microlite.core.runtime.api import ServiceStatus

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command
@click.argument("service", metavar="NAME")
@click.pass_obj
def attach(options: Options, service: str) -> None:
    """Debug a service that runs already.

    One that was started with --debug says where its debugger listens. Any other one breaks into pdb here, at the next
    `breakpoint()` that it comes to; Ctrl-C lets go of it, and it goes on.
    """
    name = read_service(service)
    with connect(options) as link:
        statuses: list[ServiceStatus] = link.ask("runtime", "status", list[ServiceStatus], service=name)
    addresses = [node.debugger for status in statuses for node in status.nodes if node.debugger]
    if addresses:
        for address in addresses:
            click.echo(f"debugger: attach to {address}")
        return
    _refuse(statuses)
    with Terminal(options) as terminal:
        if not terminal.offer(name):
            raise CommandError(
                f"{name} breaks into pdb in the terminal of its `microlite run`, or of another `microlite attach`; "
                "else this has to be a terminal"
            )
        click.echo(f"waiting for a breakpoint() in {name}; Ctrl-C lets go of it")
        ended = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: ended.set())
        ended.wait()


def _refuse(statuses: Sequence[ServiceStatus]) -> None:
    """Make sure that the platform has started it, so that its breakpoints come here.

    Raises:
        CommandError: somebody has started it by hand.
    """
    if not any(status.managed for status in statuses):
        raise CommandError(f"{statuses[0].name} was started by hand: its breakpoints are in its own terminal")
