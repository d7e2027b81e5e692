"""The caller's half of a connection: the calls that were sent and wait for their end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.rpc import frames, outbox
from microlite.core.rpc.frames import CALL, ITEM, pack

if TYPE_CHECKING:
    import asyncio

    from microlite.core.rpc.call import Call

MAX_PENDING: Final = 8_192
"""Calls that may wait for an answer on one connection, in each direction."""

SWEEP: Final = 0.1
"""Seconds between two looks at the deadlines of pending calls. Deadlines nearer than ten of these get a timer."""

NEVER: Final = math.inf
"""The loop time of no deadline."""

_SHORT: Final = int(SWEEP * 10_000)  # milliseconds


class Outgoing(outbox.Outbox):
    """Sends calls and keeps them until they end. It is their `Channel`."""

    __slots__ = (
        "_calls",
        "_handed_id",
        "_next_id",
        "_open",
        "_sweeper",
        "_time",
        "failures",
        "repeatable",
    )

    def __init__(self, first_id: int) -> None:
        super().__init__()
        self._time = self.loop.time
        self._open = False  # whether calls may be started
        self._next_id = first_id
        self._handed_id = 0  # calls from this id on never reached the transport
        self._calls: dict[int, Call] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self.failures = 0
        """Calls in a row that failed at the other side, or were not answered in time."""
        self.repeatable: frozenset[tuple[str, str]] = frozenset()
        """Services and endpoints at the other side that are idempotent; whoever knows it sets this."""

    @property
    def usable(self) -> bool:
        """Whether a call that is started here would be sent."""
        return self._open and self._connected

    @property
    def load(self) -> int:
        """How many calls wait for an answer here."""
        return len(self._calls)

    def start(self, call: Call) -> None:
        """Send a call. Its outcome comes through its own methods, never as an exception."""
        if not self._open:
            self._not_started(call, "the connection is closed")
            return
        calls = self._calls
        if len(calls) >= MAX_PENDING or (self._paused and self.unsent > outbox.MAX_UNSENT):
            call.on_error(errors.TooManyRequests(f"too many calls wait for {call.service!r}; try again"))
            return
        now = self._time()
        expires = call.expires
        if expires == 0.0:
            call.expires = expires = now + call.timeout if call.timeout else NEVER
        left = 0
        if expires != NEVER:
            left = int((expires - now) * 1000)
            if left <= 0:
                call.on_error(errors.Timeout("the deadline passed before the call was sent"))
                return
        call_id = self._next_id
        try:
            self._next_id = call_id + 2
            frame = (
                CALL,
                call_id,
                call.service,
                call.endpoint,
                call.payload,
                call.encoding,
                left,
                call.credit,
                call.namespace,
                call.metadata,
            )
            if call.token or call.account is not None:
                self.send(pack((*frame, call.token, call.account)))
            else:
                self.send(pack(frame))
        except frames.ProtocolError as error:
            call.on_error(errors.PayloadTooLarge(str(error)))
            return
        except UnicodeEncodeError as error:
            call.on_error(errors.BadRequest(f"the names and metadata of a call must be valid Unicode: {error}"))
            return
        call.id = call_id
        call.channel = self
        call.started = now
        calls[call_id] = call
        if left:
            if left < _SHORT:
                self.loop.call_at(expires, self._expire, call_id)
            elif self._sweeper is None:
                self.watch_deadlines()

    def send_item(self, call: Call, payload: bytes) -> None:
        """See `Channel`.

        Raises:
            PayloadTooLarge: the item does not fit into a frame. The call goes on.
        """
        if self._calls.get(call.id) is call:
            try:
                self.send(pack((ITEM, call.id, payload)))
            except frames.ProtocolError as error:
                raise errors.PayloadTooLarge(str(error)) from error

    def send_end(self, call: Call) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            self.send(pack(frames.End(call.id)))

    def send_credit(self, call: Call, size: int) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            self.send(pack(frames.Credit(call.id, size)))

    def cancel(self, call: Call) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            del self._calls[call.id]
            self.send(pack(frames.Cancel(call.id)))

    def _expire(self, call_id: int) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.failures += 1
            self.send(pack(frames.Cancel(call_id)))
            name = f"{call.service}.{call.endpoint}"
            call.on_error(errors.Timeout(f"{name} did not answer in time", id=name))

    def watch_deadlines(self) -> None:
        """Look at the deadlines from now on, until none is pending."""
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = self.loop.call_later(SWEEP, self._sweep) if self._expire_due(self._time()) else None

    def _expire_due(self, now: float) -> bool:
        """End what is due. Returns whether any deadline is left."""
        for call_id in [call_id for call_id, call in self._calls.items() if call.expires <= now]:
            self._expire(call_id)
        return any(call.expires != NEVER for call in self._calls.values())

    def _not_started(self, call: Call, reason: str) -> None:
        call.channel = None
        call.asked = (*call.asked, self)
        if call.resend is not None and not call.streamed:
            call.resend(call, reason)
        else:
            call.on_error(errors.ServiceUnavailable(f"{call.service!r} took no call: {reason}"))

    def _on_go_away(self, frame: frames.GoAway) -> None:
        self._open = False
        for call_id in [call_id for call_id in self._calls if call_id > frame.last]:
            call = self._calls.pop(call_id, None)
            if call is not None:
                self._not_started(call, frame.reason or "the node is going away")

    def _end_calls(self) -> None:
        """The connection is gone: end each call that waits, or have it sent again."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if call.id >= self._handed_id or self._may_repeat(call):
                self._not_started(call, "the connection broke")
            else:
                call.on_error(
                    errors.OutcomeUnknown(
                        f"outcome unknown: the connection to {call.service!r} broke before {call.endpoint!r} answered"
                    )
                )

    def _may_repeat(self, call: Call) -> bool:
        # A stream is not: what it has brought so far would come twice.
        idempotent = call.idempotent or (call.service, call.endpoint) in self.repeatable
        return idempotent and not call.credit and not call.streamed and call.resend is not None

    def _flush(self) -> bool:
        handed = super()._flush()
        if handed:
            self._handed_id = self._next_id
        return handed
