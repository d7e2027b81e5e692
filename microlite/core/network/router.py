"""Sends each call to a node, and again to another where the first provably did not start it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.description.naming import did_you_mean
from microlite.core.network import balancer
from microlite.core.network.local import LocalCalls
from microlite.core.network.relay import Relay
from microlite.core.network.table import Entry, Link, Table
from microlite.core.network.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.rpc.call import Acceptor, Call, Inbound
    from microlite.core.rpc.connection import Connection

MAX_PARKED: Final = 1_024
"""Calls of one service that wait for a node."""

MAX_TRIES: Final = 5
"""Nodes that one call is offered to."""


class Router:
    """The way of every call that leaves this process.

    Used by the platform, whose nodes have dialled it, and by each node for its direct connections, where `dial` opens
    what is not open yet and `fallback` takes what the table does not know.

    Args:
        clock: for the choice between nodes.
        dial: opens the connection of a link, when its first call comes.
        fallback: takes calls of unknown services; without it they end as `ServiceNotFound`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        dial: Callable[[Link], asyncio.Future[Connection]] | None = None,
        fallback: Callable[[Call], None] | None = None,
    ) -> None:
        self._clock = clock
        self._dial = dial
        self._fallback = fallback
        self.loop = asyncio.get_running_loop()
        self._resend = self.resend
        self._here = LocalCalls()
        self.table = Table()

    # -- calls ---------------------------------------------------------------------------------------------------------

    def send(self, call: Call) -> None:
        """Send a call to a node of its service. The outcome comes through the call's own methods."""
        entry = self.table.find(call.namespace or DEFAULT_NAMESPACE, call.service)
        if entry is None or not entry.links:
            self._send_without_node(call, entry)
            return
        links = entry.links
        link = links[0] if len(links) == 1 else balancer.choose(links, self.loop.time(), self._clock.random)
        call.resend = self._resend
        connection = link.connection
        if connection is not None:
            connection.start(call)
        else:
            self._send_undialled(call, link)

    def resend(self, call: Call, reason: str) -> None:
        """Take back a call that a node provably did not start, and offer it to one that was not asked yet."""
        entry = self.table.find(call.namespace or DEFAULT_NAMESPACE, call.service)
        links: list[Link] = []
        if entry is not None:
            links = entry.links = [link for link in entry.links if link.connection is None or link.connection.usable]
        others = [link for link in links if link.connection is None or link.connection not in call.asked]
        if len(call.asked) >= MAX_TRIES or (links and not others):
            call.on_error(errors.ServiceUnavailable(f"no node of {call.service!r} took the call: {reason}"))
        elif others:
            link = balancer.choose(others, self.loop.time(), self._clock.random)
            call.resend = self._resend
            if link.connection is not None:
                link.connection.start(call)
            else:
                self._send_undialled(call, link)
        else:
            self.send(call)

    def accept(self, inbound: Inbound) -> None:
        """Pass a call that came here on to its service: in this process, or to a node (see `Acceptor`)."""
        namespace = inbound.namespace or DEFAULT_NAMESPACE
        entry = self.table.find(namespace, inbound.service) or self.table.find("", inbound.service)
        if entry is not None and entry.local is not None:
            entry.local.accept(inbound)
        else:
            self.send(Relay(inbound, namespace))

    def _send_without_node(self, call: Call, entry: Entry | None) -> None:
        if entry is None:
            local = self.table.find("", call.service)
            if local is not None and local.local is not None:
                self._here.serve(call, local.local)
                return
        if entry is not None and entry.expected:
            self._park(call, entry)
        elif self._fallback is not None:
            self._fallback(call)
        elif entry is not None and entry.reason:
            call.on_error(errors.ServiceUnavailable(f'Service "{call.service}" has no running node: {entry.reason}'))
        else:
            known = (*self.table.entries(call.namespace or DEFAULT_NAMESPACE), *self.table.entries(""))
            names = [other.name for other in known]
            near = did_you_mean(call.service, names)
            call.on_error(errors.ServiceNotFound(f'Service "{call.service}" not found{near}'))

    def _send_undialled(self, call: Call, link: Link) -> None:
        if self._dial is None:
            call.on_error(errors.BadRequest(f"{call.service!r} is an HTTP program; call it over HTTP"))
            return
        self._set_expiry(call)
        waiting = Waiting(call)

        def dialled(future: asyncio.Future[Connection]) -> None:
            if waiting.over:
                return
            if future.cancelled() or future.exception() is not None:
                self.remove_link(link)  # nothing was sent: the next node may have the call, with all that was kept
                waiting.release(self._send_elsewhere)
            else:
                waiting.release(future.result().start)

        self._dial(link).add_done_callback(dialled)

    def _send_elsewhere(self, call: Call) -> None:
        call.asked = (*call.asked, None)
        self.resend(call, "its socket takes no connection")

    def _set_expiry(self, call: Call) -> None:
        if call.expires == 0.0:
            call.expires = self.loop.time() + call.timeout if call.timeout else math.inf

    # -- parking -------------------------------------------------------------------------------------------------------

    def _park(self, call: Call, entry: Entry) -> None:
        if len(entry.parked) >= MAX_PARKED:
            call.on_error(errors.ServiceUnavailable(f"too many calls wait for a node of {call.service!r}; try again"))
            return
        self._set_expiry(call)
        waiting = Waiting(call, entry.parked)
        entry.parked.append(waiting)
        if call.expires != math.inf:
            waiting.timer = self.loop.call_at(call.expires, self._expire_parked, entry, waiting)

    @staticmethod
    def _expire_parked(entry: Entry, waiting: Waiting) -> None:
        reason = f": {entry.reason}" if entry.reason else ""
        waiting.fail(errors.Timeout(f"no node of {waiting.call.service!r} came up in time{reason}"))

    def _flush(self, entry: Entry) -> None:
        while entry.parked and entry.links:
            entry.parked[0].release(self.send)  # which takes it out of the line
        self._wake(entry)

    @staticmethod
    def _wake(entry: Entry) -> None:
        waiters, entry.waiters = entry.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- the table -----------------------------------------------------------------------------------------------------

    def serve_here(self, name: str, acceptor: Acceptor) -> None:
        """Let the calls of a built-in service be served in this process, for every namespace."""
        self.table.ensure("", name).local = acceptor

    def switch(self, namespace: str, name: str, add: list[Link], retire: list[str]) -> list[Link]:
        """Put nodes into the table and take others out, in one turn of the loop, then send on what waited.

        Args:
            add: the nodes that take calls from now on. An older generation of one of them is replaced.
            retire: ids of nodes that take none any more.

        Returns:
            The links that were taken out: it is for the caller to drain them.
        """
        entry = self.table.ensure(namespace, name)
        fresh = {link.node: link for link in add}
        kept, gone = [], []
        for link in entry.links:
            successor = fresh.get(link.node)
            if successor is not None and successor.generation < link.generation:
                del fresh[link.node]
                kept.append(link)
            elif successor is not None or link.node in retire:
                gone.append(link)
            else:
                kept.append(link)
        entry.links = kept + list(fresh.values())
        if entry.links:
            entry.reason = ""
            self._flush(entry)
        self.table.forget_idle(namespace, name)
        return gone

    def remove_link(self, link: Link) -> None:
        """Take a node out that is gone, wherever it stands."""
        for entry in self.table.entries():
            if link in entry.links:
                entry.links.remove(link)
                self.table.forget_idle(entry.namespace, entry.name)

    def expect(self, namespace: str, name: str, expected: bool, reason: str = "") -> None:
        """Say whether a node of a service is on its way: then its calls wait under their deadline instead of failing.

        Args:
            expected: False fails those that wait.
            reason: why there is none, in words for the caller; with `expected` it completes a time-out.
        """
        entry = self.table.ensure(namespace, name)
        entry.expected = expected
        entry.reason = reason
        if not expected:
            for waiting in list(entry.parked):
                waiting.release(self.send)  # which tells it that there is none, and why
            self._wake(entry)
            self.table.forget_idle(namespace, name)

    async def acquire(self, namespace: str, name: str, timeout: float = 30.0) -> Link:
        """The way to a node that is reached over HTTP, waiting for one that is expected. Give it back by `release`.

        Raises:
            ServiceUnavailable: there is none.
        """
        deadline = self.loop.time() + timeout
        while True:
            entry = self.table.find(namespace, name)
            if entry is not None and entry.links:
                link = balancer.choose(entry.links, self.loop.time(), self._clock.random)
                link.leases += 1
                return link
            if entry is None:
                raise errors.ServiceNotFound(f'Service "{name}" not found')
            if not entry.expected:
                reason = f": {entry.reason}" if entry.reason else ""
                raise errors.ServiceUnavailable(f'Service "{name}" has no running node{reason}')
            if len(entry.waiters) >= MAX_PARKED:
                raise errors.ServiceUnavailable(f"too many requests wait for a node of {name!r}; try again")
            waiter = self.loop.create_future()
            entry.waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter, deadline - self.loop.time())
            except TimeoutError:
                raise errors.Timeout(f"no node of {name!r} came up in time") from None
            finally:
                if waiter in entry.waiters:
                    entry.waiters.remove(waiter)

    def release(self, link: Link) -> None:
        """An HTTP request on this node has ended."""
        link.release()
