"""`microlite run`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from microlite.cli.completes import completes
from microlite.cli.failure import CommandError
from microlite.cli.options import Options, Ports, isolation_options, pairs, tls_options
from microlite.cli.places import find_source

if TYPE_CHECKING:
    from pathlib import Path

    from microlite.core.runtime.api import RunRequest, ServiceStatus


@click.command
@click.argument("sources", nargs=-1, metavar="[FOLDER | FILE | GIT-ADDRESS]...", shell_complete=completes("places"))
@click.option("--name", default="", help="Name of the service, in place of the one that is found.")
@click.option("--version", default="", help="Version, in place of the one that the code says.")
@click.option("-i", "--instances", metavar="N", type=click.IntRange(1), help="How many nodes of each service.")
@click.option("--env", multiple=True, metavar="KEY=VALUE", help="A variable that the nodes see. Can be repeated.")
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Added to the service's. Can be repeated.")
@click.option("--command", default="", help="Run this program, which listens on PORT and speaks HTTP.")
@click.option("--no-watch", is_flag=True, help="Do not swap in new code when a file is saved.")
@click.option("--debug", is_flag=True, help="Let each node listen for a debugger (debugpy), and say where.")
@click.option(
    "--debug-port",
    metavar="N",
    type=click.IntRange(1024, 65535),
    help="Port for the debugger.  [default: 5678 or the next]",
)
@click.option("--debug-wait", is_flag=True, help="Run nothing before the debugger has attached.")
@isolation_options
@click.option("--detach", is_flag=True, help="Return when it runs, and keep it running until it is killed.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    help="Port of the gateway, if a platform is started. 0 takes any.",
)
@click.option(
    "--dashboard-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    help="Port of its dashboard, which else is two above that of the gateway. 0 takes any.",
)
@tls_options
@click.pass_context
@click.pass_obj
def run(
    options: Options,
    context: click.Context,
    sources: tuple[str, ...],
    name: str,
    version: str,
    instances: int | None,
    env: tuple[str, ...],
    metadata: tuple[str, ...],
    command: str,
    no_watch: bool,
    debug: bool,
    debug_port: int | None,
    debug_wait: bool,
    isolate: bool,
    isolate_by: str | None,
    detach: bool,
    port: int | None,
    dashboard_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Run services from folders, files or git repositories; each save swaps in the new code.

    Without a source it is the folder you are in. It can hold one service, in main.py, or several: in folders below it, or
    named by its microlite.toml. A git address is github.com/owner/repository/folder@ref, with any host, or a short name
    below `microlite user config get git.baseurl`; a folder or file of that name goes first.
    Shows what happens to them and what they write, until Ctrl-C; a second Ctrl-C does not wait until calls have ended.
    Where no platform runs, one is started for as long as it is needed.
    """
    from microlite.core.runtime.api import RunRequest
    from microlite.core.runtime.isolation.modes import Isolation

    request = RunRequest(
        sources=tuple(find_source(source, options.home) for source in sources or (".",)),
        name=name,
        version=version,
        instances=instances or 0,
        environment={key: value for key, value in os.environ.items() if not key.startswith("MICROLITE_")},
        env=pairs(env, "--env"),
        metadata=pairs(metadata, "--metadata"),
        command=command,
        python=_python(),
        watch=not no_watch,
        debug=debug or debug_wait or debug_port is not None,
        debug_port=debug_port or 0,
        debug_wait=debug_wait,
        isolate=Isolation(isolate_by or ("auto" if isolate else "")),
    )
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("TLS needs a certificate and its key: --tls-cert and --tls-key")
    ports = Ports(port, dashboard_port, tls_cert, tls_key)
    if detach:
        _run_detached(options, request, ports)
        return
    from microlite.cli.session import run_session

    context.exit(run_session(options, request, ports))


def _run_detached(options: Options, request: RunRequest, ports: Ports) -> None:
    from microlite.cli.start import connect_or_start
    from microlite.core.runtime.api import ServiceStatus
    from microlite.core.runtime.desired import check_nearby
    from microlite.core.runtime.states import SERVING

    with connect_or_start(options, ports, lambda: check_nearby(request, options.namespace)) as (link, _):
        statuses: list[ServiceStatus] = link.ask("runtime", "run", list[ServiceStatus], timeout=None, request=request)
    failed = [one for one in statuses if one.state not in SERVING]
    if failed:
        raise CommandError("\n".join(f"service {one.name} does not run: {_why(one)}" for one in failed))


def _why(status: ServiceStatus) -> str:
    """Why a service does not run; its error may have lines of its own."""
    return f"it waits for {' and '.join(status.waiting_for)}" if status.waiting_for else status.error or status.state


def _python() -> str:
    """The interpreter for services without an environment of their own: the user's, not that of the one file."""
    from microlite import onefile

    in_environment = sys.prefix != sys.base_prefix
    return sys.executable if in_environment or onefile.archive() is None else ""
