"""The built-in service `config`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.config import exchange
from microlite.core.config.api import (
    Difference,
    Entry,
    Explained,
    Misfit,
    Rotation,
    Set,
    Unset,
    Update,
    Written,
)
from microlite.core.config.layers import show
from microlite.core.config.paths import canonical
from microlite.core.config.planning import MAX_LEAVES
from microlite.core.config.rotation import rotate
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service
from microlite.core.policy.rules import ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.audit.audit import Audit
    from microlite.core.config.configuration import Configuration
    from microlite.core.config.view import Views
    from microlite.core.policy.permits import Permits


def config_service(configuration: Configuration, views: Views, permits: Permits, audit: Audit) -> Service:
    """Make the service over the configurations of one platform."""
    service = Service(
        "config",
        doc="Settings by dotted path, that services follow while they run; secrets are encrypted.",
        built_in=True,
    )

    def sieve(ctx: Context, path: str, secret: bool = False) -> Callable[[str], bool] | None:
        """Says which leaves at or below a path are shown; None where all are.

        Raises:
            Forbidden: a rule denies the whole path, or secrets are not for who asks.
        """
        _check(ctx, secret)
        permits.check(ctx, ResourceType.CONFIG, canonical(path), "read")
        return permits.sieve(ctx, ResourceType.CONFIG, "read")

    def permit(ctx: Context) -> Callable[[str], None]:
        """Asks about each leaf that would become different."""
        return lambda one: permits.check(ctx, ResourceType.CONFIG, one, "write")

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def get(ctx: Context, path: str = "", secret: bool = False) -> Any:
        """Read the value in force at a path: a single one, or the table of all below it.

        Args:
            path: dotted, as in `limits.max`; empty for everything. A word with a dot in it stands in double quotes.
            secret: show secrets, for admins and services; without it they are `[secret]`.
        """
        shown = sieve(ctx, path, secret)
        return await configuration.read(ctx.namespace, path, reveal=secret, shown=shown)

    @service.endpoint(role=Role.SERVICE, name="set")
    async def set_(ctx: Context, path: str, value: Any, secret: bool = False) -> Written:
        """Set what stands at a path: a table is merged leaf by leaf, anything else takes the place of what is there.

        Args:
            path: dotted; empty for the whole configuration.
            value: what JSON can say; a list counts as one value.
            secret: keep it encrypted. What is secret already, or declared so by a service, stays it anyhow.
        """
        change = Set(path=path, value=value, secret=secret)
        return await configuration.change(ctx.origin, [change], "set", permit=permit(ctx))

    @service.endpoint(role=Role.SERVICE)
    async def unset(ctx: Context, path: str) -> Written:
        """Take back what was set at a path, and all below it. What files, the environment or code say holds again.

        Args:
            path: dotted.
        """
        if not path:
            raise errors.BadRequest("path: name what to unset, as in limits.max")
        return await configuration.change(ctx.origin, [Unset(path=path)], "unset", permit=permit(ctx))

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def explain(ctx: Context, path: str = "", secret: bool = False) -> list[Explained]:
        """List the single values at or below a path: where each comes from, and what it hides.

        Args:
            path: dotted; empty for everything.
            secret: show secrets, for admins and services.
        """
        shown = sieve(ctx, path, secret)
        found = await configuration.explain(ctx.namespace, path, reveal=secret)
        return found if shown is None else [_visible(one, shown) for one in found if shown(one.setting.path)]

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def history(ctx: Context, path: str = "", limit: int = 20, before: int = 0) -> list[Entry]:
        """List the last changes, the newest first: who, when, old and new values. Secrets are never shown.

        Args:
            path: only changes at or below it.
            limit: so many at most, up to 200.
            before: only changes before this revision; 0 for the last ones.
        """
        shown = sieve(ctx, path)
        found = await configuration.history.entries(ctx.namespace, path, limit=limit, before=before)
        return found if shown is None else [one for entry in found if (one := _only(entry, shown)).changes]

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def diff(ctx: Context, since: int, until: int = 0, path: str = "") -> list[Difference]:
        """List what is different between two revisions.

        Args:
            since: the earlier revision; 0 for before the first change.
            until: the later revision; 0 for now.
            path: only what lies at or below it.
        """
        shown = sieve(ctx, path)
        found = await configuration.history.diff(ctx.namespace, since, until, path)
        return found if shown is None else [one for one in found if shown(one.path)]

    @service.endpoint(role=Role.ADMIN)
    async def rollback(ctx: Context, revision: int, path: str = "") -> Written:
        """Make what was set what it was after an earlier change. That is a change of its own, and can be rolled back.

        Args:
            revision: that of the change; 0 for before the first one.
            path: only what lies at or below it.
        """
        return await configuration.rollback(ctx.origin, revision, path, permit=permit(ctx))

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def watch(ctx: Context, path: str = "", secret: bool = False, state: bool = False) -> AsyncIterator[Update]:
        """Stream what changes at or below a path, in all layers. The first item says that the watch has begun.

        Args:
            path: dotted; empty for everything.
            secret: show secrets, for admins and services.
            state: begin with everything that there is.
        """
        sieve(ctx, path, secret)
        following = views.follow(ctx.namespace, path, reveal=secret, state=state)
        async with contextlib.aclosing(following) as updates:  # type: ignore[type-var]  # it is a generator
            async for update in updates:
                shown = sieve(ctx, path, secret)
                yield update if shown is None else _only_settings(update, shown)

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def export(ctx: Context, path: str = "", secret: bool = False) -> dict[str, Any]:
        """Give what was set, and nothing of the other layers, as one table that `import` takes.

        Args:
            path: only what lies at or below it.
            secret: have secrets in it, as `{"$secret": value}`, for admins and services; without it they are left out.
        """
        shown = sieve(ctx, path, secret)
        leaves = await configuration.stored_below(ctx.namespace, path)
        settings = {}
        for one, leaf in leaves.items():
            if (leaf.sealed is not None and not secret) or (shown is not None and not shown(one)):
                continue
            setting = settings[one] = show(configuration.keys, ctx.namespace, leaf, reveal=secret)
            if setting.problem:
                raise errors.Unprocessable(setting.problem)
        return exchange.document(settings)

    @service.endpoint(role=Role.ADMIN, name="import")
    async def import_(ctx: Context, values: dict[str, Any], replace: bool = False) -> Written:
        """Set everything that stands in a table, as one change; more than 400 values make several.

        Args:
            values: the table; `{"$secret": value}` in it stands for a secret.
            replace: take away what is set and does not stand in the table.
        """
        plain, secrets = exchange.split(values)
        if len({**plain, **secrets}) > MAX_LEAVES:  # before a part of them is set
            raise errors.InsufficientStorage(
                f"the configuration of a namespace has at most {MAX_LEAVES} leaves; keep records in the store"
            )
        written = Written(revision=(await configuration.state(ctx.namespace)).head.revision, changed=0)
        steps = list(exchange.batches(plain, secrets))
        if replace:
            stored = await configuration.stored_below(ctx.namespace, "")
            gone = exchange.superfluous(stored, {**plain, **secrets})
            rest = [gone[start : start + exchange.MOST] for start in range(0, len(gone), exchange.MOST)]
            if len(steps) == 1 and len(rest) == 1 and len(steps[0]) + len(gone) <= exchange.MOST:
                steps = [[*gone, *steps[0]]]
            else:
                steps = [*rest, *steps]
        for step in steps:
            more = await configuration.change(ctx.origin, step, "import", permit=permit(ctx))
            written = Written(revision=more.revision, changed=written.changed + more.changed)
        return written

    @service.endpoint(role=Role.ACCOUNT, reads=True)
    async def check(ctx: Context) -> list[Misfit]:
        """List what does not work, without showing a value.

        That are values that do not fit what a running service declares, files that cannot be read, and secrets whose key is
        lost.
        """
        shown = sieve(ctx, "")
        found = await configuration.check(ctx.namespace)
        return found if shown is None else [one for one in found if not one.path or shown(one.path)]

    @service.endpoint(role=Role.ADMIN)
    async def rotate_key(ctx: Context) -> Rotation:
        """Make a new key for the secrets of the namespace, encrypt them all anew, and forget the old key.

        Nothing is lost when it is cut off; calling it again goes on.
        """
        await audit.note(ctx.origin, "config.rotate-key", "config:")
        return await rotate(configuration, ctx.namespace)

    return service


def may_reveal(ctx: Context) -> bool:
    """Whether who calls may see secrets: admins, and the services of the namespace, which are what secrets are for."""
    return Role.SERVICE.admits(ctx.account, ctx.namespace)


def _check(ctx: Context, secret: bool) -> None:
    if secret and not may_reveal(ctx):
        name = ctx.account.id if ctx.account is not None else "nobody"
        raise errors.Forbidden(f"secrets are shown to admins and services, and {name} is neither; ask without `secret`")


def _visible(one: Explained, shown: Callable[[str], bool]) -> Explained:
    return msgspec.structs.replace(one, hides=tuple(below for below in one.hides if shown(below.path)))


def _only(entry: Entry, shown: Callable[[str], bool]) -> Entry:
    return msgspec.structs.replace(entry, changes=tuple(one for one in entry.changes if shown(one.path)))


def _only_settings(update: Update, shown: Callable[[str], bool]) -> Update:
    return msgspec.structs.replace(
        update,
        settings=tuple(one for one in update.settings if shown(one.path)),
        gone=tuple(one for one in update.gone if shown(one)),
    )
