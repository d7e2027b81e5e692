"""What stands between the platform's sockets and its services: each call is looked at here before it goes anywhere."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.auth.authority import resolved
from microlite.core.context import DEFAULT_NAMESPACE, NOBODY
from microlite.core.rpc.early import Early
from microlite.core.rpc.inbound import WireInbound

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.auth.authority import Authority
    from microlite.core.context import Account
    from microlite.core.rpc.call import Acceptor, Call, Inbound

MAX_WAITING: Final = 1_024
"""Calls that wait at the same time for a token to be looked at."""


class Guard:
    """The acceptor of the platform's connections (see `rpc.connection.Acceptor`).

    Args:
        authority: decides.
        behind: serves what may pass.
        send: takes a call of this process.
    """

    def __init__(self, authority: Authority, behind: Acceptor, send: Callable[[Call], None]) -> None:
        self._authority = authority
        self._send = send
        self._known = authority.known
        self._behind = behind
        self._waiting: set[asyncio.Task[None]] = set()

    def accept(self, inbound: Inbound) -> None:
        """See `Acceptor`."""
        token = inbound.token
        if token and token != NOBODY:
            account = self._known(token)
            if account is None:
                self._look_at(inbound)
                return
            inbound.account = account
        self._pass(inbound, inbound.account)

    def _pass(self, inbound: Inbound, account: Account | None) -> None:
        namespace = inbound.namespace = inbound.namespace or DEFAULT_NAMESPACE
        service, authority, shown = inbound.service, self._authority, inbound.token
        try:
            endpoint = inbound.endpoint = resolved(service, inbound.endpoint)
            authority.check(account, namespace, service, endpoint)
            inbound.token = authority.travelling(account, inbound.token, service)
        except errors.Error as error:
            inbound.fail(error)
            return
        if (inbound.credit or inbound.expires == math.inf) and isinstance(inbound, WireInbound):
            authority.stands(account, shown, namespace, service, endpoint, inbound.cut, lambda: inbound.done)
        self._behind.accept(inbound)

    def send(self, call: Call) -> None:
        """Send a call that is made in this process for somebody, as the dashboard does, if he may make it."""
        namespace = call.namespace = call.namespace or DEFAULT_NAMESPACE
        try:
            call.endpoint = resolved(call.service, call.endpoint)
            self._authority.check(call.account, namespace, call.service, call.endpoint)
            call.token = self._authority.travelling(call.account, call.token, call.service)
        except errors.Error as error:
            call.on_error(error)
        else:
            self._send(call)

    # -- tokens that were not seen before ------------------------------------------------------------------------------

    def _look_at(self, inbound: Inbound) -> None:
        if len(self._waiting) >= MAX_WAITING:
            inbound.fail(errors.TooManyRequests("too many tokens are being looked at; try again"))
            return
        early = Early()
        inbound.receiver = early
        task = asyncio.get_running_loop().create_task(
            self._authenticate(inbound, early), name="microlite: authenticate"
        )
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _authenticate(self, inbound: Inbound, early: Early) -> None:
        try:
            await self._authority.tokens.authenticate(inbound.token)
            account = self._known(inbound.token)
            if account is None:
                raise errors.Unauthorized("the token holds no more; log in again")
        except errors.Error as error:
            inbound.fail(error)
            return
        if inbound.done:
            return
        if early.canceled:
            inbound.refuse("more was sent than there is room for")
            return
        inbound.account = account
        inbound.receiver = None
        self._pass(inbound, account)
        early.hand_on(inbound)

    async def close(self) -> None:
        """Wait for no token any more."""
        for task in list(self._waiting):
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
