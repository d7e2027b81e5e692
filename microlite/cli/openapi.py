"""`microlite openapi`."""

from __future__ import annotations

import click

from microlite.cli.completes import completes
from microlite.cli.described import read_service
from microlite.cli.link import connect
from microlite.cli.options import Options
from microlite.cli.output import print_json
from microlite.core import errors
from microlite.core.description import ServiceDescription
from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.web.openapi import document


@click.command
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=completes("services"))
@click.option("--built-in", is_flag=True, help="Include the services of the platform.")
@click.pass_obj
def openapi(options: Options, services: tuple[str, ...], built_in: bool) -> None:
    """Print the OpenAPI document of services, for generators and other tools.

    Without a name it is that of all services that can be called. It is JSON, of OpenAPI 3.1, and what the gateway
    answers at /openapi.json.
    """
    names = [read_service(name) for name in services]
    with connect(options) as link:
        # the registry has a record for each version; HTTP knows one service of a name, and so does the document
        found = {one.name: one for one in link.ask("registry", "list", list[ServiceDescription], built_in=True)}
        gateway = link.gateway
    for name in names:
        if name not in found:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
    wanted = names or [name for name in found if built_in or name not in BUILT_IN_SERVICES]
    print_json(document([found[name] for name in wanted], servers=[gateway] if gateway else ()))
