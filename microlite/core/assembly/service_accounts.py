"""What more a service may do as itself: the scopes of the account record that carries its name, if there is one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.auth.marks import account_mark
from microlite.core.context import SERVICE, service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from microlite.core.auth.accounts import Accounts
    from microlite.core.auth.marks import Marks
    from microlite.core.rpc.connection import Connection


class ServiceAccounts:
    """Gives each connection of a node the account of its service, and follows what becomes of that.

    A record that is made for a service whose nodes are connected already counts for those that connect from then on.

    Args:
        accounts: have the records.
        marks: tell when one has changed.
        refuse: turns a connection away whose account is disabled.
    """

    def __init__(self, accounts: Accounts, marks: Marks, refuse: Callable[[Connection, errors.Error], None]) -> None:
        self._accounts = accounts
        self._refuse = refuse
        self._by_mark: dict[str, set[Connection]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        marks.subscribe(self._on_revoked)

    async def endow(self, connection: Connection) -> None:
        """Give it its account. Until then it has the one that every service has."""
        namespace, service = connection.namespace, connection.service
        stored = await self._accounts.find(namespace, service)
        if stored is None or stored.type != SERVICE or connection.closed.done():
            return
        if stored.disabled:
            self._refuse(connection, errors.Forbidden(f"the account of the service {service!r} is disabled"))
            return
        mark = account_mark(stored.stamp)
        connection.account = stored.account(namespace)
        connection.marks = (*connection.marks, mark)
        self._by_mark.setdefault(mark, set()).add(connection)
        connection.add_lost_callback(lambda lost: self._forget(mark, lost))

    def _on_revoked(self, marks: Sequence[str]) -> None:
        for mark in marks:
            for connection in self._by_mark.pop(mark, set()):
                connection.account = service_account(connection.service, connection.namespace)
                connection.marks = tuple(one for one in connection.marks if one != mark)
                task = connection.loop.create_task(self.endow(connection), name="microlite: look at an account again")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _forget(self, mark: str, connection: Connection) -> None:
        held = self._by_mark.get(mark)
        if held is not None:
            held.discard(connection)
            if not held:
                del self._by_mark[mark]

    async def close(self) -> None:
        """Look at nothing any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
