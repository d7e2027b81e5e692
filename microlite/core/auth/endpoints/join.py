"""The endpoints by which nodes get their tickets, and the tokens by which nodes of other machines join."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import JoinToken, NewJoinToken, Ticket
from microlite.core.auth.join_tokens import DEFAULT_LIFETIME
from microlite.core.auth.tickets import Bearer, Use
from microlite.core.description import Role
from microlite.core.description.naming import check_service_name
from microlite.core.library.context import Context
from microlite.core.policy.identity import Peer
from microlite.core.rpc.connection import Connection

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.auth.identities import Identities
    from microlite.core.auth.join_tokens import JoinTokens
    from microlite.core.auth.tickets import Tickets
    from microlite.core.library.service import Service


def join_endpoints(
    service: Service, tickets: Tickets, tokens: JoinTokens, audit: Audit, identities: Identities
) -> None:
    """Add what is about nodes: their tickets and join tokens.

    Args:
        identities: make a token that stands for a node's service.
    """

    @service.endpoint(role=Role.SERVICE, name="tickets.create")
    async def create_ticket(ctx: Context, to: str = "") -> Ticket:
        """Give the calling node a new ticket, with which it can prove for some minutes which node it is.

        Only over the connection of a node: the platform knows whose that is.

        Args:
            to: the node to which it is to be shown, which is then the only one that takes it.
        """
        connection = _node(ctx)
        bearer = Bearer(
            namespace=connection.namespace,
            service=connection.service,
            node=connection.node,
            generation=connection.generation,
            join=_join_of(connection),
        )
        return tickets.issue(bearer, to)

    @service.endpoint(role=Role.SERVICE, name="tickets.inspect")
    async def inspect_ticket(ctx: Context, ticket: str, called: bool) -> Peer:
        """Say which node has shown a ticket to the calling node.

        Args:
            ticket: as it was shown.
            called: whether the calling node was called by whoever has shown it; else it was shown by whom it calls.
        """
        connection = _node(ctx)
        bearer = tickets.meet(ticket, connection.node, Use.CALLER if called else Use.CALLEE)
        if bearer.namespace != connection.namespace:
            raise errors.Forbidden("nodes of different namespaces do not meet")
        account, marks = tickets.account_now(bearer)
        return Peer(
            namespace=bearer.namespace,
            service=bearer.service,
            node=bearer.node,
            generation=bearer.generation,
            account=account,
            token=identities.authenticator.token_for(account),
            marks=marks,
        )

    @service.endpoint(role=Role.ADMIN, reads=True, name="join-tokens.list")
    async def list_(ctx: Context) -> list[JoinToken]:
        """List the join tokens of the namespace, without their secrets; expired ones too, whose nodes stay."""
        return await tokens.tokens(ctx.namespace)

    @service.endpoint(role=Role.ADMIN, name="join-tokens.create")
    async def create(ctx: Context, service: str = "", expires_in: float = DEFAULT_LIFETIME) -> NewJoinToken:
        """Make a token by which nodes of this namespace can join from other machines.

        Args:
            service: the only service whose nodes it lets in; without it those of all.
            expires_in: seconds for which nodes can join by it, a day without it. Nodes that have joined stay.
        """
        name = check_service_name(service, versioned=True) if service else ""
        act = "auth.join-tokens.create"
        return await tokens.create(
            ctx.namespace,
            service=name,
            lifetime=expires_in,
            by=ctx.origin.account,
            beside=lambda made: (
                audit.entry(ctx.origin, act, f"join-token:{made}", service=name, expires_in=expires_in),
            ),
        )

    @service.endpoint(role=Role.ADMIN, name="join-tokens.delete")
    async def delete(ctx: Context, id: str) -> None:
        """Let nobody join by a token any more, and cut off the nodes that have.

        Args:
            id: of the token.
        """
        entry = audit.entry(ctx.origin, "auth.join-tokens.delete", f"join-token:{id}")
        await tokens.delete(ctx.namespace, id, (entry,))


def _node(ctx: Context) -> Connection:
    connection = ctx.peer
    if not isinstance(connection, Connection) or not connection.node:
        raise errors.Forbidden("tickets are for nodes, over their own connections, and for nobody else")
    return connection


def _join_of(connection: Connection) -> str:
    """The id of the join token by which a node has come; empty for one of this machine."""
    prefix = f"join:{connection.namespace}/"
    return next((mark.removeprefix(prefix) for mark in connection.marks if mark.startswith(prefix)), "")
