"""`microlite server`."""

from __future__ import annotations

import click

from microlite.cli.options import Options


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the gateway and the dashboard.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    show_default="8080",
    help="Port of the gateway; 0 takes any free one.",
)
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    show_default="two above the gateway's",
    help="Port of the dashboard; 0 takes any free one.",
)
@click.option("--no-dashboard", is_flag=True, help="Start none.")
@click.option("--session", is_flag=True, hidden=True, help="End two seconds after the last session.")
@click.option("--ready-fd", type=int, hidden=True, help="Descriptor on which to say that it runs, or why not.")
@click.pass_context
@click.pass_obj
def server(
    options: Options,
    context: click.Context,
    host: str,
    port: int | None,
    dashboard_port: int | None,
    no_dashboard: bool,
    session: bool,
    ready_fd: int | None,
) -> None:
    """Start the platform and keep it running, until Ctrl-C.

    A second Ctrl-C ends it at once. What was started with `run --detach` runs again when the platform does.
    """
    from microlite.core.app import run_server
    from microlite.core.settings import ServerOptions

    settings = ServerOptions(
        home=options.home,
        host=host,
        port=port,
        dashboard_port=dashboard_port,
        dashboard=not no_dashboard,
        session=session,
        ready_fd=ready_fd,
    )
    context.exit(run_server(settings))
