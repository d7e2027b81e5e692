"""The wire between machines: TCP under TLS, where one fingerprint says whose certificate is the right one.

Only who speaks to another machine imports this: it loads OpenSSL.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from microlite.core import errors
from microlite.core.rpc import frames
from microlite.core.rpc.connection import Acceptor, Connection
from microlite.core.rpc.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for the connection and the handshake of TLS together."""

HELLO_TIMEOUT: Final = 10.0
"""Seconds, from the connection on, in which the other side must have said who it is and proven it."""

FIRST_FRAME: Final = 16 * 1024
"""Bytes of a frame before that."""

MAX_STRANGERS: Final = 64
"""Connections that may be open without having proven who they are; further ones are closed at once."""

MAX_FROM_ONE: Final = 16
"""How many of those may come from one address."""


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate (DER), in hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


async def dial(
    host: str,
    port: int,
    pinned: str,
    acceptor: Acceptor,
    *,
    role: str,
    properties: dict[str, str] | None = None,
    on_lost: Callable[[Connection], None] | None = None,
) -> Connection:
    """Open a connection to another machine.

    Args:
        pinned: the fingerprint of the one certificate that is accepted, whatever it says of names and dates.

    Raises:
        ServiceUnavailable: nobody listens there, or who does speaks no TLS. Nothing was said to it.
        Forbidden: it has another certificate. Nothing was said to it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the fingerprint says more than a name
    context.verify_mode = ssl.CERT_NONE
    hello = frames.Hello(frames.VERSION, role, properties or {})
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await loop.create_connection(
                lambda: _Dialled(acceptor, pinned, dialled=True, hello=hello, on_lost=on_lost),
                host,
                port,
                ssl=context,
                server_hostname="",
            )
    except TimeoutError:
        raise errors.ServiceUnavailable(f"{host}:{port} does not answer") from None
    except ssl.SSLError as error:
        raise errors.ServiceUnavailable(
            f"{host}:{port} speaks no TLS as a platform's join port does: {error.reason or error}"
        ) from error
    except OSError as error:
        raise errors.ServiceUnavailable(f"nobody listens at {host}:{port}: {error.strerror or error}") from error
    if not connection.genuine:
        raise errors.Forbidden(
            f"{host}:{port} has not the certificate that the join token names: either another program listens there, "
            f"or somebody is in between; nothing was said to it"
        )
    Liveness(connection)
    return connection


class _Dialled(Connection):
    """Says nothing before it has seen the right certificate."""

    __slots__ = ("_pinned", "genuine")

    def __init__(self, acceptor: Acceptor, pinned: str, **options: Any) -> None:
        super().__init__(acceptor, **options)
        self._pinned = pinned
        self.genuine = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        found = fingerprint(certificate) if certificate else ""
        self.genuine = hmac.compare_digest(found, self._pinned)
        if self.genuine:
            super().connection_made(transport)
        else:
            cast("asyncio.Transport", transport).abort()


class TlsListener:
    """Accepts connections from other machines. Whoever comes is a stranger until `admit`.

    Args:
        acceptor: serves the calls of all connections.
        on_hello: called with each connection once the other side has said who it is. It sees to it that the connection is
            admitted or turned away.
        on_lost: called with each connection when it is gone.
    """

    def __init__(
        self,
        host: str,
        port: int,
        acceptor: Acceptor,
        *,
        certificate: Path,
        key: Path,
        on_hello: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.host = host
        self.port = port
        self._acceptor = acceptor
        self._files = (certificate, key)
        self._on_hello = on_hello
        self._on_lost = on_lost
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: dict[object, str] = {}  # the address of each
        self.connections: set[Connection] = set()

    @property
    def strangers(self) -> int:
        """How many have connected and not proven who they are."""
        return len(self._strangers)

    async def start(self) -> None:
        """Listen.

        Raises:
            ServiceUnavailable: the address cannot be taken.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*self._files)
        try:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            listening = socket.create_server((self.host, self.port), family=family, backlog=MAX_STRANGERS)
        except OSError as error:
            raise errors.ServiceUnavailable(
                f"the join port {self.host}:{self.port} cannot be taken: {error.strerror or error}"
            ) from error
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._begin(self._accept(listening, context), "accept nodes of other machines")

    def admit(self, connection: Connection) -> None:
        """A stranger has proven who it is."""
        self._strangers.pop(connection, None)
        connection.welcome()

    def is_stranger(self, connection: Connection) -> bool:
        """Whether a connection was accepted here, and not admitted."""
        return connection in self._strangers

    async def close(self) -> None:
        """Listen no more, and close what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        open_ = list(self.connections)
        for connection in open_:
            connection.go_away("the platform is stopping")
            connection.close()
        if open_:
            await asyncio.wait([connection.closed for connection in open_], timeout=1)
        for connection in open_:
            connection.abort()
            await connection.closed

    def _begin(self, work: Coroutine[Any, Any, None], what: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"microlite: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listening)
                except OSError:
                    await asyncio.sleep(0.1)  # out of descriptors, say
                    continue
                origin = str(address[0])
                if self.strangers >= MAX_STRANGERS or list(self._strangers.values()).count(origin) >= MAX_FROM_ONE:
                    accepted.close()
                    continue
                self._strangers[accepted] = origin
                self._begin(self._shake_hands(accepted, origin, context), "shake hands with a node")

    async def _shake_hands(self, accepted: socket.socket, origin: str, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.connect_accepted_socket(
                lambda: _Accepted(self, self._acceptor, self._on_hello, origin),
                accepted,
                ssl=context,
                ssl_handshake_timeout=CONNECT_TIMEOUT,
            )
        except OSError:  # no TLS, or gone again: ssl.SSLError and ConnectionError are of its kind
            accepted.close()
            return
        finally:
            self._strangers.pop(accepted, None)
        await asyncio.wait([connection.closed], timeout=HELLO_TIMEOUT)
        if connection in self._strangers:
            connection.abort()

    def met(self, connection: Connection, origin: str) -> None:
        """The handshake is done."""
        self.connections.add(connection)
        self._strangers[connection] = origin

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._strangers.pop(connection, None)
        if connection in self.connections:
            self.connections.remove(connection)
            self._on_lost(connection)


class _Accepted(Connection):
    __slots__ = ("_listener", "_origin")

    def __init__(
        self, listener: TlsListener, acceptor: Acceptor, on_hello: Callable[[Connection], None], origin: str
    ) -> None:
        super().__init__(
            acceptor,
            dialled=False,
            hello=frames.Hello(frames.VERSION, "platform"),
            on_hello=on_hello,
            on_lost=listener.lost,
            limit=FIRST_FRAME,
        )
        self._listener = listener
        self._origin = origin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._listener.met(self, self._origin)
        super().connection_made(transport)
        Liveness(self)
