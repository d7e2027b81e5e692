"""The endpoints of dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microlite.core.description import Role
from microlite.core.events.api import DeadKind, DeadLetter, DeadLetters
from microlite.core.library.context import Context
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.events.events import Events
    from microlite.core.library.service import Service
    from microlite.core.policy.permits import Permits


def serve_dead_letters(service: Service, events: Events, permits: Permits, audit: Audit) -> None:
    """Add the endpoints of dead letters."""

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_letters(
        ctx: Context, topic: str, group: str | None = None, kind: str = "", after: str = "", limit: int = 100
    ) -> DeadLetters:
        """List dead letters with all their attempts, the oldest of each group first.

        Args:
            topic: of this topic.
            group: of this group; empty for those in quarantine, and without it all.
            kind: only those that died of this, as `dead_kinds` gives it.
            after: the cursor of the page before.
            limit: at most so many, 1 to 500; fewer where they are large, or many are of another kind. Only the cursor says
                whether there is more.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        return await events.dead.page(ctx.origin, topic, group, kind=kind, after=after, limit=limit)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_kinds(ctx: Context, topic: str = "", group: str | None = None) -> list[DeadKind]:
        """Count dead letters by error, the most frequent first. More than a thousand are counted once a minute at least.

        Args:
            topic: of this topic; of all without it.
            group: of this group; empty for those in quarantine, and without it all.
        """
        if topic:
            permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        found = await events.dead.kinds(ctx.origin, topic, group)
        shown = permits.sieve(ctx, ResourceType.TOPIC, "subscribe")
        return found if shown is None else [one for one in found if shown(one.topic)]

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def dead_letter(ctx: Context, topic: str, group: str, id: str) -> DeadLetter:
        """Show one dead letter: its event, and each attempt that was made.

        Args:
            topic: of its event.
            group: which has given it up; empty for quarantine.
            id: its id.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "subscribe")
        return await events.dead.read(ctx.origin, topic, group, id)

    @service.endpoint(role=Role.SERVICE)
    async def edit_dead_letter(ctx: Context, topic: str, group: str, id: str, payload: Any) -> DeadLetter:
        """Change the payload of a dead letter, so that it can be delivered again with another one.

        Args:
            topic: of its event.
            group: which has given it up; empty for quarantine.
            id: its id.
            payload: the new payload; it has to fit the topic's schema.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(ctx.origin, "events.edit-dead-letter", f"dead-letter:{topic}/{group}/{id}")
        return await events.dead.edit(ctx.origin, topic, group, id, payload, ctx.asked, entry)

    @service.endpoint(role=Role.SERVICE)
    async def redrive(ctx: Context, topic: str, group: str, ids: list[str] | None = None, kind: str = "") -> int:
        """Have dead letters delivered again: each goes to the end of the topic, for its group only. Returns how many.

        One from quarantine goes to all groups; it has to fit the topic's schema by now.

        Args:
            topic: of their events.
            group: which has given them up; empty for quarantine.
            ids: which; without it all, or all of `kind`.
            kind: only those that died of this.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(ctx.origin, "events.redrive", f"group:{topic}/{group}", ids=ids, kind=kind)
        return await events.dead.redrive(ctx.origin, topic, group, ids, kind, entry)

    @service.endpoint(role=Role.SERVICE)
    async def delete_dead_letters(
        ctx: Context, topic: str, group: str, ids: list[str] | None = None, kind: str = ""
    ) -> int:
        """Remove dead letters for good. Returns how many.

        Args:
            topic: of their events.
            group: which has given them up; empty for quarantine.
            ids: which; without it all, or all of `kind`.
            kind: only those that died of this.
        """
        permits.check(ctx, ResourceType.TOPIC, topic, "manage")
        entry = audit.entry(ctx.origin, "events.delete-dead-letters", f"group:{topic}/{group}", ids=ids, kind=kind)
        return await events.dead.delete(ctx.origin, topic, group, ids, kind, entry)
