"""Which parts of a platform have something of a namespace, so that nothing of it is left when it is deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core.auth.web_sessions import BUCKET as SESSIONS
from microlite.core.auth.web_sessions import WebSession
from microlite.core.context import PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Delete
from microlite.core.namespaces.deletions import Deletions, Step
from microlite.core.runtime.runtime import BUCKET as DETACHED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from microlite.core.assembly.state import State
    from microlite.core.auth.identities import Identities
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine, Record
    from microlite.core.namespaces.namespaces import Namespaces
    from microlite.core.registry.registry import Registry
    from microlite.core.runtime.logs import Logs
    from microlite.core.runtime.runtime import Runtime

GRACE: Final = 5.0
"""Seconds that nodes have to finish what they are doing, when their namespace is deleted."""


async def open_namespaces(namespaces: Namespaces, engine: Engine) -> None:
    """Read the namespaces; the first time, those that were only used before are made."""
    detached = [record.key.partition("/")[0] async for record in _all(engine, DETACHED)]
    await namespaces.open(detached)


def make_deletions(
    state: State,
    registry: Registry,
    runtime: Runtime,
    logs: Logs,
    identities: Identities,
    forget_answers: Callable[[str], Awaitable[object]],
    forget_counts: Callable[[str], object],
    clock: Clock,
) -> Deletions:
    """What deletes a namespace: first what runs and could still write, then what is kept.

    Args:
        forget_answers: removes those that the gateway keeps.
        forget_counts: forgets what it has counted.
    """

    async def expel(namespace: str) -> None:
        """End the nodes that were started by hand: what they are doing has a moment."""
        found = registry.nodes_of(namespace)
        links = [link for name, nodes in found.items() for link in state.membership.retire(namespace, name, nodes)]
        await asyncio.gather(*(state.membership.drain(link, GRACE, hurry=True) for link in links))
        registry.expel(namespace)
        forget_counts(namespace)

    async def end_sessions(namespace: str) -> None:
        await _end_sessions(state.engine, namespace)

    steps = (
        Step("services", runtime.forget_namespace),
        Step("nodes", expel),
        Step("schedules", state.scheduler.forget),
        Step("groups of events", state.events.forget),
        Step("uploads", state.blobs.sweeper.forget),
        Step("log-ins", end_sessions),
        Step("kept answers", forget_answers),
        Step("logs", logs.forget),
        Step("records, blobs and events", state.engine.drop_namespace),
        # Last, since who asks by a token is looked up in the records as long as they are there.
        Step("accounts, tokens and rules", identities.forget_namespace),
    )
    return Deletions(state.namespaces, state.engine, clock, steps)


async def _end_sessions(engine: Engine, namespace: str) -> None:
    """End the log-ins of the accounts of a namespace, and those that look at it."""
    gone = []
    async for record in _all(engine, SESSIONS):
        session = msgspec.msgpack.decode(record.value, type=WebSession)
        if namespace in (session.namespace, session.account.namespace):
            gone.append(Delete(SESSIONS, record.key))
    for start in range(0, len(gone), 200):
        await engine.commit(Batch(PLATFORM_NAMESPACE, tuple(gone[start : start + 200])))


async def _all(engine: Engine, bucket: str) -> AsyncIterator[Record]:
    after: str | None = ""
    while after is not None:
        page = await engine.scan(PLATFORM_NAMESPACE, bucket, after=after, limit=200)
        after = page.cursor
        for record in page.records:
            yield record
