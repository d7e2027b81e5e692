"""The callee's side of a call that came over a connection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.call import Inbound
from microlite.core.rpc.frames import ITEM, REPLY, pack

if TYPE_CHECKING:
    from microlite.core.rpc.connection import Connection

MAX_DETAIL: Final = 65_536
"""Characters of an error's detail that travel."""


class WireInbound(Inbound):
    """A call that came over a connection."""

    __slots__ = ("_connection", "_id", "streamed")

    def __init__(self, connection: Connection, frame: frames.Call) -> None:
        self._connection = self.peer = connection
        self._id = frame.id
        self.service = frame.service
        self.endpoint = frame.endpoint
        self.payload = frame.payload
        self.encoding = frame.encoding
        self.namespace = connection.namespace or frame.namespace
        self.metadata = frame.metadata
        self.credit = frame.credit
        self.token = frame.token
        if connection.trusted:
            self.account = frame.account
        else:
            self.account = None if frame.token else connection.account
        self.receiver = None
        self.done = False
        self.streamed = False
        """Whether an element of the caller's stream has come."""
        if frame.timeout:
            self.expires = connection.last_received + frame.timeout * 0.001
        else:
            self.expires = math.inf

    def reply(self, payload: bytes) -> None:
        """See `Inbound`."""
        if not self.done:
            self.done = True
            try:
                self._connection.answer(self._id, pack((REPLY, self._id, payload)))
            except frames.ProtocolError as error:
                failure = errors.InternalServerError(f"the answer is too large: {error}")
                self._connection.answer(self._id, self._failure(failure))

    def fail(self, error: errors.Error) -> None:
        """See `Inbound`."""
        if not self.done:
            self.done = True
            self._connection.answer(self._id, self._failure(error))

    def refuse(self, reason: str) -> None:
        """See `Inbound`."""
        if not self.done:
            self.done = True
            self._connection.answer(self._id, pack(frames.Refused(self._id, reason[:MAX_DETAIL])))

    def item(self, payload: bytes) -> None:
        """See `Inbound`."""
        if not self.done:
            try:
                self._connection.send(pack((ITEM, self._id, payload)))
            except frames.ProtocolError as error:
                self.cut(errors.InternalServerError(f"an item is too large: {error}"))

    @property
    def held_up(self) -> bool:
        """See `Inbound`."""
        return self._connection.held_up

    async def writable(self) -> None:
        """See `Inbound`."""
        await self._connection.writable()

    def end(self) -> None:
        """See `Inbound`."""
        if not self.done:
            self.done = True
            self._connection.answer(self._id, pack(frames.End(self._id)))

    def grant(self, size: int) -> None:
        """See `Inbound`."""
        if not self.done:
            self._connection.send(pack(frames.Credit(self._id, size)))

    def expire(self) -> None:
        """The deadline passed: stop the work and say so."""
        name = f"{self.service}.{self.endpoint}"
        self.cut(errors.Timeout(f"{name} did not finish in time", id=name))

    def cut(self, error: errors.Error) -> None:
        """End the call from outside: its server stops, its caller gets `error`."""
        if not self.done:
            self.fail(error)
            if self.receiver is not None:
                self.receiver.on_cancel(error)

    def forget(self, error: errors.Error) -> None:
        """The caller wants nothing more: stop the work, answer nothing."""
        if not self.done:
            self.done = True
            self._connection.answer(self._id, None)
            if self.receiver is not None:
                self.receiver.on_cancel(error)

    def _failure(self, error: errors.Error) -> bytes:
        detail = error.detail[:MAX_DETAIL]
        try:
            return pack(frames.Failure(self._id, error.code, error.status, detail, error.id))
        except UnicodeEncodeError:  # a file name, perhaps, whose bytes are no text
            detail = detail.encode(errors="backslashreplace").decode()
            return pack(frames.Failure(self._id, error.code, error.status, detail))
