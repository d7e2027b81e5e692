"""`microlite server`."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

import click

from microlite.cli.options import Options, isolation_options, tls_options

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


def _check_addresses(_: click.Context, __: click.Parameter, addresses: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.ip_address(address)))
        except ValueError:
            raise click.BadParameter(f"{address!r} is no address; write 10.0.0.7, or fd00::7") from None
    return tuple(found)


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
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="ADDRESS",
    multiple=True,
    callback=_check_addresses,
    help="A proxy in front of it, whose X-Forwarded headers are believed. Repeatable.",
)
@tls_options
@click.option(
    "--insecure-http",
    is_flag=True,
    help="Listen for other machines without TLS: behind a proxy that does it, or where all may read along.",
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
@isolation_options
@click.option(
    "--isolate-folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where services with user ids of their own live.  [default: /var/lib/microlite-isolated]",
)
@click.option(
    "--join-port",
    metavar="N",
    type=click.IntRange(0, 65535),
    help="Let nodes of other machines join here, under TLS and by a join token; 0 takes any free port.",
)
@click.option(
    "--join-host",
    metavar="ADDRESS",
    default="0.0.0.0",  # noqa: S104 - whoever names a join port wants it reached from elsewhere
    show_default=True,
    help="Address of that port.",
)
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
    trusted_proxies: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure_http: bool,
    access_log: bool,
    audit_days: int,
    audit_size: int,
    dashboard_port: int | None,
    no_dashboard: bool,
    isolate: bool,
    isolate_by: str | None,
    isolate_folder: Path | None,
    join_port: int | None,
    join_host: str,
    home: Path | None,
    session: bool,
    ready_fd: int | None,
) -> None:
    """Start the platform and keep it running, until Ctrl-C.

    A second Ctrl-C ends it at once. What was started with `run --detach` runs again when the platform does. Only this
    machine reaches it, unless --host says otherwise: that wants TLS.
    """
    from microlite.core.serving import run_server
    from microlite.core.settings import ISOLATED_FOLDER, ServerOptions

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
        trusted_proxies=trusted_proxies,
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure_http=insecure_http,
        access_log=access_log,
        audit_days=audit_days,
        audit_size=audit_size,
        dashboard_port=dashboard_port,
        dashboard=not no_dashboard,
        isolate=isolate_by or ("auto" if isolate else "off"),
        isolated_folder=isolate_folder.expanduser().absolute() if isolate_folder else ISOLATED_FOLDER,
        join_port=join_port,
        join_host=join_host,
        session=session,
        ready_fd=ready_fd,
    )
    context.exit(run_server(settings))
