"""`microlite asyncapi`."""

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
from microlite.web.asyncapi import document


@click.command
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=completes("services"))
@click.pass_obj
def asyncapi(options: Options, services: tuple[str, ...]) -> None:
    """Print the AsyncAPI document of services: which messages and events they take.

    Without a name it is that of all services, with the topics of events that are there and the schemas that are set for
    them. It is JSON, of AsyncAPI 3.0, and what the gateway answers at /asyncapi.json.
    """
    names = [read_service(name) for name in services]
    with connect(options) as link:
        found = {one.name: one for one in link.ask("registry", "list", list[ServiceDescription], built_in=True)}
        topics = {} if names else {one["name"]: one["settings"]["schema"] for one in link.ask("events", "topics")}
        gateway = link.gateway
    for name in names:
        if name not in found:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
    wanted = names or [name for name in found if name not in BUILT_IN_SERVICES]
    print_json(document([found[name] for name in wanted], gateway=gateway, topics=topics))
