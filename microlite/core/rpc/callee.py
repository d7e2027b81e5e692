"""The callee's side of a call, whatever carries it: what was asked, how to answer, and what else the caller says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from microlite.core import errors
    from microlite.core.context import Account


class Receiver(Protocol):
    """What happens at the callee after a call has started."""

    def on_item(self, payload: bytes) -> None:
        """An element of the caller's stream."""
        ...

    def on_end(self) -> None:
        """The caller's stream is complete."""
        ...

    def on_credit(self, size: int) -> None:
        """The caller takes `size` bytes of items more."""
        ...

    def on_cancel(self, error: errors.Error) -> None:
        """The caller is gone, or no longer wants the answer."""
        ...


class Inbound:
    """The callee's side of one call: what was asked, and the ways to answer.

    Exactly one of `reply`, `fail` and `end` ends it; what is said after that, or after the caller has gone, is dropped.

    Attributes:
        expires: loop time of the deadline, infinity for none.
        credit: bytes of items the caller takes at first; 0 if it wants one reply.
        account: who asks, as far as the carrier vouches for it; None for nobody.
        token: what says so, to be shown with calls that this one leads to; empty where there is none.
        peer: the connection it came on; None within the process.
        receiver: whoever serves the call sets it in order to hear more.
    """

    __slots__ = (
        "account",
        "credit",
        "done",
        "encoding",
        "endpoint",
        "expires",
        "metadata",
        "namespace",
        "payload",
        "peer",
        "receiver",
        "service",
        "token",
    )

    service: str
    endpoint: str
    payload: bytes
    encoding: int
    namespace: str
    metadata: dict[str, str] | None
    expires: float
    credit: int
    account: Account | None
    token: str
    peer: object | None
    receiver: Receiver | None
    done: bool

    def reply(self, payload: bytes) -> None:
        """Answer a unary or client-streaming call."""
        raise NotImplementedError

    def fail(self, error: errors.Error) -> None:
        """End the call with an error."""
        raise NotImplementedError

    def refuse(self, reason: str) -> None:
        """Say that the call was not started and will not be."""
        raise NotImplementedError

    def item(self, payload: bytes) -> None:
        """Send one element of the answer. Whoever serves the call minds the credit."""
        raise NotImplementedError

    @property
    def held_up(self) -> bool:
        """Whether so much waits for the caller's socket that a stream should wait for it, whatever its credit."""
        return False

    async def writable(self) -> None:
        """Return when it does not, or the caller is gone."""

    def end(self) -> None:
        """The stream of the answer is complete."""
        raise NotImplementedError

    def grant(self, size: int) -> None:
        """The callee takes `size` bytes more of the caller's stream."""
        raise NotImplementedError


class Acceptor(Protocol):
    """What a connection does with the calls that arrive on it."""

    def accept(self, inbound: Inbound) -> None:
        """Serve a call, now or later. Must not raise and must not block.

        Whoever wants to hear what the caller says after the call itself sets `inbound.receiver` in here: what comes while
        there is none is dropped.
        """
        ...
