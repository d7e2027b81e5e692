"""One connection of the wire: many calls at a time, in both directions, over a stream transport."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, Protocol, cast

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.inbound import WireInbound

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.context import Account
    from microlite.core.rpc.call import Call, Inbound

MAX_PENDING: Final = 8_192
"""Calls that may wait for an answer on one connection, in each direction."""

MAX_UNSENT: Final = 64 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; beyond, it is cut off."""

SWEEP: Final = 0.1
"""Seconds between two looks at the deadlines of pending calls. Deadlines nearer than ten of these get a timer."""

_NEVER: Final = math.inf


class Acceptor(Protocol):
    """What a connection does with the calls that arrive on it."""

    def accept(self, inbound: Inbound) -> None:
        """Serve a call, now or later. Must not raise and must not block."""
        ...


class Connection(asyncio.Protocol):
    """Both ends of the wire.

    Calls that are sent here end exactly once, whatever happens to the connection: with what the other side answers,
    with `Timeout`, with `OutcomeUnknown` when it broke in between, or back at their router (`Call.resend`) when they
    were provably not started.

    Args:
        acceptor: serves the calls that arrive.
        dialled: whether this side opened the connection (its ids are the odd ones).
        hello: what this side says of itself.
        on_hello: called once with the first frame of the other side.
        on_lost: called once when the connection is gone.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        *,
        dialled: bool,
        hello: frames.Hello,
        on_hello: Callable[[Connection], None] | None = None,
        on_lost: Callable[[Connection], None] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._acceptor = acceptor
        self._hello = hello
        self._on_hello = on_hello
        self._lost_callbacks = [on_lost] if on_lost is not None else []
        self._decoder = frames.FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._next_id = 1 if dialled else 2
        self._calls: dict[int, Call] = {}
        self._inbound: dict[int, WireInbound] = {}
        self._last_inbound = 0
        self._out: list[bytes] = []
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._ping_number = 0
        self._drained: asyncio.Future[None] | None = None
        self._on_drain: Callable[[float], None] | None = None
        self._gone_away = False
        self._leaving = False
        self.peer: frames.Hello | None = None
        """What the other side said of itself; None before its first frame."""
        self.account: Account | None = None
        """Who is at the other end, as far as the listener knows: it sets this."""
        self.namespace = ""
        """The namespace of the other end; empty means that each call names its own."""
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.latency = 0.0
        """Moving average of the seconds from a unary call to its answer; 0 before the first."""
        self.last_received = 0.0
        """Loop time of the last bytes from the other side."""

    # -- the caller's side ---------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a call that is started here would be sent."""
        return self._transport is not None and not self._gone_away and not self._transport.is_closing()

    @property
    def load(self) -> int:
        """How many calls wait for an answer here."""
        return len(self._calls)

    def start(self, call: Call) -> None:
        """Send a call. Its outcome comes through its own methods, never as an exception."""
        if not self.usable:
            self._not_started(call, "the connection is closed")
            return
        if len(self._calls) >= MAX_PENDING:
            call.on_error(
                errors.TooManyRequests(f"more than {MAX_PENDING:,} calls wait for {call.service!r}; try again")
            )
            return
        now = self.loop.time()
        if call.expires == 0.0:
            call.expires = now + call.timeout if call.timeout else _NEVER
        left = 0
        if call.expires != _NEVER:
            left = int((call.expires - now) * 1000)
            if left <= 0:
                call.on_error(errors.Timeout("the deadline passed before the call was sent"))
                return
        call_id = self._next_id
        self._next_id = call_id + 2
        try:
            data = frames.encode(
                frames.Call(
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
            )
        except frames.ProtocolError as error:
            call.on_error(errors.PayloadTooLarge(str(error)))
            return
        call.id = call_id
        call.channel = self
        call.started = now
        self._calls[call_id] = call
        self.write(data)
        if left:
            if left < SWEEP * 10_000:
                self.loop.call_at(call.expires, self._expire, call_id)
            else:
                self.watch_deadlines()

    def send_item(self, call: Call, payload: bytes) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            self.write(frames.encode(frames.Item(call.id, payload)))

    def send_end(self, call: Call) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            self.write(frames.encode(frames.End(call.id)))

    def send_credit(self, call: Call, size: int) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            self.write(frames.encode(frames.Credit(call.id, size)))

    def cancel(self, call: Call) -> None:
        """See `Channel`."""
        if self._calls.get(call.id) is call:
            del self._calls[call.id]
            self.write(frames.encode(frames.Cancel(call.id)))

    def _expire(self, call_id: int) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.write(frames.encode(frames.Cancel(call_id)))
            call.on_error(errors.Timeout(f"{call.service}.{call.endpoint} did not answer in time"))

    def watch_deadlines(self) -> None:
        """Look at the deadlines from now on, until none is pending."""
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        now = self.loop.time()
        calls = self._calls
        waiting = False
        due: list[int] = []
        for call_id, call in calls.items():
            if call.expires <= now:
                due.append(call_id)
            elif call.expires != _NEVER:
                waiting = True
        for call_id in due:
            self._expire(call_id)
        for inbound in [inbound for inbound in self._inbound.values() if inbound.expires <= now]:
            inbound.expire()
        waiting = waiting or any(inbound.expires != _NEVER for inbound in self._inbound.values())
        self._sweeper = self.loop.call_later(SWEEP, self._sweep) if waiting else None

    def _not_started(self, call: Call, reason: str) -> None:
        if call.resend is not None and not call.streamed:
            call.channel = None
            call.resend(call, reason)
        else:
            call.on_error(errors.ServiceUnavailable(f"{call.service!r} took no call: {reason}"))

    # -- liveness, draining and the end --------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Return when the other side has answered.

        Raises:
            Error: the connection broke before.
        """
        if not self.usable and (self._transport is None or self._transport.is_closing()):
            raise errors.ServiceUnavailable("the connection is closed")
        self._ping_number += 1
        number = self._ping_number
        answered = self._pings[number] = self.loop.create_future()
        self.write(frames.encode(frames.Ping(number)))
        try:
            await answered
        finally:
            self._pings.pop(number, None)

    async def drain(self, grace: float) -> bool:
        """Send no further call, and return when the other side has finished those that run.

        Returns:
            Whether it said so; False when the connection broke or `grace` seconds (and one) passed before.
        """
        if not self.usable:
            return False
        self._gone_away = True
        self._drained = self.loop.create_future()
        self.write(frames.encode(frames.Drain(int(grace * 1000))))
        done, _ = await asyncio.wait(
            {self._drained, self.closed}, timeout=grace + 1, return_when=asyncio.FIRST_COMPLETED
        )
        return self._drained in done

    def on_drain(self, callback: Callable[[float], None]) -> None:
        """Call `callback` with the seconds of grace when the other side sends `Drain`."""
        self._on_drain = callback

    def say_drained(self) -> None:
        """All calls that came on this connection are finished."""
        self.write(frames.encode(frames.Drained()))

    def go_away(self, reason: str) -> None:
        """Take no further call: each that arrives from now on is dropped unread; the other side sends it elsewhere."""
        if not self._leaving:
            self._leaving = True
            self.write(frames.encode(frames.GoAway(self._last_inbound, reason)))

    @property
    def serving(self) -> int:
        """How many calls that came from the other side are not answered yet."""
        return len(self._inbound)

    def end_streams(self, error: errors.Error) -> None:
        """End each stream that is being served with `error`; unary calls go on."""
        for inbound in list(self._inbound.values()):
            if inbound.credit:
                inbound.cut(error)

    async def settled(self) -> None:
        """Return when no call from the other side is being served any more."""
        while self._inbound and not self.closed.done():
            waiter = self.loop.create_future()
            self._settled = waiter
            await asyncio.wait({waiter, self.closed}, return_when=asyncio.FIRST_COMPLETED)

    _settled: asyncio.Future[None] | None = None

    def add_lost_callback(self, callback: Callable[[Connection], None]) -> None:
        """Call `callback` when the connection is gone; at once if it already is."""
        if self.closed.done():
            callback(self)
        else:
            self._lost_callbacks.append(callback)

    def close(self) -> None:
        """Send what waits, then close. Calls without an answer end as unknown."""
        if self._transport is not None and not self._transport.is_closing():
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- what the transport says ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self.write(frames.encode(self._hello))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.last_received = self.loop.time()
        try:
            for frame in self._decoder.feed(data):
                kind = type(frame)
                if kind is frames.Reply:
                    self._on_reply(cast("frames.Reply", frame))
                elif kind is frames.Call and self.peer is not None:
                    self._on_call(cast("frames.Call", frame))
                else:
                    self._on_frame(frame)
        except frames.ProtocolError as error:
            self.write(frames.encode(frames.GoAway(self._last_inbound, f"protocol error: {error}")))
            self._flush()
            self.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._out:
            self._flush()

    async def writable(self) -> None:
        """Return when the other side reads, so that more may be sent without a growing buffer."""
        while self._paused and not self.closed.done():
            if self._writable is None:
                self._writable = self.loop.create_future()
            await asyncio.wait({self._writable, self.closed}, return_when=asyncio.FIRST_COMPLETED)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.closed.done():
            return
        self.closed.set_result(None)
        self._gone_away = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for answered in self._pings.values():
            if not answered.done():
                answered.set_exception(errors.ServiceUnavailable("the connection broke"))
        # The callbacks first: a router takes the connection out of its table before a call is sent again.
        callbacks, self._lost_callbacks = self._lost_callbacks, []
        for callback in callbacks:
            callback(self)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if call.idempotent and call.resend is not None and not call.streamed:
                call.channel = None
                call.resend(call, "the connection broke")
            else:
                call.on_error(
                    errors.OutcomeUnknown(
                        f"outcome unknown: the connection to {call.service!r} broke before {call.endpoint!r} answered"
                    )
                )
        inbound, self._inbound = self._inbound, {}
        for served in inbound.values():
            served.cut(errors.Canceled("the caller went away"))
        self._wake_settled()

    # -- frames --------------------------------------------------------------------------------------------------------

    def _on_reply(self, frame: frames.Reply) -> None:
        call = self._calls.pop(frame.id, None)
        if call is not None:
            took = self.last_received - call.started
            self.latency += (took - self.latency) * 0.1
            call.on_reply(frame.payload)

    def _on_call(self, frame: frames.Call) -> None:
        if self._leaving:
            return  # said so: the other side sends it elsewhere
        if frame.id <= self._last_inbound or frame.id % 2 == self._next_id % 2:
            raise frames.ProtocolError(f"call id {frame.id} is out of order")
        self._last_inbound = frame.id
        if len(self._inbound) >= MAX_PENDING:
            self.write(frames.encode(frames.Refused(frame.id, "too many calls at a time")))
            return
        inbound = WireInbound(self, frame)
        self._inbound[frame.id] = inbound
        self._acceptor.accept(inbound)

    def _on_frame(self, frame: frames.AnyFrame) -> None:
        if self.peer is None:
            if not isinstance(frame, frames.Hello):
                raise frames.ProtocolError("the first frame is not HELLO")
            if frame.version != frames.VERSION:
                raise frames.ProtocolError(
                    f"version {frame.version} of the wire is not spoken here, only {frames.VERSION}"
                )
            self.peer = frame
            if self._on_hello is not None:
                self._on_hello(self)
            return
        match frame:
            case frames.Failure():
                call = self._calls.pop(frame.id, None)
                if call is not None:
                    call.on_error(errors.restore(frame.code, frame.status, frame.detail, frame.error_id))
            case frames.Item():
                if (call := self._calls.get(frame.id)) is not None:
                    call.on_item(frame.payload)
                elif (served := self._inbound.get(frame.id)) is not None and served.receiver is not None:
                    served.receiver.on_item(frame.payload)
            case frames.End():
                if (call := self._calls.pop(frame.id, None)) is not None:
                    call.on_end()
                elif (served := self._inbound.get(frame.id)) is not None and served.receiver is not None:
                    served.receiver.on_end()
            case frames.Credit():
                if (call := self._calls.get(frame.id)) is not None:
                    call.on_credit(frame.size)
                elif (served := self._inbound.get(frame.id)) is not None and served.receiver is not None:
                    served.receiver.on_credit(frame.size)
            case frames.Cancel():
                served = self._inbound.get(frame.id)
                if served is not None:
                    served.forget(errors.Canceled("the caller canceled the call"))
            case frames.Refused():
                call = self._calls.pop(frame.id, None)
                if call is not None:
                    self._not_started(call, frame.reason)
            case frames.GoAway():
                self._on_go_away(frame)
            case frames.Ping():
                self.write(frames.encode(frames.Pong(frame.number)))
            case frames.Pong():
                answered = self._pings.get(frame.number)
                if answered is not None and not answered.done():
                    answered.set_result(None)
            case frames.Drain():
                if self._on_drain is not None:
                    self._on_drain(frame.grace / 1000)
            case frames.Drained():
                if self._drained is not None and not self._drained.done():
                    self._drained.set_result(None)
            case _:
                raise frames.ProtocolError(f"{type(frame).__name__.upper()} is out of place")

    def _on_go_away(self, frame: frames.GoAway) -> None:
        self._gone_away = True
        for call_id in [call_id for call_id in self._calls if call_id > frame.last]:
            self._not_started(self._calls.pop(call_id), frame.reason or "the node is going away")

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send an encoded frame, together with all others of this turn of the loop."""
        self._out.append(data)
        if len(self._out) == 1:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        out = self._out
        if not out:
            return
        transport = self._transport
        if transport is None or transport.is_closing():
            out.clear()
            return
        transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()
        if self._paused and transport.get_write_buffer_size() > MAX_UNSENT:
            transport.abort()

    def answer(self, call_id: int, data: bytes | None) -> None:
        """A call that came here has ended, with this last frame or without a word."""
        if data is not None:
            self.write(data)
        self._inbound.pop(call_id, None)
        if not self._inbound:
            self._wake_settled()

    def _wake_settled(self) -> None:
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
