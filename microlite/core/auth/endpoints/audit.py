"""The endpoints of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.audit.audit import Wanted
from microlite.core.auth.api import AuditEntry, AuditPage
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description import Role
from microlite.core.description.event_id import LAST_EVENT_ID
from microlite.core.library.context import Context

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit, Found
    from microlite.core.library.service import Service


def audit_endpoints(service: Service, audit: Audit) -> None:
    """Add the endpoints that read the audit log. There is none that changes it."""

    @service.endpoint(role=Role.ADMIN, reads=True, name="audit.list")
    async def list_(
        ctx: Context,
        actor: str = "",
        action: str = "",
        resource: str = "",
        since: float = 0.0,
        until: float = 0.0,
        before: int = 0,
        limit: int = 100,
        platform: bool = False,
    ) -> AuditPage:
        """List what was done with special rights in the namespace, the newest first.

        Args:
            actor: only what this account has done.
            action: only acts whose names begin so, as in `auth.rules.`
            resource: only what was done to things whose names begin so, as in `rule:`
            since: nothing older than this, in seconds since the Unix epoch; 0 for no limit.
            until: nothing younger than this; 0 for no limit.
            before: only entries before this position: the cursor of the page before.
            limit: so many at most, up to 500.
            platform: what was done to the platform as a whole, in place of the namespace; for who operates it.
        """
        wanted = Wanted(actor=actor, action=action, resource=resource, since=since, until=until)
        found, cursor = await audit.page(_log(ctx, platform), wanted, before=before, limit=limit)
        return AuditPage(entries=tuple(_shown(one) for one in found), cursor=cursor)

    @service.endpoint(role=Role.ADMIN, reads=True, name="audit.watch", event_id="position")
    async def watch(
        ctx: Context, actor: str = "", action: str = "", resource: str = "", after: int = -1, platform: bool = False
    ) -> AsyncIterator[AuditEntry]:
        """Stream what is done with special rights in the namespace, as it is done.

        Over HTTP it resumes by `Last-Event-ID`, without a gap.

        Args:
            actor: only what this account does.
            action: only acts whose names begin so, as in `auth.rules.`
            resource: only what is done to things whose names begin so, as in `rule:`
            after: begin behind this position, 0 for the beginning; without it, with what is new.
            platform: what is done to the platform as a whole, in place of the namespace; for who operates it.
        """
        log = _log(ctx, platform)
        wanted = Wanted(actor=actor, action=action, resource=resource)
        resumed = ctx.metadata.get(LAST_EVENT_ID, "")
        if resumed.isascii() and resumed.isdigit():
            after = int(resumed)
        async with aclosing(audit.follow(log, wanted, after=None if after < 0 else after)) as entries:
            async for one in entries:
                yield _shown(one)


def _log(ctx: Context, platform: bool) -> str:
    """The namespace of the log that is meant."""
    if not platform:
        return ctx.namespace
    if ctx.account is None or not ctx.account.is_platform_admin:
        raise errors.Forbidden(
            "what was done to the platform as a whole is for those who operate it; ask without `platform`"
        )
    return PLATFORM_NAMESPACE


def _shown(found: Found) -> AuditEntry:
    act = found.act
    return AuditEntry(
        position=found.position,
        at=found.at,
        actor=act.actor,
        actor_namespace=act.actor_namespace,
        service=act.service,
        action=act.action,
        resource=act.resource,
        detail=act.detail,
    )
