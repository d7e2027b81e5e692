"""The frames of the wire, sans I/O: bytes in, frames out, and the reverse.

A frame is four bytes of length (unsigned, big-endian) and that many bytes of MessagePack: an array whose first element
is the kind of the frame, followed by its fields in the order given here. Fields at the end of an array that carry their
default may be left out, and unknown further fields are ignored, so that both ends can grow.
`docs/reference/wire.md` describes the same for writers of other clients.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

import msgspec

from microlite.core.context import Account

VERSION: Final = 1
"""The version of the wire that this code speaks; both ends state theirs in `Hello`."""

MAX_FRAME: Final = 16 * 1024 * 1024
"""The largest frame, in bytes without its length prefix."""

INITIAL_CREDIT: Final = 256 * 1024
"""How many bytes of stream items a side takes before it grants more."""

ITEM_OVERHEAD: Final = 64
"""Bytes that each item counts against the credit on top of its payload, so that empty ones are not free."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
"""The numbers of the wire: a frame with a negative one is malformed."""


class Frame(msgspec.Struct, array_like=True, gc=False):
    """One frame; subclasses are the kinds."""


class Hello(Frame, tag=0):
    """The first frame in each direction: who speaks, and which version.

    `role` is `node`, `peer` (a node on a direct connection), `client` or `platform`.
    """

    version: Natural
    role: str
    properties: dict[str, str] = {}


class Call(Frame, tag=1):
    """Start a call. Ids grow per direction: odd from the side that dialled, even from the other."""

    id: Natural
    service: str
    endpoint: str
    payload: bytes = b""
    encoding: Natural = 0
    """Of all payloads: 0 MessagePack, 1 JSON, 2 MessagePack from the caller and JSON back, 3 the other way round."""
    timeout: Natural = 0
    """Milliseconds until the caller gives up; 0 for never."""
    credit: Natural = 0
    """Bytes of stream items that the caller takes at first; 0 where it expects one reply."""
    namespace: str = ""
    """Empty for the namespace of the connection."""
    metadata: dict[str, str] | None = None
    token: str = ""
    """Who asks: a signed token, or `-` for nobody. Empty for whoever is at the other end of the connection."""
    account: Account | None = None
    """Whom the token stands for: said by the platform to its nodes, and believed of nobody else."""


class Reply(Frame, tag=2):
    """The answer of a unary or client-streaming call, and its end."""

    id: Natural
    payload: bytes = b""


class Failure(Frame, tag=3):
    """The call ended with an error."""

    id: Natural
    code: Natural
    status: str = ""
    detail: str = ""
    error_id: str = ""


class Item(Frame, tag=4):
    """One element of a stream, from the caller or to it."""

    id: Natural
    payload: bytes = b""


class End(Frame, tag=5):
    """The stream in this direction is complete. From the callee it ends the call."""

    id: Natural


class Credit(Frame, tag=6):
    """The receiver of a stream takes so many bytes of items more."""

    id: Natural
    size: Natural


class Cancel(Frame, tag=7):
    """The caller no longer wants the answer; nothing more comes for this id."""

    id: Natural


class Ping(Frame, tag=8):
    """Is the other end alive? It answers with `Pong` and the same number."""

    number: Natural = 0


class Pong(Frame, tag=9):
    """The answer to `Ping`."""

    number: Natural = 0


class Drain(Frame, tag=10):
    """No further call comes: finish what runs, then say `Drained`. A second one says to end the streams now."""

    grace: Natural = 30_000
    """Milliseconds until what still runs is cut off."""


class Drained(Frame, tag=11):
    """All calls are finished; the connection can be closed."""


class GoAway(Frame, tag=12):
    """Calls with an id above `last` were not started and never will be: send them elsewhere."""

    last: Natural
    reason: str = ""


class Refused(Frame, tag=13):
    """This one call was not started and never will be."""

    id: Natural
    reason: str = ""


AnyFrame = (
    Hello | Call | Reply | Failure | Item | End | Credit | Cancel | Ping | Pong | Drain | Drained | GoAway | Refused
)


class ProtocolError(Exception):
    """What came over the wire is not the protocol, and the connection cannot go on; or a frame to send is too large."""


_decode = msgspec.msgpack.Decoder(AnyFrame).decode
_length_at = struct.Struct(">I").unpack_from
_VIEWED: Final = 8_192  # a longer body is decoded from a view, which saves a copy of its payload

pack = msgspec.msgpack.Encoder().encode
"""The body of a frame, from a `Frame` or, on the way of every call, from a tuple of its kind and its fields.

Raises UnicodeEncodeError where a string holds half of a surrogate pair, which UTF-8 cannot carry.
"""

CALL: Final = 1
"""The kind of `Call`, for `pack`."""

REPLY: Final = 2
"""The kind of `Reply`, for `pack`."""

ITEM: Final = 4
"""The kind of `Item`, for `pack`."""

LENGTHS: Final = tuple(size.to_bytes(4, "big") for size in range(1024))
"""The lengths that stand before short bodies."""


def length_of(body: bytes) -> bytes:
    """The four bytes that stand before `body`.

    Raises:
        ProtocolError: it is larger than `MAX_FRAME`.
    """
    size = len(body)
    if size > MAX_FRAME:
        raise ProtocolError(f"a frame of {size:,} bytes is larger than the limit of {MAX_FRAME:,}")
    return size.to_bytes(4, "big")


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, with its length.

    Raises:
        ProtocolError: it is larger than `MAX_FRAME`.
        UnicodeEncodeError: see `pack`.
    """
    body = pack(frame)
    return length_of(body) + body


class FrameDecoder:
    """Cuts a stream of bytes into frames, however the bytes arrive.

    Holds at most one unfinished frame. `limit` bounds a frame, in bytes.

    Attributes:
        error: why the bytes are not the protocol, once they are not. The decoder gives no frame after that.
    """

    __slots__ = ("_buffer", "_limit", "error")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self.error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[AnyFrame]:
        """The frames that `data` completes, in order.

        It does not raise, so that the frames before a malformed one are not lost: look at `error` after using them.
        """
        if self._buffer or self.error is not None:
            data = self._resume(data)
        found: list[AnyFrame] = []
        add, decode, length_at, limit = found.append, _decode, _length_at, self._limit
        start = 0
        size = len(data)
        last = size - 4  # where the length of a frame can begin at the latest
        try:
            while start <= last:
                (length,) = length_at(data, start)
                body = start + 4
                end = body + length
                if length > limit:
                    raise ProtocolError(f"a frame of {length:,} bytes is larger than the limit of {limit:,}")
                if end > size:
                    break
                add(decode(data[body:end] if length < _VIEWED else memoryview(data)[body:end]))
                start = end
        except ProtocolError as error:
            self.error = error
        except (ValueError, RecursionError) as error:  # ValueError: malformed, mistyped, or not UTF-8
            self.error = ProtocolError(f"malformed frame: {error}")
        if start < size and self.error is None:
            self._buffer += memoryview(data)[start:]
        return found

    def _resume(self, data: bytes) -> bytes:
        """All that is held, with `data`, if that completes a frame or shows an error; else nothing, and it is held."""
        if self.error is not None:
            return b""
        buffer = self._buffer
        buffer += data
        if len(buffer) < 4 or len(buffer) < 4 + int.from_bytes(buffer[:4], "big") <= self._limit + 4:
            return b""
        data = bytes(buffer)
        buffer.clear()
        return data

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)
