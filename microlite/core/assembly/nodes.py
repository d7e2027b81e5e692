"""What the platform needs in order to know its nodes: tickets, join tokens, and the doors at which they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core.assembly.admission import Admission
from microlite.core.auth.join_certificate import JoinCertificate
from microlite.core.auth.join_tokens import JoinTokens
from microlite.core.auth.ticket_signer import KeySigner
from microlite.core.auth.tickets import Tickets

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from microlite.core.assembly.sessions import Sessions
    from microlite.core.auth.keys import Keys
    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.engine.api import Engine
    from microlite.core.rpc.call import Acceptor
    from microlite.core.rpc.connection import Connection
    from microlite.core.rpc.tls import TlsListener
    from microlite.core.settings import ServerOptions


class Nodes:
    """Tickets, join tokens and admission of one platform.

    Args:
        options: say whether there is a join port.
        engine: keeps the join tokens.
        keys: sign the tickets.
        clock: says when they expire.
        sessions: are told of connections of this machine.
        revoke: is told each mark that is not to be believed any more, and until when tickets with it are out.
        account_of: the account of a service, given namespace and name.

    Attributes:
        join_port: the port at which nodes of other machines join; 0 where there is none.
    """

    def __init__(
        self,
        options: ServerOptions,
        engine: Engine,
        keys: Keys,
        clock: Clock,
        sessions: Sessions,
        *,
        revoke: Callable[[str, float], None] | None = None,
        account_of: Callable[[str, str], Account] | None = None,
    ) -> None:
        self._options = options
        self._sessions = sessions
        self._listener: TlsListener | None = None
        self._certificate = JoinCertificate(options.home)
        self.tickets = Tickets(KeySigner(keys), clock, revoke, account_of)
        self.join_tokens = JoinTokens(engine, clock, self._certificate.fingerprint, self._deleted)
        self.admission = Admission(self.tickets, self.join_tokens)
        self.join_port = 0

    def on_hello(self, connection: Connection) -> None:
        """Somebody has said hello at the Unix socket."""
        if self.admission.on_local(connection):
            self._sessions.on_hello(connection)

    async def open(self, acceptor: Acceptor, stack: AsyncExitStack) -> None:
        """Open the join port, if there is to be one; the stack closes it.

        Raises:
            ServiceUnavailable: it is taken.
        """
        stack.push_async_callback(self.admission.close)
        options = self._options
        if options.join_port is None:
            return
        from microlite.core.rpc.tls import TlsListener  # it loads OpenSSL

        self._certificate.ensure()
        self._listener = TlsListener(
            options.join_host,
            options.join_port,
            acceptor,
            certificate=self._certificate.certificate,
            key=self._certificate.key,
            on_hello=self._on_remote,
            on_lost=lambda _: None,
        )
        await self._listener.start()
        stack.push_async_callback(self._listener.close)
        self.join_port = self._listener.port

    def _on_remote(self, connection: Connection) -> None:
        assert self._listener is not None
        self.admission.on_remote(connection, self._listener)

    def _deleted(self, namespace: str, token: str) -> None:
        self.admission.cut_off(namespace, token)
