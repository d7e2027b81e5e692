"""The frames of the wire, sans I/O: bytes in, frames out, and the reverse.

A frame is four bytes of length (unsigned, big-endian) and that many bytes of MessagePack: an array whose first element
is the kind of the frame, followed by its fields in the order given here. Fields at the end of an array that carry their
default may be left out, and unknown further fields are ignored, so that both ends can grow.
`docs/reference/wire.md` describes the same for writers of other clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 1
"""The version of the wire that this code speaks; both ends state theirs in `Hello`."""

MAX_FRAME: Final = 16 * 1024 * 1024
"""The largest frame, in bytes without its length prefix."""

INITIAL_CREDIT: Final = 256 * 1024
"""How many bytes of stream items a side takes before it grants more."""


class Frame(msgspec.Struct, array_like=True, gc=False):
    """One frame; subclasses are the kinds."""


class Hello(Frame, tag=0):
    """The first frame in each direction: who speaks, and which version.

    `role` is `node`, `peer` (a node on a direct connection), `client` or `platform`.
    """

    version: int
    role: str
    properties: dict[str, str] = {}


class Call(Frame, tag=1):
    """Start a call. Ids grow per direction: odd from the side that dialled, even from the other."""

    id: int
    service: str
    endpoint: str
    payload: bytes = b""
    encoding: int = 0
    """Of the payload, and of all that comes back: 0 MessagePack, 1 JSON."""
    timeout: int = 0
    """Milliseconds until the caller gives up; 0 for never."""
    credit: int = 0
    """Bytes of stream items that the caller takes at first; 0 where it expects one reply."""
    namespace: str = ""
    """Empty for the namespace of the connection."""
    metadata: dict[str, str] | None = None


class Reply(Frame, tag=2):
    """The answer of a unary or client-streaming call, and its end."""

    id: int
    payload: bytes = b""


class Failure(Frame, tag=3):
    """The call ended with an error."""

    id: int
    code: int
    status: str = ""
    detail: str = ""
    error_id: str = ""


class Item(Frame, tag=4):
    """One element of a stream, from the caller or to it."""

    id: int
    payload: bytes = b""


class End(Frame, tag=5):
    """The stream in this direction is complete. From the callee it ends the call."""

    id: int


class Credit(Frame, tag=6):
    """The receiver of a stream takes so many bytes of items more."""

    id: int
    size: int


class Cancel(Frame, tag=7):
    """The caller no longer wants the answer; nothing more comes for this id."""

    id: int


class Ping(Frame, tag=8):
    """Is the other end alive? It answers with `Pong` and the same number."""

    number: int = 0


class Pong(Frame, tag=9):
    """The answer to `Ping`."""

    number: int = 0


class Drain(Frame, tag=10):
    """No further call comes: finish what runs, then say `Drained`."""

    grace: int = 30_000
    """Milliseconds until what still runs is cut off."""


class Drained(Frame, tag=11):
    """All calls are finished; the connection can be closed."""


class GoAway(Frame, tag=12):
    """Calls with an id above `last` were not started and never will be: send them elsewhere."""

    last: int
    reason: str = ""


class Refused(Frame, tag=13):
    """This one call was not started and never will be."""

    id: int
    reason: str = ""


AnyFrame = (
    Hello | Call | Reply | Failure | Item | End | Credit | Cancel | Ping | Pong | Drain | Drained | GoAway | Refused
)


class ProtocolError(Exception):
    """What came over the wire is not the protocol; the connection cannot go on."""


_decode = msgspec.msgpack.Decoder(AnyFrame).decode
_encode = msgspec.msgpack.Encoder().encode


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, with its length.

    Raises:
        ProtocolError: it is larger than `MAX_FRAME`.
    """
    body = _encode(frame)
    size = len(body)
    if size > MAX_FRAME:
        raise ProtocolError(f"a frame of {size:,} bytes is larger than the limit of {MAX_FRAME:,}")
    return size.to_bytes(4, "big") + body


class FrameDecoder:
    """Cuts a stream of bytes into frames, however the bytes arrive.

    Holds at most one unfinished frame. `limit` bounds a frame, in bytes.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def feed(self, data: bytes) -> Iterator[AnyFrame]:
        """Yield the frames that `data` completes, in order.

        Raises:
            ProtocolError: a frame is too large or malformed. The decoder is of no use afterwards.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < 4 + int.from_bytes(buffer[:4], "big") <= self._limit + 4:
                return
            data = bytes(buffer)
            buffer.clear()
        size = len(data)
        view = memoryview(data)
        start = 0
        while size - start >= 4:
            length = int.from_bytes(data[start : start + 4], "big")
            if length > self._limit:
                raise ProtocolError(f"a frame of {length:,} bytes is larger than the limit of {self._limit:,}")
            end = start + 4 + length
            if end > size:
                break
            try:
                frame = _decode(view[start + 4 : end])
            except (msgspec.DecodeError, RecursionError) as error:
                raise ProtocolError(f"malformed frame: {error}") from error
            start = end
            yield frame
        if start < size:
            buffer += view[start:]

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)
