"""Who may have which parts of a transaction: whoever could make the same change by a call of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.policy.rules import ResourceType
from microlite.core.store.places import blob_name, table_name
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description.structs import EndpointDescription, ServiceDescription
    from microlite.core.policy.permits import Permits
    from microlite.core.tx.plans import Asker

SAME: Final[dict[type[api.Operation], tuple[str, str]]] = {
    api.StoreWrite: ("store", "write"),
    api.StoreDelete: ("store", "delete"),
    api.StoreExpect: ("store", "read"),
    api.BlobPublish: ("store", "blobs.publish"),
    api.BlobDelete: ("store", "blobs.delete"),
    api.EventsPublish: ("events", "publish"),
    api.EventsAck: ("events", "ack"),
    api.ConfigSet: ("config", "set"),
    api.ConfigUnset: ("config", "unset"),
    api.SchedulesAdd: ("schedules", "add"),
    api.SchedulesCancel: ("schedules", "cancel"),
}
"""The endpoint that does the same as a part, alone."""


class CallGate:
    """Asks for each part what is asked when its endpoint is called; see `plans.Gate`.

    Args:
        permits: the rules.
        describe: gives what a built-in service says of itself, with the least role of each endpoint.
    """

    def __init__(self, permits: Permits, describe: Callable[[str], ServiceDescription | None]) -> None:
        self._permits = permits
        self._describe = describe
        self._known: dict[tuple[str, str], EndpointDescription] = {}

    def check(self, asker: Asker, part: api.Operation) -> None:
        """See `plans.Gate`."""
        service, endpoint = SAME[type(part)]
        self._permits.check_call(asker, service, self._description(service, endpoint))
        check, origin = self._permits.check, asker.origin
        match part:
            case api.StoreWrite():
                check(asker, ResourceType.TABLE, table_name(origin, part.database, part.table), "write")
            case api.StoreDelete():
                check(asker, ResourceType.TABLE, table_name(origin, part.database, part.table), "delete")
            case api.StoreExpect():
                check(asker, ResourceType.TABLE, table_name(origin, part.database, part.table), "read")
            case api.BlobPublish():
                check(asker, ResourceType.TABLE, blob_name(origin, part.database, part.name), "write")
            case api.BlobDelete():
                check(asker, ResourceType.TABLE, blob_name(origin, part.database, part.name), "delete")
            case api.EventsPublish():
                check(asker, ResourceType.TOPIC, part.topic, "publish")
            case api.EventsAck():
                check(asker, ResourceType.TOPIC, part.delivery.partition("/")[0], "subscribe")

    def check_setting(self, asker: Asker, path: str) -> None:
        """See `plans.Gate`."""
        self._permits.check(asker, ResourceType.CONFIG, path, "write")

    def _description(self, service: str, endpoint: str) -> EndpointDescription:
        found = self._known.get((service, endpoint))
        if found is None:
            description = self._describe(service)
            found = description.endpoint(endpoint) if description is not None else None
            if found is None:
                raise errors.ServiceUnavailable(f"{service}.{endpoint} is not there yet; try again")
            self._known[service, endpoint] = found
        return found
