"""The endpoints of personal access tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.accounts import check_admin
from microlite.core.auth.api import NewPersonalToken, PersonalToken
from microlite.core.description import Role
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.context import Origin
    from microlite.core.library.service import Service

LIFETIME = 30 * 86_400.0
"""Seconds that a token holds where nobody says otherwise."""


def serve_tokens(service: Service, identities: Identities) -> None:
    """Add the endpoints of personal access tokens."""

    async def owner(ctx: Context, account: str) -> tuple[Origin, str]:
        """Whose tokens are meant: the caller's own, or, for an admin, those of an account of the namespace."""
        caller = ctx.account
        if caller is None:
            raise errors.Unauthorized("nobody is logged in")
        if account in ("", caller.id) and (not account or caller.namespace == ctx.namespace):
            return ctx.origin.within(caller.namespace), caller.id
        check_admin(caller, ctx.namespace)
        return ctx.origin, (await identities.accounts.get(ctx.namespace, account)).id

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="tokens.list")
    async def list_(ctx: Context, account: str = "") -> list[PersonalToken]:
        """List the personal access tokens of an account, the oldest first.

        Args:
            account: its id or name; the caller's own without it. Those of others are for admins.
        """
        origin, owning = await owner(ctx, account)
        return await identities.personal.of(origin.namespace, owning)

    @service.endpoint(role=Role.ACCOUNT, name="tokens.create")
    async def create(
        ctx: Context,
        name: str,
        scopes: list[str] | None = None,
        expires_in: float = LIFETIME,
        account: str = "",
    ) -> NewPersonalToken:
        """Make a personal access token. The answer has the token itself, which nobody can read again.

        It never allows more than its account may at that moment. A service cannot make one for the user whose call it
        handles, and who has come by such a token cannot make himself another.

        Args:
            name: what it is for.
            scopes: of the account's, those that it has; all of the caller's without it.
            expires_in: seconds that it holds, a year at most.
            account: id or name of another account for which it acts; for who operates the namespace.
        """
        origin, owning = await owner(ctx, account)
        caller = ctx.account
        assert caller is not None
        itself = (caller.namespace, caller.id) == (origin.namespace, owning)
        if ctx.calling_service and not (itself and caller.is_service):
            raise errors.Forbidden("a service cannot make a token for the user whose call it handles")
        if itself and ctx.shown and identities.authenticator.is_lasting(ctx.shown):
            raise errors.Forbidden(
                "a personal access token makes no other: it would outlive its own end; log in as yourself"
            )
        stored = await identities.accounts.find(origin.namespace, owning)
        if stored is None:
            raise errors.NotFound(
                f"{owning} is no account that tokens are made for; make one with auth.accounts.create"
            )
        if itself:
            if scopes is None:
                scopes = list(caller.scopes)
            beyond = [scope for scope in scopes if scope not in caller.scopes]
            if beyond:
                raise errors.Forbidden(
                    f"scopes: the caller has no scope {beyond[0]!r}, so it cannot give it to a token"
                )
        return await identities.personal.create(origin, stored, name, scopes, expires_in)

    @service.endpoint(role=Role.ACCOUNT, name="tokens.delete")
    async def delete(ctx: Context, id: str, account: str = "") -> None:
        """End a personal access token. It opens nothing any more, on any node, when this returns.

        Args:
            id: of the token.
            account: whose; the caller's own without it. Those of others are for admins.
        """
        origin, owning = await owner(ctx, account)
        await identities.personal.delete(origin, id, owning)
