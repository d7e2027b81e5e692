"""The built-in service `backup`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from microlite.core.backup.api import Chunk, Health, Part
from microlite.core.backup.making import make_backup
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.description import Role
from microlite.core.library.context import Context
from microlite.core.library.service import Service

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.backup.making import Source


def backup_service(source: Source, audit: Audit) -> Service:
    """Make the service over the database of one platform, which holds what all namespaces have."""
    service = Service("backup", doc="Copies of everything that the platform keeps, made while it runs.", built_in=True)

    @service.endpoint(role=Role.PLATFORM, reads=True)
    async def create(ctx: Context) -> AsyncIterator[Part]:
        """Back up everything that the platform keeps, and stream it: how far it is, the bytes, what it was.

        All of it is of one moment, and checked before its first byte is sent. Reads and writes go on meanwhile. What lies
        outside the database is not in it: the keys of secrets, logs, and what can be made again.
        """
        await audit.note(ctx.origin.within(PLATFORM_NAMESPACE), "backup.create")
        async with contextlib.aclosing(make_backup(source)) as parts:
            async for part in parts:
                yield part

    @service.endpoint(role=Role.PLATFORM, reads=True, produces="application/vnd.sqlite3")
    async def download(ctx: Context) -> AsyncIterator[bytes]:
        """Back up as `create` does, and stream nothing but the bytes: what `curl` can write to a file."""
        await audit.note(ctx.origin.within(PLATFORM_NAMESPACE), "backup.download")
        async with contextlib.aclosing(make_backup(source)) as parts:
            async for part in parts:
                if isinstance(part, Chunk):
                    yield part.data

    @service.endpoint(role=Role.PLATFORM, reads=True)
    async def check(full: bool = False) -> Health:
        """Look through the whole database while it is in use, and say whether it is sound.

        Args:
            full: whether to compare the indexes with their tables as well, which takes several times as long.
        """
        found = await source.health(full=full)
        return Health(
            sound=not found.problems,
            problems=found.problems,
            size=found.size,
            free=found.free,
            version=found.version,
            revision=found.revision,
        )

    return service
