"""What platform and fork server say to each other, over a stream socket that carries descriptors too.

A frame is a length (u32, big-endian) and a message in MessagePack, `[tag, fields…]`. Descriptors are sent along with
the first byte of their frame and arrive in order, so a message says by its type how many are its own. Paths and
environments are bytes, as the system has them.

The fork server runs this module with its own interpreter's msgspec.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Union

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 16 * 1024 * 1024
"""Bytes of the largest frame. An environment and its arguments cannot be larger than a few MiB at exec either."""

_CHUNK = 64 * 1024
_DESCRIPTORS = 253  # SCM_MAX_FD
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Start(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """Platform → server: fork. With stdin, stdout, stderr and the reader of the platform's life pipe."""

    id: int
    name: str
    script: bytes
    argv: list[bytes]
    cwd: bytes
    env: dict[bytes, bytes]
    root: bytes
    library: bytes
    path: list[bytes]
    last: list[bytes]


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """Server → platform, once: it can fork. `missing` has the modules that could not be preloaded, each with why."""

    missing: dict[str, str]


class Started(msgspec.Struct, frozen=True, array_like=True, tag="started"):
    """Server → platform: it forked. With a pidfd of the child."""

    id: int
    pid: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Server → platform: there is no child, and why."""

    id: int
    detail: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag="ended"):
    """Server → platform: a child ended with a wait status, and its process group is empty."""

    id: int
    status: int


Message = Union[Start, Ready, Started, Failed, Ended]  # noqa: UP007 - evaluated, for the decoder

_OWN: dict[type[Message], int] = {Start: 4, Started: 1}


class Channel:
    """One end of the socket. Takes the socket over; neither end ever blocks on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Message).decode
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send a message, and close its descriptors when they are sent. True when all that was to send has gone.

        Raises:
            OSError: the other end is gone. `flush` raises it too.
            ValueError: the message is larger than `LIMIT`; nothing was sent.
        """
        assert len(descriptors) == _OWN.get(type(message), 0)
        body = self._encode(message)
        if len(body) > LIMIT:
            raise ValueError(f"{len(body)} bytes are more than a frame takes")
        self._unsent.append((len(body).to_bytes(4, "big") + body, list(descriptors)))
        return len(self._unsent) == 1 and self.flush()

    def flush(self) -> bool:
        """Send what waits, as far as the socket takes it. True when nothing waits any more."""
        while self._unsent:
            frame, descriptors = self._unsent[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                sent = self.socket.sendmsg([frame], rights)
            except BlockingIOError:
                return False
            for descriptor in descriptors:
                os.close(descriptor)
            if sent < len(frame):
                self._unsent[0] = frame[sent:], []
            else:
                self._unsent.popleft()
        return True

    def receive(self) -> list[tuple[Message, list[int]]]:
        """What has come, each with its descriptors, which are the caller's from then on. Empty when nothing has.

        Raises:
            EOFError: the other end is gone, and all that it said was returned before.
        """
        try:
            data, rights, _, _ = self.socket.recvmsg(_CHUNK, socket.CMSG_SPACE(_DESCRIPTORS * 4), _CLOEXEC)
        except BlockingIOError:
            return []
        except OSError as error:  # ECONNRESET stands for the end when messages lay unread at the other side
            raise EOFError from error
        for _, _, content in rights:
            received = array.array("i")
            received.frombytes(content[: len(content) // 4 * 4])
            self._descriptors.extend(received)
        if not data:
            raise EOFError
        self._received += data
        return self._frames()

    def _frames(self) -> list[tuple[Message, list[int]]]:
        frames: list[tuple[Message, list[int]]] = []
        start = 0
        while len(self._received) >= start + 4:
            size = int.from_bytes(self._received[start : start + 4], "big")
            if size > LIMIT:
                raise EOFError(f"a frame of {size} bytes")
            if len(self._received) < start + 4 + size:
                break
            message = self._decode(self._received[start + 4 : start + 4 + size])
            frames.append((message, [self._descriptors.popleft() for _ in range(_OWN.get(type(message), 0))]))
            start += 4 + size
        del self._received[:start]
        return frames

    def close(self) -> None:
        """Close the socket and each descriptor that was not handed over. May be called twice."""
        self.socket.close()
        for _, descriptors in self._unsent:
            self._descriptors.extend(descriptors)
        self._unsent.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())
