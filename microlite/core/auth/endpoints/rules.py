"""The endpoints of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import Explanation
from microlite.core.context import SERVICE, SERVICE_SCOPE, Account
from microlite.core.description import Role
from microlite.core.description.naming import normalise
from microlite.core.library.context import Context
from microlite.core.policy.rules import Access, Resource, Rule

if TYPE_CHECKING:
    from microlite.core.auth.identities import Identities
    from microlite.core.library.service import Service


def serve_rules(service: Service, identities: Identities) -> None:
    """Add the endpoints of rules."""

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="rules.list")
    async def list_(ctx: Context) -> list[Rule]:
        """List the rules of the namespace, in the order in which they decide: of those that apply, the first does."""
        return list((await identities.rules.load(ctx.namespace)).rules)

    @service.endpoint(role=Role.ADMIN, name="rules.create")
    async def create(
        ctx: Context,
        id: str,
        resource: Resource,
        access: Access = Access.GRANTED,
        scope: str = "",
        priority: int = 0,
    ) -> Rule:
        """Add a rule to the namespace. It holds on all nodes when this returns.

        What would lock people out is refused: nobody could log in, no admin could change rules, or no service could join.

        Args:
            id: of the rule.
            resource: what it is about, by type, name and endpoint. `*` at the end of each stands for all that follows.
            access: `granted` or `denied`.
            scope: of the accounts to whom it applies: nothing for everybody, `*` for all of this namespace, `+` for all of
                any namespace, else those of this namespace that have that scope.
            priority: of the rules that apply, the highest decides, and of equal ones a denial.
        """
        return await identities.rules.create(
            ctx.origin, ctx.account, id=id, scope=scope, resource=resource, access=access, priority=priority
        )

    @service.endpoint(role=Role.ADMIN, name="rules.delete")
    async def delete(ctx: Context, id: str) -> None:
        """Remove a rule from the namespace. It holds on no node any more when this returns.

        What would lock people out is refused, as with `create`.

        Args:
            id: of the rule.
        """
        await identities.rules.delete(ctx.origin, ctx.account, id)

    @service.endpoint(role=Role.ACCOUNT, reads=True, name="rules.explain")
    async def explain(
        ctx: Context, resource: Resource, account: str = "", service: str = "", scopes: list[str] | None = None
    ) -> Explanation:
        """Say why a call would be allowed or denied: which rule decides, who has made it and when, or which role or scope.

        Args:
            resource: what would be called, by type, name and endpoint.
            account: id or name of the account that would call; nobody without it. Others than oneself are for admins.
            service: in place of an account: the service that would call as itself.
            scopes: what would hold if the account had these scopes in place of its own.
        """
        caller = ctx.account
        if caller is None:
            raise errors.Unauthorized("nobody is logged in")
        who: Account | None = None
        if service:
            name = normalise(service)
            record = await identities.accounts.find(ctx.namespace, name)
            extra = record.scopes if record is not None and record.type == SERVICE else ()
            who = Account(id=name, type=SERVICE, namespace=ctx.namespace, scopes=(SERVICE_SCOPE, *extra))
        elif (account == caller.id and caller.namespace == ctx.namespace) or (
            account == caller.id and await identities.accounts.find(ctx.namespace, account) is None
        ):
            who = caller
        elif account:
            if not caller.is_admin:
                raise errors.Forbidden(
                    "what others may do is shown to admins only; ask about yourself, or about nobody"
                )
            who = (await identities.accounts.get(ctx.namespace, account)).account(ctx.namespace)
        if scopes is not None:
            who = Account(
                id=who.id if who is not None else "somebody",
                type=who.type if who is not None else "user",
                namespace=who.namespace if who is not None else ctx.namespace,
                scopes=tuple(scopes),
            )
        return await identities.explain(ctx.namespace, who, resource)
