"""The registrations that hold now, each for as long as its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.description.claims import check_claims
from microlite.core.description.naming import check_service_name, did_you_mean
from microlite.core.registry.api import Action, Event, Registration, ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.clock import Clock
    from microlite.core.description.structs import ServiceDescription
    from microlite.core.registry.api import Tenants
    from microlite.core.rpc.connection import Connection


class Lease:
    """One registration and the connection that it hangs on; None for a program that the runtime vouches for."""

    __slots__ = ("connection", "registration")

    def __init__(self, registration: Registration, connection: Connection | None) -> None:
        self.registration = registration
        self.connection = connection


class Registry:
    """All registrations of all namespaces, in memory: what is not connected is not there.

    While a node is replaced, two generations of it are registered side by side. Each ends by itself; the later one is
    what is shown. So a late old one neither deletes nor overwrites its successor, and a successor that fails leaves the
    old one as it was.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tenants: Tenants | None = None
        """What says which namespaces there are, and how many nodes each may have; none for any."""
        self._built_in: dict[str, ServiceDescription] = {}
        self._nodes: dict[tuple[str, str], list[Lease]] = {}  # the generations of each node, the latest last
        self._connections: dict[Connection, set[Lease]] = {}
        self._confined: dict[Connection, Callable[[Registration], Registration]] = {}
        self._listeners: list[Callable[[Action, Lease], None]] = []
        self._watchers: set[Callable[[str, Event], None]] = set()

    def subscribe(self, listener: Callable[[Action, Lease], None]) -> None:
        """Call `listener` after each change, in this turn of the loop, with the lease that came or went.

        It hears of each generation by itself: `UPDATE` for one that joins an earlier one, `DELETE` for each that ends.
        """
        self._listeners.append(listener)

    def watch(self, watcher: Callable[[str, Event], None]) -> Callable[[], None]:
        """Call `watcher` with the namespace and the event of each change of a node. Returns the way to stop it."""
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    def add_built_in(self, description: ServiceDescription) -> None:
        """Enter a service that the platform itself serves, in every namespace."""
        self._built_in[description.name] = description

    def built_in(self, name: str) -> ServiceDescription | None:
        """The description of a service that the platform itself serves."""
        return self._built_in.get(name)

    def confine(self, connection: Connection, check: Callable[[Registration], Registration]) -> None:
        """Have `check` say what is entered of each registration over a connection, or refuse it."""
        self._confined[connection] = check
        connection.add_lost_callback(self._free)

    def _free(self, connection: Connection) -> None:
        self._confined.pop(connection, None)

    def register(self, registration: Registration, connection: Connection | None) -> Lease:
        """Enter a node, until its connection breaks or it is deregistered.

        Raises:
            Forbidden: the connection may not register that.
            BadRequest: the service's name is none, or one of the platform's own; or it claims what is not its own.
            Conflict: a later generation of the same node is registered, or another process holds the same one.
            NotFound: there is no such namespace.
            TooManyRequests: the namespace has as many nodes as it may.
        """
        if connection in self._confined:
            registration = self._confined[connection](registration)
        name, node = registration.service.name, registration.node
        if check_service_name(name, versioned=True) != name:
            raise errors.BadRequest(f"a service registers by its normalised name, and {name!r} is not normalised")
        check_claims(registration.service)
        key = (registration.namespace, node.id)
        generations = self._nodes.get(key, [])
        latest = generations[-1] if generations else None
        if self.tenants is not None:
            namespace, more = registration.namespace, latest is None
            self.tenants.check_nodes(namespace, lambda: self.count(namespace) + more)
        if latest is not None:
            generation = latest.registration.node.generation
            if generation > node.generation:
                raise errors.Conflict(
                    f"node {node.id} is registered in generation {generation}, later than {node.generation}"
                )
            if generation == node.generation:
                if latest.connection is not connection:
                    raise errors.Conflict(f"node {node.id} is registered by another process")
                generations.remove(latest)  # it says something new about itself
                self._unbind(latest)
        lease = Lease(registration, connection)
        generations.append(lease)
        self._nodes[key] = generations
        self._tell(Action.UPDATE if latest is not None else Action.CREATE, lease)
        self._announce(Action.UPDATE if latest is not None else Action.CREATE, lease)
        if connection is not None:
            self._bind(lease, connection)
        return lease

    def deregister(self, lease: Lease) -> None:
        """Take a registration back. Harmless if it was taken back before; other generations of its node stay."""
        key = (lease.registration.namespace, lease.registration.node.id)
        generations = self._nodes.get(key, [])
        if lease not in generations:
            return
        was_latest = generations[-1] is lease
        generations.remove(lease)
        if not generations:
            del self._nodes[key]
        self._unbind(lease)
        self._tell(Action.DELETE, lease)
        if not generations:
            self._announce(Action.DELETE, lease)
        elif was_latest:
            self._announce(Action.UPDATE, generations[-1])

    def find(self, namespace: str, node: str) -> Lease | None:
        """The registration of a node's latest generation."""
        generations = self._nodes.get((namespace, node))
        return generations[-1] if generations else None

    def count(self, namespace: str) -> int:
        """How many nodes a namespace has; of each only one generation counts."""
        return sum(where == namespace for where, _ in self._nodes)

    def nodes_of(self, namespace: str) -> dict[str, list[str]]:
        """The ids of all nodes of a namespace, by service."""
        found: dict[str, list[str]] = {}
        for (where, node), generations in self._nodes.items():
            if where == namespace:
                found.setdefault(generations[-1].registration.service.name, []).append(node)
        return found

    def expel(self, namespace: str) -> None:
        """Take all nodes of a namespace out, which is being deleted, and cut their connections."""
        for key in [key for key in self._nodes if key[0] == namespace]:
            for lease in list(self._nodes.get(key, ())):
                self.deregister(lease)
                if lease.connection is not None:
                    lease.connection.close()

    def leases_of(self, connection: Connection) -> list[Lease]:
        """What hangs on a connection."""
        return list(self._connections.get(connection, ()))

    def services(self, namespace: str, *, built_in: bool = False) -> list[ServiceRecord]:
        """All services that the namespace sees, by name and version."""
        found: dict[tuple[str, str], list[Lease]] = {}
        for generations in self._nodes.values():
            registration = generations[-1].registration
            if registration.namespace == namespace:
                found.setdefault((registration.service.name, registration.service.version), []).append(generations[-1])
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
            names = [*(record.name for record in self.services(namespace)), *self._built_in]
            raise errors.ServiceNotFound(f'Service "{name}" not found{did_you_mean(name, names)}')
        return found

    def _bind(self, lease: Lease, connection: Connection) -> None:
        held = self._connections.get(connection)
        if held is not None:
            held.add(lease)
            return
        self._connections[connection] = {lease}
        connection.add_lost_callback(self._on_lost)  # at once, where it is lost already

    def _unbind(self, lease: Lease) -> None:
        if lease.connection is not None:
            self._connections.get(lease.connection, set()).discard(lease)

    def _on_lost(self, connection: Connection) -> None:
        for lease in self.leases_of(connection):
            self.deregister(lease)
        self._connections.pop(connection, None)

    def _tell(self, action: Action, lease: Lease) -> None:
        for listener in self._listeners:
            listener(action, lease)

    def _announce(self, action: Action, lease: Lease) -> None:
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
        publishes=latest.publishes,
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
