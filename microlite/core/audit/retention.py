"""How long the audit log is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.audit.entries import STREAM
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.engine.api import Engine

log = logging.getLogger("microlite.audit")

EVERY: Final = 600.0
"""Seconds between two looks at all logs."""


class Keep(msgspec.Struct, frozen=True):
    """What a log keeps.

    Attributes:
        age: seconds for which an entry is kept.
        size: bytes that the entries of one namespace may have; beyond, the oldest go.
    """

    age: float = 365 * 86_400.0
    size: int = 64 << 20


class Retention:
    """Removes from each log what is older, or more, than it keeps: the only thing that takes an entry away.

    Args:
        engine: has the logs.
        clock: tells the time.
        audit: knows whose logs were written to.
        keep: what they keep.
    """

    def __init__(self, engine: Engine, clock: Clock, audit: Audit, keep: Keep) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit
        self._keep = keep

    async def run(self) -> None:
        """Look now and then, without an end."""
        while True:
            try:
                await self.look()
            except errors.ServiceUnavailable:
                return  # the engine closes
            except errors.Error as error:
                log.warning("the audit log could not be shortened, which is tried again: %s", error.detail)
            await self._clock.sleep(EVERY)

    async def look(self) -> None:
        """Trim the log of each namespace that was written to since the platform has started, and the two that always are."""
        for namespace in {DEFAULT_NAMESPACE, PLATFORM_NAMESPACE, *self._audit.namespaces}:
            await self.trim(namespace)

    async def trim(self, namespace: str) -> None:
        """Trim one log."""
        state = await self._engine.stream_state(namespace, STREAM)
        if not state.count:
            return
        through = await self._engine.find_position(namespace, STREAM, self._clock.now() - self._keep.age)
        if state.size > self._keep.size:
            through = max(through, await self._engine.find_size_position(namespace, STREAM, self._keep.size))
        if through >= state.first:
            await self._engine.trim(namespace, STREAM, through)
