"""What the platform needs in order to know its nodes: tickets, join tokens, and the doors at which they arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core.assembly.admission import Admission, turn_away
from microlite.core.assembly.service_accounts import ServiceAccounts
from microlite.core.auth.join_certificate import JoinCertificate
from microlite.core.auth.join_tokens import JoinTokens
from microlite.core.auth.ticket_signer import KeySigner
from microlite.core.auth.tickets import Tickets, join_mark

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from microlite.core.assembly.sessions import Sessions
    from microlite.core.auth.identities import Identities
    from microlite.core.clock import Clock
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
        identities: have the keys that sign tickets, and spread what holds no more.
        clock: says when they expire.
        sessions: are told of connections of this machine.

    Attributes:
        join_port: the port at which nodes of other machines join; 0 where there is none.
    """

    def __init__(
        self,
        options: ServerOptions,
        engine: Engine,
        identities: Identities,
        clock: Clock,
        sessions: Sessions,
    ) -> None:
        self._options = options
        self._sessions = sessions
        self._identities = identities
        self._revoking: set[asyncio.Task[None]] = set()
        self._listener: TlsListener | None = None
        self._certificate = JoinCertificate(options.home)
        self._accounts = ServiceAccounts(identities.accounts, identities.marks, turn_away)
        self.tickets = Tickets(KeySigner(identities.keys), clock, self._revoke_soon)
        self.join_tokens = JoinTokens(engine, clock, self._certificate.fingerprint, self._deleted)
        self.admission = Admission(self.tickets, self.join_tokens, self._accounts.endow)
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
        stack.push_async_callback(self._told)
        stack.push_async_callback(self._accounts.close)
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

    async def _deleted(self, namespace: str, token: str) -> None:
        self.admission.cut_off(namespace, token)
        await self._identities.policies.revoke((join_mark(namespace, token),))

    def _revoke_soon(self, mark: str) -> None:
        revoking = asyncio.get_running_loop().create_task(
            self._identities.policies.revoke((mark,)), name="microlite: tell of a node that has ended"
        )
        self._revoking.add(revoking)
        revoking.add_done_callback(self._revoking.discard)

    async def _told(self) -> None:
        await asyncio.gather(*self._revoking, return_exceptions=True)
