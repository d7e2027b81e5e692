"""The prompt's own way to the platform: a connection for calls, on a loop of its own, that is renewed when it broke."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from microlite.cli.failure import CommandError
from microlite.cli.identity import find_identity
from microlite.cli.link import connect
from microlite.core import errors
from microlite.core.clock import SystemClock
from microlite.core.library.caller import Caller
from microlite.core.library.peers import Peers, RefuseCalls
from microlite.core.rpc.paths import platform_socket
from microlite.core.rpc.sockets import dial

if TYPE_CHECKING:
    from microlite.cli.identity import Identity
    from microlite.cli.options import Options
    from microlite.core.rpc.connection import Connection


class Line:
    """Makes calls for objects at the prompt. Everything but `options` belongs to the loop's thread.

    Args:
        options: the global ones: which home, whose services.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._connection: Connection | None = None
        self._peers: Peers | None = None
        self._turn = asyncio.Lock()  # calls that are made at once dial once
        self._identity: Identity | None = None

    async def caller(self) -> Caller:
        """What makes calls, over a connection that holds.

        Raises:
            ServiceUnavailable: no platform runs.
            CommandError: the log-in has ended.
        """
        async with self._turn:
            token = await self._token()
            if self._connection is None or self._connection.closed.done():
                await self.close()
                connection = await dial(str(platform_socket(self.options.home)), RefuseCalls(), role="client")
                self._connection = connection
                self._peers = Peers(connection, namespace=self.options.namespace, node="shell", clock=SystemClock())
            assert self._peers is not None, "it is made with the connection"
            return Caller(self._peers, namespace=self.options.namespace, token=token)

    async def _token(self) -> str:
        """The token of the account as which the prompt acts, renewed where that is due; empty without a log-in."""
        identity = self._identity
        if identity is None:
            identity = self._identity = find_identity(self.options)
        if identity.log_in is not None and not identity.log_in.is_due(time.time()):
            return identity.log_in.access_token
        if identity.log_in is None and not self.options.token:
            return ""
        return await asyncio.to_thread(self._ask_token, identity)

    async def explain(self, error: errors.Unauthorized) -> Exception:
        """What to raise where a call was refused for want of an account: whether the log-in has ended."""
        identity = self._identity
        if identity is None:
            return error
        return await asyncio.to_thread(self._ask_why, identity, error)

    def _ask_why(self, identity: Identity, error: errors.Unauthorized) -> Exception:
        try:
            with connect(self.options, identity=identity) as link:
                return link.explain(error)
        except CommandError:
            return error

    def _ask_token(self, identity: Identity) -> str:
        with connect(self.options, identity=identity) as link:
            return link.token

    async def close(self) -> None:
        """Let go of the connection, if there is one."""
        peers, connection = self._peers, self._connection
        self._peers = self._connection = None
        if peers is not None:
            await peers.close()
        if connection is not None:
            connection.close()
            await asyncio.wait([connection.closed], timeout=1)
            connection.abort()
