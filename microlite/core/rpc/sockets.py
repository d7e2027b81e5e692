"""Unix sockets: where they lie, who is at the other end, and how connections are opened and accepted."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.connection import Acceptor, Connection
from microlite.core.rpc.peers import check_listener, may_call, peer_uid

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Listener", "dial", "peer_uid", "private_folder"]

PARTING: Final = 2.0
"""Seconds that the other side has to close, once it was told that all its calls are answered."""

_LET_IN: Final = 1.0
"""Seconds in which whoever has connected must have become a connection; out of descriptors, one may never."""
_TURNS: Final = 3
"""Turns of the loop from accepting a socket to `connection_made`, in asyncio as in uvloop."""


def private_folder(folder: Path) -> None:
    """Make sure that only this user can enter `folder`, creating it where it is missing.

    Raises:
        Forbidden: it cannot be made, is no folder or a link to one, or belongs to somebody else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise errors.Forbidden(
            f"{folder} cannot be made a private folder: {error.strerror}; choose another home with --home"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise errors.Forbidden(f"{folder} must be a folder of this user; choose another home with --home")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


async def dial(
    path: str,
    acceptor: Acceptor,
    *,
    role: str,
    properties: dict[str, str] | None = None,
    on_hello: Callable[[Connection], None] | None = None,
    on_lost: Callable[[Connection], None] | None = None,
) -> Connection:
    """Open a connection. Calls may be started at once; the other side's `Hello` comes when it comes.

    Raises:
        ServiceUnavailable: nobody listens there. Nothing was sent.
        Forbidden: another user's process listens there. Nothing was sent.
    """
    hello = frames.Hello(frames.VERSION, role, properties or {})
    loop = asyncio.get_running_loop()
    dialling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        dialling.setblocking(False)
        try:
            # At once or never: on Unix sockets, EAGAIN says that too many wait there already.
            dialling.connect(path)
        except OSError as error:
            raise errors.ServiceUnavailable(f"nobody listens at {path}: {error.strerror or error}") from error
        check_listener(dialling, path)
        _, connection = await loop.create_unix_connection(
            lambda: Connection(acceptor, dialled=True, hello=hello, on_hello=on_hello, on_lost=on_lost), sock=dialling
        )
    except BaseException:
        dialling.close()
        raise
    return connection


class Listener:
    """Accepts connections on a Unix socket, from processes of this user only, or of another one only.

    Args:
        path: of the socket; a stale one is replaced.
        acceptor: serves the calls of all connections.
        role: what this side says of itself.
        on_hello: called with each connection once the other side has said who it is.
        on_lost: called with each connection when it is gone.
        user: the id of another user, whose processes alone may connect. Its group has the same number, and whoever makes
            the listener sees to it that the group reaches the folder.
    """

    def __init__(
        self,
        path: Path,
        acceptor: Acceptor,
        *,
        role: str,
        properties: dict[str, str] | None = None,
        on_hello: Callable[[Connection], None] | None = None,
        on_lost: Callable[[Connection], None] | None = None,
        user: int = 0,
    ) -> None:
        self.path = path
        self._user = user
        self._acceptor = acceptor
        self._hello = frames.Hello(frames.VERSION, role, properties or {})
        self._on_hello = on_hello
        self._on_lost = on_lost
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._inode = 0
        self.leaving = ""
        """Why no further call is taken; empty as long as they are."""
        self.connections: set[Connection] = set()

    async def start(self) -> None:
        """Listen."""
        if not self._user:
            private_folder(self.path.parent)
        self.path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(str(self.path))
            if self._user:
                os.chown(self.path, os.getuid(), self._user)
            self.path.chmod(0o660 if self._user else 0o600)
            self._inode = self.path.stat().st_ino
            self._server = await loop.create_unix_server(self._accepted, sock=server, backlog=1024)
            self._socket = server
        except BaseException:
            server.close()
            raise

    def admits(self, uid: int | None) -> bool:
        """Whether a process of this user may connect."""
        return uid == self._user if self._user else may_call(uid)

    def introduce(self, properties: dict[str, str]) -> None:
        """Say this of itself to whoever connects from now on."""
        self._hello = frames.Hello(frames.VERSION, self._hello.role, properties)

    def _accepted(self) -> Connection:
        return _AcceptedConnection(self, self._acceptor, self._hello, self._on_hello, self._gone)

    def _gone(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            if self._on_lost is not None:
                self._on_lost(connection)

    async def leave(self, reason: str) -> None:
        """Take no further call: each connection is told to go away, also those that are only being opened.

        Who has connected is let in before this returns. Closing the socket over him would break a connection on which he
        may have sent calls already, and leave him in doubt about them. May be called twice.

        Args:
            reason: for the callers.
        """
        if self._server is None or self.leaving:
            return
        self.leaving = reason
        try:
            if self.path.stat().st_ino == self._inode:  # and not that of a successor
                self.path.unlink()
        except OSError:
            pass  # somebody cleared the folder away
        for connection in self.connections:
            connection.go_away(reason)
        assert self._socket is not None
        backlog = select.poll()
        backlog.register(self._socket, select.POLLIN)
        until = asyncio.get_running_loop().time() + _LET_IN
        while backlog.poll(0) and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def part(self) -> None:
        """After leaving, when all calls are answered: let each caller close, who then has read every answer."""
        for connection in self.connections:
            connection.say_drained()
        if self.connections:
            await asyncio.wait([connection.closed for connection in self.connections], timeout=PARTING)

    async def close(self) -> None:
        """Leave, and close what is open; who does not read what was sent within a second is cut off."""
        await self.leave(f"the {self._hello.role} is stopping")
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self.connections):
            connection.close()
        if self.connections:
            await asyncio.wait([connection.closed for connection in self.connections], timeout=1)
        for connection in list(self.connections):
            connection.abort()
            await connection.closed


class _AcceptedConnection(Connection):
    def __init__(
        self,
        listener: Listener,
        acceptor: Acceptor,
        hello: frames.Hello,
        on_hello: Callable[[Connection], None] | None,
        on_lost: Callable[[Connection], None],
    ) -> None:
        super().__init__(acceptor, dialled=False, hello=hello, on_hello=on_hello, on_lost=on_lost)
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._listener.admits(peer_uid(cast("Any", transport.get_extra_info("socket")))):
            cast("asyncio.Transport", transport).abort()
            return
        self._listener.connections.add(self)
        super().connection_made(transport)
        if self._listener.leaving:
            self.go_away(self._listener.leaving)
