"""Keeps the gateway's path table to what takes calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microlite.core.description import ServiceDescription
    from microlite.core.network.api import Route
    from microlite.core.network.membership import Membership
    from microlite.web.gateway.table import PathTable


class PathFeed:
    """Enters a service when its first node takes calls, and takes it out when none does and none is on its way.

    While a service is being restarted its paths stay, so that requests wait for it instead of finding nothing. One that
    comes up for the first time has none yet: requests wait until they are known, see `Arrivals`.
    """

    def __init__(self, membership: Membership, table: PathTable) -> None:
        self._membership = membership
        self._table = table
        self._known: dict[tuple[str, str], ServiceDescription] = {}
        membership.watch(self._on_route)

    def _on_route(self, route: Route) -> None:
        key = (route.namespace, route.service)
        if route.nodes:
            description = self._membership.describe(*key)
            if description is not None and self._known.get(key) != description:
                self._known[key] = description
                self._table.update(route.namespace, description)
            self._table.arrivals.forget(*key)
            return
        expected, reason = self._membership.outlook(*key)
        if key in self._known:
            if not (expected or reason):
                del self._known[key]
                self._table.remove(*key)
        elif expected:
            self._table.arrivals.expect(*key, reason)
        elif reason:
            self._table.arrivals.fail(*key, reason)
        else:
            self._table.arrivals.forget(*key)
