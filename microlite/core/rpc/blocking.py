"""The wire without an event loop, for the command line: one socket, one call at a time, and nothing slow to import."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.peers import check_listener

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path
    from types import TracebackType

TURN: Final = 0.5
"""Seconds of a wait after which Python can run the handlers of signals. A signal that comes just before the wait begins, or
that the system hands to another thread, does not end it: Ctrl-C would be lost."""


class BlockingClient:
    """A client of the platform that blocks.

    Use it as a context manager. Not for several threads.

    Args:
        path: of the platform's socket.
        properties: what the client says of itself in `Hello`.

    Raises:
        ServiceUnavailable: nobody listens there.
        Forbidden: another user's process listens there.
    """

    def __init__(self, path: Path, properties: dict[str, str] | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise errors.ServiceUnavailable(f"nobody listens at {path}: {error.strerror or error}") from error
        try:
            check_listener(self._socket, str(path))
        except errors.Error:
            self._socket.close()
            raise
        self._decoder = frames.FrameDecoder()
        self._arrived: list[frames.AnyFrame] = []
        self._last_id = -1
        self._peer: frames.Hello | None = None
        self._farewell: frames.GoAway | None = None
        self._asked = "the platform"  # who is to blame when it takes too long
        self._send(frames.Hello(frames.VERSION, "client", properties or {}), None)

    @property
    def peer(self) -> frames.Hello:
        """What the platform says of itself. Waits for it, five seconds at most.

        Raises:
            Timeout: what listens there says nothing.
            OutcomeUnknown: the connection broke before.
        """
        expires = time.monotonic() + 5
        while self._peer is None:
            self._receive(expires)  # nothing but `Hello` can come first
        return self._peer

    def call(
        self,
        service: str,
        endpoint: str,
        payload: bytes = b"",
        *,
        encoding: int = 0,
        timeout: float | None = 30.0,
        namespace: str = "",
        metadata: dict[str, str] | None = None,
        token: str = "",
        items: Iterable[bytes] = (),
    ) -> bytes:
        """Make a unary or client-streaming call and return the payload of its reply.

        Raises:
            Error: what the callee or the deadline says; `OutcomeUnknown` when the connection broke.
        """
        answer: bytes | None = None
        for answer in self.stream(  # noqa: B007 - a unary call has one answer, and the loop reads to its end
            service,
            endpoint,
            payload,
            encoding=encoding,
            timeout=timeout,
            namespace=namespace,
            metadata=metadata,
            token=token,
            items=items,
            credit=0,
        ):
            pass
        if answer is None:
            raise errors.BadGateway(f"{service}.{endpoint} answered with a stream, not with a reply")
        return answer

    def stream(
        self,
        service: str,
        endpoint: str,
        payload: bytes = b"",
        *,
        encoding: int = 0,
        timeout: float | None = None,
        namespace: str = "",
        metadata: dict[str, str] | None = None,
        token: str = "",
        items: Iterable[bytes] = (),
        credit: int = frames.INITIAL_CREDIT,
    ) -> Generator[bytes, None, None]:
        """Make a call and yield the payloads of its stream; for a unary call that is one.

        As much of `items` as the callee has room for is sent before an answer is read; `()` stands for a call without a
        stream of its own. A generator that is closed early cancels the call.

        Args:
            token: of the account for which the call is made, as `frames.Call` has it; empty for whoever runs this.

        Raises:
            Error: as in `call`.
        """
        if self._farewell is not None:
            raise errors.ServiceUnavailable(self._farewell.reason or "the platform is going away")
        self._asked = f"{service}.{endpoint}"
        self._last_id += 2
        call_id = self._last_id
        expires = None if timeout is None else time.monotonic() + timeout
        milliseconds = 0 if timeout is None else max(1, int(timeout * 1000))
        call = frames.Call(
            call_id, service, endpoint, payload, encoding, milliseconds, credit, namespace, metadata, token
        )
        self._send(call, expires)
        ended = False
        balance = frames.INITIAL_CREDIT
        elements = iter(items)
        sending = items != ()
        owed = 0
        try:
            while True:
                while sending and balance > 0:
                    element = next(elements, None)
                    if element is None:
                        self._send(frames.End(call_id), expires, call_id)
                        sending = False
                    else:
                        self._send(frames.Item(call_id, element), expires, call_id)
                        balance -= len(element) + frames.ITEM_OVERHEAD
                frame = self._receive(expires)
                match frame:
                    case frames.Reply(id=found) if found == call_id:
                        ended = True
                        yield frame.payload
                        return
                    case frames.Failure(id=found) if found == call_id:
                        ended = True
                        raise errors.restore(frame.code, frame.status, frame.detail, frame.error_id)
                    case frames.Item(id=found) if found == call_id:
                        yield frame.payload
                        owed += len(frame.payload) + frames.ITEM_OVERHEAD
                        if owed * 2 >= credit:
                            self._send(frames.Credit(call_id, owed), expires, call_id)
                            owed = 0
                    case frames.End(id=found) if found == call_id:
                        ended = True
                        return
                    case frames.Credit(id=found) if found == call_id:
                        balance += frame.size
                    case frames.Refused(id=found) if found == call_id:
                        ended = True
                        raise errors.ServiceUnavailable(frame.reason)
                    case frames.GoAway() if frame.last < call_id:
                        ended = True
                        raise errors.ServiceUnavailable(frame.reason or "the platform is going away")
                    case frames.Ping():
                        self._send(frames.Pong(frame.number), expires, call_id)
                    case frames.Call():
                        self._send(frames.Refused(frame.id, "a client takes no calls"), expires, call_id)
                    case _:
                        pass  # left over from a call that was given up
        finally:
            if not ended:
                self._cancel(call_id)

    def _cancel(self, call_id: int) -> None:
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(frames.encode(frames.Cancel(call_id)))
        except OSError:
            pass  # the platform is gone, and with it the call

    def _send(self, frame: frames.Frame, expires: float | None, started: int = 0) -> None:
        """Send a frame. `started` is the id of the call that it belongs to, unless the frame itself starts one."""
        try:
            data = frames.encode(frame)
        except frames.ProtocolError as error:
            raise errors.PayloadTooLarge(str(error)) from error
        except UnicodeEncodeError as error:
            raise errors.BadRequest(f"the names and metadata of a call must be valid Unicode: {error}") from error
        try:
            self._limit(expires)
            self._socket.sendall(data)
        except TimeoutError:
            self._socket.close()  # in the middle of a frame: nothing can follow it
            raise errors.Timeout(f"{self._asked} did not answer in time") from None
        except OSError as error:
            self._raise_farewell(started)
            if started:
                raise errors.OutcomeUnknown(f"outcome unknown: the connection broke: {error.strerror}") from error
            raise errors.ServiceUnavailable(f"the connection to the platform broke: {error.strerror}") from error

    def _raise_farewell(self, started: int) -> None:
        """Raise what the platform said before it closed, if it said why."""
        try:
            while self._farewell is None:
                self._receive(time.monotonic())
        except (errors.OutcomeUnknown, errors.Timeout):
            return  # it did not
        if self._farewell.last < started or not started:
            raise errors.ServiceUnavailable(self._farewell.reason)

    def _receive(self, expires: float | None) -> frames.AnyFrame:
        while not self._arrived:
            try:
                self._limit(expires, TURN)
                data = self._socket.recv(262_144)
            except TimeoutError:
                if expires is None or time.monotonic() < expires:
                    continue
                raise errors.Timeout(f"{self._asked} did not answer in time") from None
            except OSError as error:
                raise errors.OutcomeUnknown(f"outcome unknown: the connection broke: {error.strerror}") from error
            if not data:
                raise errors.OutcomeUnknown("outcome unknown: the platform closed the connection before it answered")
            self._arrived = self._decoder.feed(data)
            if self._decoder.error is not None and not self._arrived:
                raise errors.BadGateway(f"what listens there does not speak the protocol: {self._decoder.error}")
            self._arrived.reverse()
        frame = self._arrived.pop()
        if isinstance(frame, frames.Hello):
            self._peer = frame
            if frame.version != frames.VERSION:
                raise errors.BadGateway(
                    f"the platform speaks version {frame.version} of the wire, and this program {frames.VERSION}"
                )
        elif isinstance(frame, frames.GoAway):
            self._farewell = frame
        return frame

    def _limit(self, expires: float | None, most: float | None = None) -> None:
        left = None if expires is None else max(0.001, expires - time.monotonic())
        self._socket.settimeout(most if left is None else left if most is None else min(left, most))

    def close(self) -> None:
        """Close the connection; a call that runs is canceled by that."""
        self._socket.close()

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
