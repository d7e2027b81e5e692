"""Whose a schedule is, and with which rights its calls are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from microlite.core import errors
from microlite.core.context import Account
from microlite.core.description.structs import Role
from microlite.core.schedules.api import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from microlite.core.context import Origin
    from microlite.core.description.structs import EndpointDescription
    from microlite.core.policy.permits import Permits
    from microlite.core.schedules.records import OpenRun, Stored

    Resolve: TypeAlias = Callable[[str, str, str], Awaitable[Account | None]]
    """An account as it is now, by namespace, id and type; None for one that is disabled or gone."""


def asking(origin: Origin, account: Account | None) -> Account:
    """As whom a call is made that somebody schedules: without an account, without any rights."""
    return account or Account(id=origin.account or "nobody", type="schedule", namespace=origin.namespace)


def owns(account: Account, stored: Stored) -> bool:
    """Whether a schedule is that of an account: it has added it, or is the service whose it is."""
    if account.is_service and (stored.name.startswith(f"{account.id}:") or stored.source is Source.CODE):
        return account.namespace == stored.account.namespace and account.id in (stored.service, stored.account.id)
    mine = stored.account
    return (account.id, account.type, account.namespace) == (mine.id, mine.type, mine.namespace)


def check_may_change(account: Account, stored: Stored, namespace: str) -> bool:
    """Let an account do something to a schedule. Returns whether it is one of somebody else, which admins may.

    Raises:
        Forbidden: it is that of somebody else.
    """
    if owns(account, stored):
        return False
    if account.is_admin and account.belongs_to(namespace):
        return True
    raise errors.Forbidden(
        f"{stored.name} is a schedule of {stored.owner}: {stored.owner} can change it, and admins of the namespace"
    )


class _Asking(NamedTuple):
    account: Account
    namespace: str


class Authority:
    """Says with which rights a run is made: those that its account has now, and no more than it had when it was added.

    Args:
        permits: the rules.
        describe: an endpoint as it is known, by namespace, service and name.
        resolve: finds accounts; without it they are what they were.
    """

    def __init__(
        self,
        permits: Permits,
        describe: Callable[[str, str, str], EndpointDescription | None],
        resolve: Resolve | None = None,
    ) -> None:
        self._permits = permits
        self._describe = describe
        self._resolve = resolve

    async def account_for(self, namespace: str, one: OpenRun) -> Account:
        """As whom the call of a run is made.

        Raises:
            Forbidden: its account is disabled or gone, or may not call the endpoint any more.
        """
        account = one.account
        if self._resolve is not None and account.type != "schedule":
            found = await self._resolve(account.namespace, account.id, account.type)
            if found is None:
                raise errors.Forbidden(
                    f"the account {account.id!r}, for which {one.run.schedule} runs, is disabled or gone; "
                    "enable it, or have somebody else add the schedule anew"
                )
            if not found.is_service:  # a token that had fewer scopes has added a schedule with fewer
                found = msgspec.structs.replace(found, scopes=tuple(s for s in account.scopes if s in found.scopes))
            account = found
        self.check(namespace, account, one.service, one.endpoint)
        return account

    def check(self, namespace: str, account: Account, service: str, endpoint: str) -> None:
        """Let an account have an endpoint called; one that is not known is checked when it is.

        Raises:
            Unauthorized, Forbidden: it may not call it.
        """
        if account.is_service and account.id == service and account.namespace == namespace:
            return  # what a service has called of itself is its own affair
        description = self._describe(namespace, service, endpoint)
        if description is not None:
            if description.triggers and not Role.SERVICE.admits(account, namespace):
                target = f"{service}.{endpoint}"
                raise errors.Forbidden(f"{target} is called by the platform at its times, and by {Role.SERVICE.people}")
            self._permits.check_call(_Asking(account, namespace), service, description)
