"""The registrations that hold now, each for as long as its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.registry.api import Action, Event, Registration, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.description.structs import ServiceDescription
    from microlite.core.rpc.connection import Connection


class Lease:
    """One registration and the connection that it hangs on; None for a program that the runtime vouches for."""

    __slots__ = ("connection", "registration")

    def __init__(self, registration: Registration, connection: Connection | None) -> None:
        self.registration = registration
        self.connection = connection


class Registry:
    """All registrations of all namespaces, in memory: what is not connected is not there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._built_in: dict[str, ServiceDescription] = {}
        self._leases: dict[tuple[str, str], Lease] = {}
        self._listeners: list[Callable[[Action, Lease], None]] = []
        self._watchers: set[Callable[[str, Event], None]] = set()

    def subscribe(self, listener: Callable[[Action, Lease], None]) -> None:
        """Call `listener` after each change, in this turn of the loop."""
        self._listeners.append(listener)

    def watch(self, watcher: Callable[[str, Event], None]) -> Callable[[], None]:
        """Call `watcher` with the namespace and the event of each change. Returns the way to stop it."""
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    def add_built_in(self, description: ServiceDescription) -> None:
        """Enter a service that the platform itself serves, in every namespace."""
        self._built_in[description.name] = description

    def register(self, registration: Registration, connection: Connection | None) -> Lease:
        """Enter a node, until its connection breaks or it is deregistered.

        Raises:
            Conflict: a later generation of the same node is registered, or another process holds the same one.
        """
        key = (registration.namespace, registration.node.id)
        present = self._leases.get(key)
        if present is not None:
            generation = present.registration.node.generation
            if generation > registration.node.generation:
                raise errors.Conflict(
                    f"node {registration.node.id} is registered in generation {generation}, "
                    f"later than {registration.node.generation}"
                )
            if generation == registration.node.generation and present.connection is not connection:
                raise errors.Conflict(f"node {registration.node.id} is registered by another process")
        lease = Lease(registration, connection)
        self._leases[key] = lease
        if connection is not None and (present is None or present.connection is not connection):
            connection.add_lost_callback(lambda _: self.deregister(lease))
        self._tell(Action.UPDATE if present is not None else Action.CREATE, lease)
        return lease

    def deregister(self, lease: Lease) -> None:
        """Take a registration back. One that a later generation has replaced is already gone, and nothing happens."""
        key = (lease.registration.namespace, lease.registration.node.id)
        if self._leases.get(key) is lease:
            del self._leases[key]
            self._tell(Action.DELETE, lease)

    def find(self, namespace: str, node: str) -> Lease | None:
        """The current registration of a node."""
        return self._leases.get((namespace, node))

    def leases_of(self, connection: Connection) -> list[Lease]:
        """What hangs on a connection."""
        return [lease for lease in self._leases.values() if lease.connection is connection]

    def services(self, namespace: str, *, built_in: bool = False) -> list[ServiceRecord]:
        """All services that the namespace sees, by name and version."""
        found: dict[tuple[str, str], list[Lease]] = {}
        for lease in self._leases.values():
            registration = lease.registration
            if registration.namespace == namespace:
                found.setdefault((registration.service.name, registration.service.version), []).append(lease)
        records = [_record(leases) for leases in found.values()]
        if built_in:
            records += [_built_in(description) for description in self._built_in.values()]
        return sorted(records, key=lambda record: (record.name, record.version))

    def get(self, namespace: str, name: str) -> list[ServiceRecord]:
        """One record for each version of a service.

        Raises:
            ServiceNotFound: no node of it is registered.
        """
        if name in self._built_in:
            return [_built_in(self._built_in[name])]
        found = [record for record in self.services(namespace) if record.name == name]
        if not found:
            raise errors.ServiceNotFound(f'Service "{name}" not found')
        return found

    def _tell(self, action: Action, lease: Lease) -> None:
        for listener in self._listeners:
            listener(action, lease)
        if self._watchers:
            event = Event(action=action, service=_record([lease]), node=lease.registration.node, at=self._clock.now())
            for watcher in list(self._watchers):
                watcher(lease.registration.namespace, event)


def _record(leases: list[Lease]) -> ServiceRecord:
    latest = max(leases, key=lambda lease: lease.registration.node.started).registration.service
    return ServiceRecord(
        name=latest.name,
        version=latest.version,
        doc=latest.doc,
        metadata=latest.metadata,
        endpoints=latest.endpoints,
        nodes=tuple(sorted((lease.registration.node for lease in leases), key=lambda node: node.id)),
    )


def _built_in(description: ServiceDescription) -> ServiceRecord:
    return ServiceRecord(
        name=description.name,
        version=description.version,
        doc=description.doc,
        built_in=True,
        metadata=description.metadata,
        endpoints=description.endpoints,
    )
