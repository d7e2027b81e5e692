"""The built-in service `auth`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.api import Link
from microlite.core.auth.endpoints.audit import audit_endpoints
from microlite.core.auth.one_time_links import Invitation
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.auth.one_time_links import OneTimeLinks


def auth_service(links: OneTimeLinks, dashboard: str, audit: Audit) -> Service:
    """Make the service of one platform.

    Args:
        links: issues what opens the dashboard.
        dashboard: its URL, without a slash at the end; empty where there is none.
        audit: what was done with special rights.
    """
    service = Service("auth", doc="Who may do what: ways into the dashboard.", built_in=True)

    @service.endpoint(role=Role.ADMIN)
    async def link(ctx: Context) -> Link:
        """Make a link that logs the caller in at the dashboard: it works once, within a minute.

        The dashboard then shows the services of the namespace in which this was called.
        """
        if not dashboard:
            raise errors.NotFound("this platform has no dashboard: it was started with --no-dashboard")
        if ctx.account is None:
            raise errors.Unauthorized("a link is made for an account, and there is none")
        await audit.note(ctx.origin, "auth.link", f"account:{ctx.account.id}")
        secret, expires = await links.issue(Invitation(account=ctx.account, namespace=ctx.namespace))
        return Link(url=f"{dashboard}/login/{secret}", expires=expires)

    audit_endpoints(service, audit)
    return service
