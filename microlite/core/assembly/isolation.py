"""The way of isolated services to the platform: a socket for each, and what is believed of who comes over it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.assembly.admission import turn_away
from microlite.core.assembly.environments import make_isolated_environments
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import Listener
from microlite.core.runtime.isolation.cells import Cells, Settings
from microlite.core.runtime.isolation.modes import Isolation
from microlite.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from microlite.core.assembly.admission import Admission
    from microlite.core.clock import Clock
    from microlite.core.registry.registry import Registry
    from microlite.core.rpc.call import Acceptor
    from microlite.core.rpc.connection import Connection
    from microlite.core.runtime.isolation.cell import Cell
    from microlite.core.settings import ServerOptions

log = logging.getLogger(__name__)


def make_cells(
    options: ServerOptions, library: Path, clock: Clock, acceptor: Acceptor, registry: Registry, admission: Admission
) -> Cells:
    """What isolates services.

    Args:
        options: of the platform.
        library: the folder that holds microlite and what a service imports of it.
        clock: for waiting, and for the age of environments.
        acceptor: takes the calls of isolated nodes, as of all others.
        registry: enters them, as what the platform has started them.
        admission: says which node has come, by its ticket.
    """
    settings = Settings(
        here=Isolation(options.isolate), home=options.home, folder=options.isolated_folder, library=library
    )

    async def open_gate(cell: Cell) -> Callable[[], Awaitable[None]]:
        path = platform_socket(cell.folder)
        if cell.uid and not path.is_relative_to(cell.folder):
            raise errors.ServiceUnavailable(
                f"{cell.folder} is too long a path for the sockets of isolated services: choose a shorter --isolate-folder"
            )
        listener = Listener(
            path,
            acceptor,
            role="platform",
            properties={"version": __version__},
            on_hello=partial(identify_isolated, cell, registry, admission),
            user=cell.uid,
        )
        await listener.start()
        return listener.close

    return Cells(settings, partial(make_isolated_environments, clock=clock), open_gate)


def identify_isolated(cell: Cell, registry: Registry, admission: Admission, connection: Connection) -> None:
    """Say of a connection from a cell who calls over it: the service that was started there, whatever it says of itself.

    The socket is in a folder that nobody else reaches, and under a user id of its own the kernel was asked as well. There
    are no admins in a cell: a client from there, a script or an HTTP program, is the service too. A node shows the ticket
    that it was started with; one that has none, or says of itself that it is something else, is shown the door.
    """
    registry.confine(connection, cell.check)
    hello = connection.peer
    assert hello is not None
    properties = hello.properties
    node = properties.get("node", "")
    said = (properties.get("namespace", cell.namespace), properties.get("service", cell.service))
    if said != (cell.namespace, cell.service) or (hello.role == "node" and not cell.knows(node)):
        stays = False
        turn_away(
            connection, errors.Forbidden(f"only nodes of {cell.service!r} that the platform has started connect here")
        )
    else:
        stays = admission.on_confined(connection, cell.namespace, cell.service)
    if not stays:
        log.warning(
            "the isolated service %s of %s wanted to be taken for something else (%s, %s, %s), and was cut off",
            *(cell.service, cell.namespace, hello.role[:64], " ".join(said)[:128], node[:128]),
        )
