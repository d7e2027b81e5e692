"""Who is at the other end of a connection, and whether it may stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.auth.tickets import Bearer, join_mark
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_ADMIN, PLATFORM_NAMESPACE
from microlite.core.description.naming import check_service_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from microlite.core.auth.join_tokens import JoinTokens
    from microlite.core.auth.tickets import Tickets
    from microlite.core.rpc.connection import Connection
    from microlite.core.rpc.tls import TlsListener

TURNED_AWAY: Final = "turned away: "
"""How the reason begins that somebody is told who may not stay."""

MAX_NAME: Final = 256
"""Characters of what a node says that it is called."""


class Admission:
    """Says of each connection whose it is: by the kernel's word, by a ticket, or by a join token.

    Args:
        tickets: prove nodes.
        tokens: prove nodes that come from another machine for the first time.
        endow: gives the connection of a node the account of its service.
    """

    def __init__(self, tickets: Tickets, tokens: JoinTokens, endow: Callable[[Connection], Awaitable[None]]) -> None:
        self._tickets = tickets
        self._endow = endow
        self._tokens = tokens
        self._joined: dict[str, set[Connection]] = {}
        self._looking: set[asyncio.Task[None]] = set()

    # -- this machine --------------------------------------------------------------------------------------------------

    def on_local(self, connection: Connection) -> bool:
        """Somebody has said hello at the Unix socket: a process of the platform's own user, as the kernel has said.

        Returns:
            Whether it may stay. Who may not was told why.
        """
        hello = connection.peer
        assert hello is not None
        if hello.role != "node":
            connection.account = PLATFORM_ADMIN
            return True
        ticket = hello.properties.get("ticket", "")
        try:
            if ticket:
                bearer = self._tickets.prove(ticket)
                if bearer.join:
                    raise errors.Unauthorized("the ticket is that of a node on another machine")
            else:
                bearer = _by_its_own_word(hello.properties)
                if self._tickets.is_started(bearer.namespace, bearer.node):
                    raise errors.Unauthorized(
                        f"a node {bearer.node!r} was started by the platform and would show its ticket; use another name"
                    )
        except errors.Error as error:
            turn_away(connection, error)
            return False
        self._know(connection, bearer)
        self._begin_endowing(connection)
        return True

    def on_confined(self, connection: Connection, namespace: str, service: str) -> bool:
        """Somebody has said hello at a socket that only the processes of one service reach: there are no admins there.

        A node shows its ticket, as all that the platform has started; anybody else is the service.

        Returns:
            Whether it may stay. Who may not was told why.
        """
        hello = connection.peer
        assert hello is not None
        if hello.role == "client":
            connection.namespace, connection.service = namespace, service
            connection.account = self._tickets.account_of(namespace, service)
            return True
        try:
            bearer = self._tickets.prove(hello.properties.get("ticket", ""))
            if hello.role != "node" or (bearer.namespace, bearer.service) != (namespace, service):
                raise errors.Forbidden(f"only nodes of {service!r} connect here")
        except errors.Error as error:
            turn_away(connection, error)
            return False
        self._know(connection, bearer)
        self._begin_endowing(connection)
        return True

    def _begin_endowing(self, connection: Connection) -> None:
        connection.hold()
        self._begin(self._endow_held(connection), "look for the account of a service")

    async def _endow_held(self, connection: Connection) -> None:
        await self._endow(connection)
        connection.release()

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"microlite: {what}")
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    # -- other machines ------------------------------------------------------------------------------------------------

    def on_remote(self, connection: Connection, listener: TlsListener) -> None:
        """Somebody has said hello at the join port. Nothing more is read until it is known who that is."""
        connection.hold()
        self._begin(self._look_at(connection, listener), "let a node in")

    async def _look_at(self, connection: Connection, listener: TlsListener) -> None:
        hello = connection.peer
        assert hello is not None
        try:
            if hello.role != "node":
                raise errors.Forbidden("at the join port nodes join, and nobody else; use the gateway")
            bearer = await self._prove(hello.properties)
        except errors.Error as error:
            turn_away(connection, error)
            return
        if connection.closed.done():
            return
        self._know(connection, bearer)
        await self._endow(connection)
        if connection.closed.done():
            return
        mark = join_mark(bearer.namespace, bearer.join)
        self._joined.setdefault(mark, set()).add(connection)
        connection.add_lost_callback(lambda lost: self._forget(mark, lost))
        listener.admit(connection)
        connection.release()

    async def _prove(self, properties: dict[str, str]) -> Bearer:
        ticket = properties.get("ticket", "")
        if ticket:
            bearer = self._tickets.prove(ticket)
            if not bearer.join or not await self._tokens.holds(bearer.namespace, bearer.join):
                raise errors.Unauthorized("the node may not come from another machine, or no more")
            return bearer
        said = _by_its_own_word(properties)
        parts = await self._tokens.redeem(properties.get("join", ""), said.service)
        if properties.get("namespace", parts.namespace) != parts.namespace:
            raise errors.Forbidden(f"the join token is for the namespace {parts.namespace!r}")
        if self._tickets.is_started(parts.namespace, said.node):
            raise errors.Conflict(f"the platform runs a node {said.node!r} itself; use another name")
        return Bearer(namespace=parts.namespace, service=said.service, node=said.node, join=parts.id)

    def cut_off(self, namespace: str, token: str) -> None:
        """Cut off all nodes that have come by a join token."""
        mark = join_mark(namespace, token)
        for connection in list(self._joined.get(mark, ())):
            turn_away(connection, errors.Unauthorized("the join token was deleted"))

    async def close(self) -> None:
        """Look at nobody any more."""
        for task in list(self._looking):
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _know(self, connection: Connection, bearer: Bearer) -> None:
        connection.namespace = bearer.namespace
        connection.service = bearer.service
        connection.node = bearer.node
        connection.generation = bearer.generation
        connection.marks = bearer.marks
        connection.account = self._tickets.account_of(bearer.namespace, bearer.service)
        self._tickets.connected(bearer, connection)

    def _forget(self, mark: str, connection: Connection) -> None:
        held = self._joined.get(mark)
        if held is not None:
            held.discard(connection)
            if not held:
                del self._joined[mark]


def turn_away(connection: Connection, error: errors.Error) -> None:
    """Tell somebody why it may not stay, and close. Calls that it has sent were not started."""
    connection.go_away(TURNED_AWAY + error.detail)
    connection.close()


def _by_its_own_word(properties: dict[str, str]) -> Bearer:
    """Which node somebody says that it is.

    Raises:
        BadRequest: no node can be called so.
    """
    service = check_service_name(properties.get("service", ""), versioned=True)
    node = properties.get("node", "")
    if not node or len(node) > MAX_NAME or not node.isprintable():
        raise errors.BadRequest(f"a node needs a name of up to {MAX_NAME} characters, and {node[:40]!r} is none")
    namespace = properties.get("namespace") or DEFAULT_NAMESPACE
    if namespace == PLATFORM_NAMESPACE:
        raise errors.Forbidden(f"the namespace {namespace!r} is the platform's own, and has no services")
    return Bearer(namespace=namespace, service=service, node=node)
