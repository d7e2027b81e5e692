"""The endpoints by which nodes get to know what holds, and say that they do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.policy.rules import Policy

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.library.service import Service


def serve_policy(service: Service, identities: Identities) -> None:
    """Add the endpoints for nodes."""

    @service.endpoint(role=Role.SERVICE, reads=True)
    async def watch(ctx: Context) -> AsyncIterator[Policy]:
        """Stream what a node needs in order to decide by itself: the rules of its namespace, and what was revoked.

        It comes at once and after each change, and has to be confirmed each time. With the first, the node forgets all that
        it had found out about tokens. Whoever does not confirm within a second loses the connection.
        """
        async with aclosing(identities.policies.follow(ctx.namespace, ctx.peer)) as policies:
            async for policy in policies:
                yield policy

    @service.endpoint(role=Role.SERVICE)
    async def confirm(ctx: Context, version: int) -> None:
        """Say that the node decides by a policy from now on.

        Args:
            version: of the policy.
        """
        if not identities.policies.confirm(ctx.peer, version):
            raise errors.BadRequest("nothing is to be confirmed: this connection watches no policy")
