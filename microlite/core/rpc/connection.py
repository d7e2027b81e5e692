"""One connection of the wire: many calls at a time, in both directions, over a stream transport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.call import Acceptor
from microlite.core.rpc.frames import pack
from microlite.core.rpc.inbound import WireInbound
from microlite.core.rpc.outgoing import MAX_PENDING, NEVER, SWEEP, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.context import Account

__all__ = ["MAX_PENDING", "SWEEP", "Acceptor", "Connection"]

NODE_FAILED: Final = frozenset({408, 500, 502, 503, 504, 507})
"""Codes of errors that speak of the other side, not of what it was asked."""


class Connection(Outgoing):
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

    __slots__ = (
        "_acceptor",
        "_decoder",
        "_drained",
        "_feed",
        "_hello",
        "_inbound",
        "_last_inbound",
        "_leaving",
        "_lost_callbacks",
        "_on_drain",
        "_on_hello",
        "_parting_callbacks",
        "_ping_number",
        "_pings",
        "_settled",
        "account",
        "last_received",
        "latency",
        "namespace",
        "node",
        "peer",
        "service",
        "trusted",
    )

    def __init__(
        self,
        acceptor: Acceptor,
        *,
        dialled: bool,
        hello: frames.Hello,
        on_hello: Callable[[Connection], None] | None = None,
        on_lost: Callable[[Connection], None] | None = None,
    ) -> None:
        super().__init__(1 if dialled else 2)
        self._acceptor = acceptor
        self._hello = hello
        self._on_hello = on_hello
        self._lost_callbacks = [on_lost] if on_lost is not None else []
        self._parting_callbacks: list[Callable[[Connection], None]] = []
        self._decoder = frames.FrameDecoder()
        self._feed = self._decoder.feed
        self._leaving = False  # whether calls that arrive are dropped
        self._inbound: dict[int, WireInbound] = {}
        self._last_inbound = 0
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._ping_number = 0
        self._drained: asyncio.Future[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._on_drain: Callable[[float], None] | None = None
        self.peer: frames.Hello | None = None
        """What the other side said of itself; None before its first frame."""
        self.account: Account | None = None
        """Who is at the other end, as far as the listener knows: it sets this."""
        self.namespace = ""
        """The namespace of the other end; empty means that each call names its own."""
        self.trusted = False
        """Whether the other end is the platform, which says of each call who makes it."""
        self.node = ""
        """The id of the node that the other end is; empty for a client."""
        self.service = ""
        """The service whose node the other end is; empty for a client."""
        self.latency = 0.0
        """Moving average of the seconds from a unary call to its answer; 0 before the first."""
        self.last_received = 0.0
        """Loop time of the last bytes from the other side."""

    # -- liveness, draining and the end --------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Return when the other side has answered.

        Raises:
            ServiceUnavailable: the connection broke before.
        """
        if not self._connected:
            raise errors.ServiceUnavailable("the connection is closed")
        self._ping_number += 1
        number = self._ping_number
        answered = self._pings[number] = self.loop.create_future()
        self.send(pack(frames.Ping(number)))
        try:
            await answered
        finally:
            self._pings.pop(number, None)

    async def drain(self, grace: float, *, hurry: bool = False) -> bool:
        """Send no further call, and return when the other side has finished those that run.

        Args:
            grace: seconds that it has.
            hurry: see `hurry`.

        Returns:
            Whether it said so; False when the connection broke or `grace` seconds (and one) passed before.
        """
        if not self._connected:
            return self._drained is not None and self._drained.done()
        self._open = False
        if self._drained is None:
            self._drained = self.loop.create_future()
            self.send(pack(frames.Drain(int(grace * 1000))))
        if hurry:
            self.hurry()
        await asyncio.wait({self._drained, self.closed}, timeout=grace + 1, return_when=asyncio.FIRST_COMPLETED)
        return self._drained.done()

    def hurry(self) -> None:
        """Have the other side, which drains, end its streams now: by a second `Drain`. Unary calls keep their time."""
        if self._connected and self._drained is not None and not self._drained.done():
            self.send(pack(frames.Drain(0)))

    def on_drain(self, callback: Callable[[float], None]) -> None:
        """Call `callback` with the seconds of grace when the other side sends `Drain`; a second one says to hurry."""
        self._on_drain = callback

    def say_drained(self) -> None:
        """All calls that came on this connection are finished; who has not asked by `Drain` closes at that.

        Whoever leaves says it and lets the other side close. Closing himself, over frames that are still under way, he would
        break the connection for the other side before that has read what was said to it.
        """
        self.send(pack(frames.Drained()))

    def go_away(self, reason: str) -> None:
        """Take no further call: each that arrives from now on is dropped unread; the other side sends it elsewhere."""
        if not self._leaving:
            self._leaving = True
            self.send(pack(frames.GoAway(self._last_inbound, reason)))

    @property
    def serving(self) -> int:
        """How many calls that came from the other side are not answered yet."""
        return len(self._inbound)

    def end_streams(self, error: errors.Error) -> None:
        """End each stream that is being served with `error`; unary calls go on."""
        for inbound in list(self._inbound.values()):
            if inbound.credit or inbound.streamed:
                inbound.cut(error)

    async def settled(self) -> None:
        """Return when no call from the other side is being served any more."""
        while self._inbound and not self.closed.done():
            if self._settled is None:
                self._settled = self.loop.create_future()
            await asyncio.wait({self._settled, self.closed}, return_when=asyncio.FIRST_COMPLETED)

    def add_lost_callback(self, callback: Callable[[Connection], None]) -> None:
        """Call `callback` when the connection is gone; at once if it already is."""
        if self.closed.done():
            callback(self)
        else:
            self._lost_callbacks.append(callback)

    def add_parting_callback(self, callback: Callable[[Connection], None]) -> None:
        """Call `callback` when the other side says that it goes away; what it was called for goes on meanwhile."""
        if callback not in self._parting_callbacks:
            self._parting_callbacks.append(callback)

    def close(self) -> None:
        """Send what waits, then close. Calls without an answer end as unknown."""
        self._open = False
        self._leaving = True
        if self._transport is not None and self._connected:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._open = False
        self._leaving = True
        if self._transport is not None:
            self._transport.abort()

    # -- what the transport says ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._open = True
        self.send(pack(self._hello))

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.last_received = now = self._time()
        calls = self._calls
        try:
            arrived = self._feed(data)
            if self.peer is None and arrived:
                self._on_first(arrived.pop(0))
            frame: Any  # its type is what is asked first
            for frame in arrived:
                kind = type(frame)
                if kind is frames.Reply:
                    call = calls.pop(frame.id, None)
                    if call is not None:
                        self.latency += (now - call.started - self.latency) * 0.1
                        self.failures = 0
                        call.on_reply(frame.payload)
                elif kind is frames.Call:
                    self._on_call(frame)
                elif kind is frames.Item:
                    self._on_item(frame)
                else:
                    self._on_frame(frame)
            if self._decoder.error is not None:
                raise self._decoder.error
        except frames.ProtocolError as error:
            self._leaving = True
            self.send(pack(frames.GoAway(self._last_inbound, f"protocol error: {error}")))
            self.close()

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.closed.done():
            return
        super().connection_lost(exc)
        self.closed.set_result(None)
        self._open = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        for answered in self._pings.values():
            if not answered.done():
                answered.set_exception(errors.ServiceUnavailable("the connection broke"))
        # The callbacks first: a router takes the connection out of its table before a call is sent again.
        callbacks, self._lost_callbacks = self._lost_callbacks, []
        for callback in callbacks:
            callback(self)
        self._end_calls()
        inbound, self._inbound = self._inbound, {}
        for served in inbound.values():
            served.forget(errors.Canceled("the caller went away"))
        self._wake_settled()

    # -- frames --------------------------------------------------------------------------------------------------------

    def _on_first(self, frame: frames.AnyFrame) -> None:
        if not isinstance(frame, frames.Hello):
            raise frames.ProtocolError("the first frame is not HELLO")
        if frame.version != frames.VERSION:
            raise frames.ProtocolError(f"version {frame.version} of the wire is not spoken here, only {frames.VERSION}")
        self.peer = frame
        if self._on_hello is not None:
            self._on_hello(self)

    def _on_call(self, frame: frames.Call) -> None:
        if self._leaving:
            return  # said so: the other side sends it elsewhere
        call_id = frame.id
        if call_id <= self._last_inbound or not (call_id ^ self._next_id) & 1:
            raise frames.ProtocolError(f"call id {call_id} is out of order")
        self._last_inbound = call_id
        inbound = self._inbound
        if len(inbound) >= MAX_PENDING:
            self.send(pack(frames.Refused(call_id, "too many calls at a time")))
            return
        served = inbound[call_id] = WireInbound(self, frame)
        if self._sweeper is None and frame.timeout:
            self.watch_deadlines()
        self._acceptor.accept(served)

    def _expire_due(self, now: float) -> bool:
        waiting = super()._expire_due(now)
        for inbound in [inbound for inbound in self._inbound.values() if inbound.expires <= now]:
            inbound.expire()
        return waiting or any(inbound.expires != NEVER for inbound in self._inbound.values())

    def _on_item(self, frame: frames.Item) -> None:
        if (call := self._calls.get(frame.id)) is not None:
            call.on_item(frame.payload)
        elif (served := self._inbound.get(frame.id)) is not None:
            served.streamed = True
            if served.receiver is not None:
                served.receiver.on_item(frame.payload)

    def _on_frame(self, frame: frames.AnyFrame) -> None:
        match frame:
            case frames.Failure():
                if (call := self._calls.pop(frame.id, None)) is not None:
                    self.failures = self.failures + 1 if frame.code in NODE_FAILED else 0
                    call.on_error(errors.restore(frame.code, frame.status, frame.detail, frame.error_id))
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
                if (served := self._inbound.get(frame.id)) is not None:
                    served.forget(errors.Canceled("the caller canceled the call"))
            case frames.Refused():
                if (call := self._calls.pop(frame.id, None)) is not None:
                    self._not_started(call, frame.reason)
            case frames.GoAway():
                self._on_go_away(frame)
                callbacks, self._parting_callbacks = self._parting_callbacks, []
                for callback in callbacks:
                    callback(self)
            case frames.Ping():
                self.send(pack(frames.Pong(frame.number)))
            case frames.Pong():
                answered = self._pings.get(frame.number)
                if answered is not None and not answered.done():
                    answered.set_result(None)
            case frames.Drain():
                if self._on_drain is not None:
                    self._on_drain(frame.grace / 1000)
            case frames.Drained():
                if self._drained is None:
                    self._drained = self.loop.create_future()
                    self.close()
                if not self._drained.done():
                    self._drained.set_result(None)
            case _:
                raise frames.ProtocolError(f"{type(frame).__name__.upper()} is out of place")

    def answer(self, call_id: int, body: bytes | None) -> None:
        """A call that came here has ended, with the body of this last frame or without a word.

        Raises:
            ProtocolError: the frame is too large; nothing was sent, and the call has not ended.
        """
        if body is not None:
            self.send(body)
        inbound = self._inbound
        inbound.pop(call_id, None)
        if not inbound and self._settled is not None:
            self._wake_settled()

    def _wake_settled(self) -> None:
        waiter, self._settled = self._settled, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
