"""Calls that are served in the process that makes them."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.rpc.call import LocalInbound

if TYPE_CHECKING:
    from microlite.core.rpc.call import Acceptor, Call

SWEEP: Final = 0.1
"""Seconds between two looks at the deadlines of what is being served."""


class LocalCalls:
    """Serves calls here and minds their deadlines. Most end within their first turn and cost nothing more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: set[LocalInbound] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def serve(self, call: Call, acceptor: Acceptor) -> None:
        """Serve a call. Its outcome comes through its own methods."""
        expires = call.expires
        if expires == 0.0:
            call.expires = expires = self._loop.time() + call.timeout if call.timeout else math.inf
        if expires != math.inf and expires <= self._loop.time():
            call.on_error(errors.Timeout("the deadline passed before the call was sent"))
            return
        inbound = LocalInbound(call, expires)
        acceptor.accept(inbound)
        if not inbound.done and expires != math.inf:
            self._pending.add(inbound)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._pending = {inbound for inbound in self._pending if not inbound.done}
        for inbound in [inbound for inbound in self._pending if inbound.expires <= now]:
            self._pending.discard(inbound)
            receiver = inbound.receiver
            name = f"{inbound.service}.{inbound.endpoint}"
            error = errors.Timeout(f"{name} did not finish in time", id=name)
            inbound.fail(error)
            if receiver is not None:
                receiver.on_cancel(error)
        self._sweeper = self._loop.call_later(SWEEP, self._sweep) if self._pending else None
