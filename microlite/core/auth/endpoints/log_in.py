"""The endpoints of logging in and out, and of what a token stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import Link, Token
from microlite.core.auth.log_in import ACCESS
from microlite.core.auth.one_time_links import Invitation
from microlite.core.context import CLIENT_ADDRESS
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.policy.identity import Identity

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.auth.one_time_links import OneTimeLinks
    from microlite.core.library.service import Service


def serve_log_in(service: Service, identities: Identities, links: OneTimeLinks, dashboard: str) -> None:
    """Add the ways in and out.

    Args:
        service: takes them.
        identities: logs in and out.
        links: issues what opens the dashboard.
        dashboard: its URL, without a slash at the end; empty where there is none.
    """

    @service.endpoint(role=Role.PUBLIC)
    async def token(
        ctx: Context,
        id: str = "",
        secret: str = "",
        refresh_token: str = "",
        namespace: str = "",
        expires_in: float = ACCESS,
        renewable: bool = True,
    ) -> Token:
        """Log in: give an access token for the id and secret of an account, or for a refresh token.

        A refresh token is spent by it; the answer has the next one. If it is used again, its log-in ends for everybody who
        has it. Only for half a minute it gives the next one again, for a client that has lost the first answer.

        Args:
            id: of the account, or its name.
            secret: of the account.
            refresh_token: in place of id and secret: that of an earlier log-in.
            namespace: whose account; that of the call without it.
            expires_in: seconds that the access token holds, an hour at most.
            renewable: whether to give a refresh token too.
        """
        if refresh_token:
            return await identities.log_in.by_refresh_token(refresh_token, lifetime=expires_in)
        if not id or not secret:
            raise errors.BadRequest("Credentials or a refresh token required: give id and secret, or refresh_token")
        return await identities.log_in.by_secret(
            namespace or ctx.namespace,
            id,
            secret,
            address=_address(ctx),
            lifetime=expires_in,
            renewable=renewable,
        )

    @service.endpoint(role=Role.PUBLIC)
    async def logout(ctx: Context, token: str) -> None:  # noqa: ARG001 - every handler takes one
        """Log out: end the log-in of a token, with all its tokens, everywhere. Who has a token may end it.

        Args:
            token: the refresh token, or an access token that has not expired.
        """
        await identities.log_in.out(token)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def whoami(ctx: Context) -> Identity:
        """Say as whom one calls: the account, with the scopes that the token has."""
        account = ctx.account
        if account is None:
            raise errors.Unauthorized("nobody is logged in")
        return Identity(
            account=account.id,
            type=account.type,
            name=account.name,
            namespace=account.namespace,
            scopes=account.scopes,
            metadata=account.metadata,
            expires=0.0,
        )

    @service.endpoint(role=Role.ACCOUNT)
    async def inspect(ctx: Context, token: str) -> Identity:  # noqa: ARG001 - every handler takes one
        """Say whom a token stands for, and until when.

        Args:
            token: of any kind that is shown with calls.
        """
        return await identities.authenticator.authenticate(token)

    @service.endpoint(role=Role.ACCOUNT)
    async def link(ctx: Context) -> Link:
        """Make a link that logs the caller in at the dashboard: it works once, within a minute.

        The dashboard then shows the services of the namespace in which this was called. A service cannot make one for the
        user whose call it handles.
        """
        if not dashboard:
            raise errors.NotFound("this platform has no dashboard: it was started with --no-dashboard")
        if ctx.account is None:
            raise errors.Unauthorized("a link is made for an account, and there is none")
        if ctx.calling_service or ctx.account.is_service:
            raise errors.Forbidden("a link is for people: a service cannot make one")
        if ctx.shown and identities.authenticator.is_lasting(ctx.shown):
            raise errors.Forbidden("a personal access token is for programs, and makes no link; log in as yourself")
        secret, expires = await links.issue(Invitation(account=ctx.account, namespace=ctx.namespace))
        return Link(url=f"{dashboard}/login/{secret}", expires=expires)


def _address(ctx: Context) -> str:
    """From where a call comes, as far as the platform knows: of HTTP the client's, else the service that passes it on."""
    if ctx.peer is None:
        return ctx.metadata.get(CLIENT_ADDRESS, "")
    return f"service {ctx.calling_service}" if ctx.calling_service else ""
