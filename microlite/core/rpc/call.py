"""The two sides of one call, whatever carries it: `Call` at the caller, `Inbound` at the callee.

Neither knows a connection's bytes. A `Connection` moves them between two processes, `LocalInbound` within one, and a
relay in the platform is a `Call` whose events go to the `Inbound` that it serves.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from microlite.core import errors
from microlite.core.rpc.callee import Acceptor, Inbound, Receiver
from microlite.core.rpc.flow import CreditGate, ItemQueue
from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from microlite.core.context import Account

__all__ = [
    "DEFAULT_TIMEOUT",
    "Acceptor",
    "Call",
    "Channel",
    "Inbound",
    "LocalInbound",
    "Receiver",
    "StreamCall",
    "UnaryCall",
]

DEFAULT_TIMEOUT = 30.0
"""Seconds that a unary call may take where its caller says nothing."""


class Channel(Protocol):
    """What carries a started call; the caller acts on the other side through it."""

    def send_item(self, call: Call, payload: bytes) -> None:
        """Send one element of the caller's stream. The caller minds the credit."""
        ...

    def send_end(self, call: Call) -> None:
        """The caller's stream is complete."""
        ...

    def send_credit(self, call: Call, size: int) -> None:
        """The caller takes `size` bytes of items more."""
        ...

    def cancel(self, call: Call) -> None:
        """The caller no longer wants the answer."""
        ...


class Call:
    """The caller's side of one call: what is asked, and what to do with each thing that comes back.

    Subclasses override the `on_…` methods. Exactly one of `on_reply`, `on_end` and `on_error` ends a call, and nothing
    comes after it. All of them run on the loop and must not block.

    Attributes:
        timeout: seconds the call may take from its start; None for no limit.
        account: who asks, where that is known here: in the platform.
        token: what says who asks; see `frames.Call`.
        credit: bytes of stream items that the caller takes at first; 0 says that it expects a single reply.
        idempotent: it may be sent again although a first try may have run.
        resend: set by a router: takes a call back that was provably not started, with the reason.
        asked: the connections that did not start it.
    """

    __slots__ = (
        "account",
        "asked",
        "channel",
        "credit",
        "encoding",
        "endpoint",
        "expires",
        "id",
        "idempotent",
        "metadata",
        "namespace",
        "payload",
        "resend",
        "service",
        "started",
        "streamed",
        "timeout",
        "token",
    )

    def __init__(
        self,
        service: str,
        endpoint: str,
        payload: bytes = b"",
        *,
        encoding: int = 0,
        namespace: str = "",
        timeout: float | None = DEFAULT_TIMEOUT,
        credit: int = 0,
        metadata: dict[str, str] | None = None,
        account: Account | None = None,
        token: str = "",
        idempotent: bool = False,
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self.payload = payload
        self.encoding = encoding
        self.namespace = namespace
        self.timeout = timeout
        self.credit = credit
        self.metadata = metadata
        self.account = account
        self.token = token
        self.idempotent = idempotent
        self.resend: Callable[[Call, str], None] | None = None
        self.channel: Channel | None = None
        self.id = 0
        self.asked: tuple[object, ...] = ()
        self.started = 0.0
        self.expires = 0.0
        """Loop time at which the call is given up; 0 before it was first sent, infinity without a timeout."""
        self.streamed = False
        """Whether an element of the caller's stream has left, after which the call cannot be sent again."""

    def on_reply(self, payload: bytes) -> None:
        """The answer of a unary or client-streaming call."""

    def on_error(self, error: errors.Error) -> None:
        """The call failed."""

    def on_item(self, payload: bytes) -> None:
        """One element of the answer's stream."""

    def on_end(self) -> None:
        """The answer's stream is complete."""

    def on_credit(self, size: int) -> None:
        """The callee takes `size` bytes more of the caller's stream."""

    def cancel(self) -> None:
        """Tell the callee that nobody waits any longer. No `on_…` follows. Harmless after the end."""
        if self.channel is not None:
            self.channel.cancel(self)


class UnaryCall(Call):
    """A call whose answer is awaited."""

    __slots__ = ("future",)

    future: asyncio.Future[bytes]

    def on_reply(self, payload: bytes) -> None:
        """See `Call`."""
        if not self.future.done():
            self.future.set_result(payload)

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        if not self.future.done():
            self.future.set_exception(error)

    def on_end(self) -> None:
        """See `Call`."""
        self.on_error(errors.BadGateway(f"{self.service}.{self.endpoint} answered with a stream, not with a reply"))

    async def run(self, send: Callable[[Call], None]) -> bytes:
        """Send the call and return the payload of its reply.

        Raises:
            Error: what the callee, the connection or the deadline says.
        """
        self.future = asyncio.Future()  # of the running loop, as `create_future` gives it, at half the cost
        send(self)
        try:
            return await self.future
        except asyncio.CancelledError:
            self.cancel()
            raise


class StreamCall(Call):
    """A call with a stream in either direction or both.

    Use as an async context manager: leaving it cancels what has not ended.
    """

    __slots__ = ("_gate", "_queue", "_reply", "ended")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # the signature is that of Call
        self._queue = ItemQueue(self._grant, self.credit)
        self._gate = CreditGate(INITIAL_CREDIT)
        self._reply: bytes | None = None
        self.ended = False

    def on_reply(self, payload: bytes) -> None:
        """See `Call`."""
        self._reply = payload
        self.on_end()

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        self.ended = True
        self._queue.end(error)
        self._gate.close(error)

    def on_item(self, payload: bytes) -> None:
        """See `Call`."""
        if not self._queue.put(payload):
            self.cancel()

    def on_end(self) -> None:
        """See `Call`."""
        self.ended = True
        self._queue.end()
        self._gate.close(errors.Canceled("the callee ended the call and reads no further"))

    def on_credit(self, size: int) -> None:
        """See `Call`."""
        self._gate.give(size)

    def cancel(self) -> None:
        """See `Call`. Whoever still reads or sends gets `Canceled`."""
        self.on_error(errors.Canceled("the caller canceled the call"))
        super().cancel()

    def _grant(self, size: int) -> None:
        if self.channel is not None and not self.ended:
            self.channel.send_credit(self, size)

    async def items(self) -> AsyncGenerator[bytes, None]:
        """The payloads of the answer's stream. An endpoint that replies instead gives a stream of that one element.

        Raises:
            Error: the stream broke or the callee failed; items that came before were yielded.
        """
        while (payload := await self._queue.get()) is not None:
            yield payload
        if self._reply is not None:
            yield self._reply

    async def reply(self) -> bytes:
        """The single answer of a client-streaming call. Items of a stream are passed over.

        Raises:
            Error: the callee failed; `BadGateway` when it ended without a reply.
        """
        while await self._queue.get() is not None:
            pass
        if self._reply is None:
            raise errors.BadGateway(f"{self.service}.{self.endpoint} answered with a stream, not with a reply")
        return self._reply

    async def send(self, payload: bytes) -> None:
        """Send one element, as soon as the callee has room for it.

        Raises:
            Error: the call has ended; `PayloadTooLarge`, and then it goes on.
        """
        await self._gate.wait()
        if self.channel is None:
            raise errors.ServiceUnavailable("the call is not started yet")
        self.channel.send_item(self, payload)
        self._gate.take(len(payload))
        self.streamed = True

    def close_send(self) -> None:
        """The caller's stream is complete."""
        if self.channel is not None and not self.ended:
            self.streamed = True
            self.channel.send_end(self)

    async def __aenter__(self) -> StreamCall:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.ended:
            self.cancel()


class LocalInbound(Inbound):
    """A call served in the process that makes it. It is the call's `Channel` as well."""

    __slots__ = ("_call",)

    def __init__(self, call: Call, expires: float) -> None:
        self._call = call
        self.service = call.service
        self.endpoint = call.endpoint
        self.payload = call.payload
        self.encoding = call.encoding
        self.namespace = call.namespace
        self.metadata = call.metadata
        self.credit = call.credit
        self.account = call.account
        self.token = call.token
        self.expires = expires
        self.peer = None
        self.receiver = None
        self.done = False
        call.channel = self

    def reply(self, payload: bytes) -> None:
        """See `Inbound`."""
        if not self.done:
            self._finish()
            self._call.on_reply(payload)

    def fail(self, error: errors.Error) -> None:
        """See `Inbound`."""
        if not self.done:
            self._finish()
            self._call.on_error(error)

    def refuse(self, reason: str) -> None:
        """See `Inbound`."""
        self.fail(errors.ServiceUnavailable(reason))

    def item(self, payload: bytes) -> None:
        """See `Inbound`."""
        if not self.done:
            self._call.on_item(payload)

    def end(self) -> None:
        """See `Inbound`."""
        if not self.done:
            self._finish()
            self._call.on_end()

    def grant(self, size: int) -> None:
        """See `Inbound`."""
        if not self.done:
            self._call.on_credit(size)

    def send_item(self, call: Call, payload: bytes) -> None:
        """See `Channel`."""
        if not self.done and self.receiver is not None:
            self.receiver.on_item(payload)

    def send_end(self, call: Call) -> None:
        """See `Channel`."""
        if not self.done and self.receiver is not None:
            self.receiver.on_end()

    def send_credit(self, call: Call, size: int) -> None:
        """See `Channel`."""
        if not self.done and self.receiver is not None:
            self.receiver.on_credit(size)

    def cancel(self, call: Call) -> None:
        """See `Channel`."""
        if not self.done:
            self._finish()
            if self.receiver is not None:
                self.receiver.on_cancel(errors.Canceled("the caller went away"))

    def _finish(self) -> None:
        """It is over. The two let go of each other, so that what they hold goes with them."""
        self.done = True
        self._call.channel = None
