"""`microlite server`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from microlite.cli.options import Options

_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::\d{1,5})?", re.IGNORECASE)


def _check_hosts(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _HOST.fullmatch(name):
            raise click.BadParameter(
                f"{name!r} is no name of a host; write example.org, or *.example.org for all below it"
            )
    return names


def _check_origins(_: click.Context, __: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin.rstrip("/")):
            raise click.BadParameter(f"{origin!r} is no origin; write https://example.org, without a path, or *")
    return origins


@click.command
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the gateway and the dashboard.")
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    show_default="8080",
    help="Port of the gateway; 0 takes any free one.",
)
@click.option(
    "--config",
    "config_files",
    metavar="[NAMESPACE=]FILE",
    multiple=True,
    help="A TOML, YAML, JSON or .env file with settings for services, watched for changes. Repeatable; later ones win.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    callback=_check_hosts,
    help="A further name under which clients may reach it; *.example.org for all below. Repeatable.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    metavar="ORIGIN",
    multiple=True,
    callback=_check_origins,
    help="An origin whose pages may read answers and send forms. Repeatable; without it all may read.",
)
@click.option(
    "--namespace-by-host",
    is_flag=True,
    help="Take staging.shop.example.org for the namespace shop-staging, below an allowed *.example.org.",
)
@click.option("--access-log", is_flag=True, help="Write a line for each answer to stderr.")
@click.option(
    "--audit-days",
    metavar="N",
    type=click.IntRange(1, 36_500),
    default=365,
    show_default=True,
    help="Keep the audit log of each namespace for so many days.",
)
@click.option(
    "--audit-size",
    metavar="MIB",
    type=click.IntRange(1, 1 << 20),
    default=64,
    show_default=True,
    help="Let it have so many MiB; beyond, its oldest entries go.",
)
@click.option(
    "--dashboard-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    show_default="two above the gateway's",
    help="Port of the dashboard; 0 takes any free one.",
)
@click.option("--no-dashboard", is_flag=True, help="Start none.")
@click.option("--home", type=click.Path(path_type=Path), help="Folder of the platform, as before the command.")
@click.option("--session", is_flag=True, hidden=True, help="End two seconds after the last session.")
@click.option("--ready-fd", type=int, hidden=True, help="Descriptor on which to say that it runs, or why not.")
@click.pass_context
@click.pass_obj
def server(
    options: Options,
    context: click.Context,
    host: str,
    port: int | None,
    config_files: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    cors_origins: tuple[str, ...],
    namespace_by_host: bool,
    access_log: bool,
    audit_days: int,
    audit_size: int,
    dashboard_port: int | None,
    no_dashboard: bool,
    home: Path | None,
    session: bool,
    ready_fd: int | None,
) -> None:
    """Start the platform and keep it running, until Ctrl-C.

    A second Ctrl-C ends it at once. What was started with `run --detach` runs again when the platform does.
    """
    from microlite.core.serving import run_server
    from microlite.core.settings import ServerOptions

    if namespace_by_host and not any(name.startswith("*.") for name in allowed_hosts):
        raise click.UsageError(
            "--namespace-by-host needs the domain below which names lie: --allowed-host '*.example.org'"
        )
    settings = ServerOptions(
        home=options.home if home is None else home.expanduser().absolute(),
        host=host,
        port=port,
        config_files=config_files,
        allowed_hosts=allowed_hosts,
        cors_origins=cors_origins or ("*",),
        namespace_by_host=namespace_by_host,
        access_log=access_log,
        audit_days=audit_days,
        audit_size=audit_size,
        dashboard_port=dashboard_port,
        dashboard=not no_dashboard,
        session=session,
        ready_fd=ready_fd,
    )
    context.exit(run_server(settings))
