"""The endpoints of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import AccountRecord, NewAccount
from microlite.core.context import USER
from microlite.core.description import Role
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.library.service import Service

MOST = 1_000
"""Most accounts in one answer."""


def serve_accounts(service: Service, identities: Identities) -> None:
    """Add the endpoints of accounts."""

    @service.endpoint(role=Role.ADMIN, reads=True, name="accounts.list")
    async def list_(ctx: Context, after: str = "", limit: int = 100) -> list[AccountRecord]:
        """List the accounts of the namespace by id.

        Args:
            after: only those behind this id: the last of the page before.
            limit: so many at most, up to 1000.
        """
        if not 1 <= limit <= MOST:
            raise errors.BadRequest(f"limit: {limit} is not between 1 and {MOST}")
        return await identities.accounts.page(ctx.namespace, after, limit)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="accounts.read")
    async def read(ctx: Context, id: str = "") -> AccountRecord:
        """Show an account. Each may see itself; admins see all of their namespace.

        Args:
            id: of the account, or its name; the caller's own without it.
        """
        account = ctx.account
        if account is None:
            raise errors.Unauthorized("nobody is logged in")
        if not id or (id == account.id and account.namespace == ctx.namespace):
            found = await identities.accounts.find(account.namespace, account.id)
            if found is not None:
                return found.record(account.namespace)
            if not id:
                return AccountRecord(
                    id=account.id, type=account.type, namespace=account.namespace, scopes=account.scopes
                )
        if not account.is_admin:
            raise errors.Forbidden("other accounts are shown to admins only")
        return (await identities.accounts.get(ctx.namespace, id)).record(ctx.namespace)

    @service.endpoint(role=Role.ADMIN, name="accounts.create")
    async def create(
        ctx: Context,
        id: str = "",
        name: str = "",
        type: str = USER,
        scopes: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        secret: str = "",
    ) -> NewAccount:
        """Make an account in the namespace. The answer has its secret, which nobody can read again.

        Args:
            id: how it is known for ever; of a service, its name. A made-up one without it.
            name: what people call it; one can log in by it too.
            type: `user` or `service`.
            scopes: what it may do: `admin` to operate the namespace, and whatever rules and endpoints name.
            metadata: what is to be noted about it; its tokens carry it.
            secret: with which it logs in, 8 characters or more. A made-up one without it.
        """
        return await identities.accounts.create(
            ctx.origin,
            ctx.account,
            id=id,
            name=name,
            type=type,
            scopes=scopes or (),
            metadata=metadata,
            secret=secret,
        )

    @service.endpoint(role=Role.ADMIN, name="accounts.update")
    async def update(
        ctx: Context,
        id: str,
        name: str | None = None,
        scopes: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        disabled: bool | None = None,
    ) -> AccountRecord:
        """Change what is given of an account. Other scopes, or being disabled, log it out everywhere.

        An account can neither disable itself nor take scopes from itself.

        Args:
            id: of the account, or its name.
            name: what people call it from now on.
            scopes: all that it has from now on.
            metadata: all that is noted about it from now on.
            disabled: whether to keep it out.
        """
        return await identities.accounts.update(
            ctx.origin, ctx.account, id, name=name, scopes=scopes, metadata=metadata, disabled=disabled
        )

    @service.endpoint(role=Role.ADMIN, name="accounts.delete")
    async def delete(ctx: Context, id: str) -> None:
        """Remove an account, and log it out everywhere. An account cannot delete itself.

        Args:
            id: of the account, or its name.
        """
        await identities.accounts.delete(ctx.origin, ctx.account, id)

    @service.endpoint(role=Role.ACCOUNT, name="accounts.change-secret")
    async def change_secret(ctx: Context, new_secret: str, old_secret: str = "", id: str = "") -> None:
        """Give an account another secret. It is logged out everywhere, and its personal access tokens are deleted.

        Args:
            new_secret: from now on, 8 characters or more.
            old_secret: until now. Admins need it for themselves only.
            id: of the account, or its name; the caller's own without it.
        """
        account = ctx.account
        if account is None:
            raise errors.Unauthorized("nobody is logged in")
        origin = ctx.origin if id else ctx.origin.within(account.namespace)
        await identities.log_in.change_secret(origin, account, id or account.id, new_secret, old_secret)
