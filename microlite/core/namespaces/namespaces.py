"""The namespaces of a platform: kept in its own records, and all of them at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE, PLATFORM_NAMESPACE
from microlite.core.engine.api import Batch, Delete, Presence, Put
from microlite.core.namespaces.api import Limits, Namespace
from microlite.core.namespaces.hosts import HostNames
from microlite.core.namespaces.names import check_hosts, check_name
from microlite.core.namespaces.quotas import TokenBucket, bucket_of, quota_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.context import Origin
    from microlite.core.engine.api import Engine, Operation

BUCKET: Final = "namespaces"
"""The records of namespaces, by name, in the platform's own namespace."""

MOST: Final = 10_000
"""Namespaces that a platform can have: all of them are in memory."""


class Namespaces:
    """Which namespaces there are, and what each may use. `open` comes first.

    Attributes:
        hosts: which hosts stand for which.

    Args:
        engine: keeps them, and holds them to their quotas.
        clock: for rates, and when one was made.
        audit: tells who has made, changed and deleted one.
    """

    def __init__(self, engine: Engine, clock: Clock, audit: Audit) -> None:
        self._engine = engine
        self._clock = clock
        self._audit = audit
        self._known: dict[str, Namespace] = {}
        self._free: set[str] = set()  # those that take calls, any number of them
        self._buckets: dict[str, TokenBucket] = {}
        self.hosts = HostNames()

    async def open(self, before: Iterable[str] = ()) -> None:
        """Read all. `default` is always there.

        Args:
            before: names that were in use before namespaces were made one by one; entered when there is none yet.
        """
        after: str | None = ""
        while after is not None:
            page = await self._engine.scan(PLATFORM_NAMESPACE, BUCKET, after=after, limit=1000)
            after = page.cursor
            for record in page.records:
                namespace = msgspec.msgpack.decode(record.value, type=Namespace)
                self._known[namespace.name] = namespace
        if DEFAULT_NAMESPACE not in self._known:
            used = {DEFAULT_NAMESPACE, *self._engine.used_namespaces(), *before} - {PLATFORM_NAMESPACE}
            made = [Namespace(name=name, created=self._clock.now()) for name in sorted(used)]
            for start in range(0, len(made), 500):
                await self._commit(*(_put(one) for one in made[start : start + 500]))
            self._known.update({one.name: one for one in made})
        for namespace in self._known.values():
            self._hold(namespace)
        self.hosts.set(self._known.values())

    # -- asked with each call ------------------------------------------------------------------------------------------

    def check(self, namespace: str) -> None:
        """Refuse a namespace that is not there; from memory.

        Raises:
            NotFound: there is none of this name, or it is being deleted.
            Forbidden: it is the platform's own, which nobody names.
        """
        found = self._known.get(namespace)
        if found is not None and not found.deleting:
            return
        if found is not None:
            raise errors.NotFound(f'the namespace "{namespace}" is being deleted')
        if namespace == PLATFORM_NAMESPACE:
            raise errors.Forbidden(
                f"the namespace {namespace!r} is the platform's own: it has accounts, and nothing else; "
                "name another one, such as default"
            )
        raise errors.NotFound(missing(namespace))

    def admit(self, namespace: str) -> None:
        """Count a call of a namespace.

        Raises:
            NotFound: there is no such namespace, or it is being deleted.
            Forbidden: it is the platform's own.
            TooManyRequests: it has made as many calls as it may.
        """
        if namespace in self._free:
            return
        bucket = self._buckets.get(namespace)
        if bucket is None:
            self.check(namespace)
        elif not bucket.take():
            rate = self._known[namespace].limits.rate
            raise errors.TooManyRequests(
                f'the namespace "{namespace}" may make {rate:g} calls a second: try again in a second, or ask an admin of '
                f"the platform for more: microlite namespace set {namespace} --max-rate N"
            )

    def check_nodes(self, namespace: str, count: Callable[[], int]) -> None:
        """Refuse what would give a namespace more nodes than it may have.

        Args:
            count: how many it would have; asked where there is a limit.

        Raises:
            NotFound: there is no such namespace, or it is being deleted.
            TooManyRequests: they are too many.
        """
        self.check(namespace)
        most = self._known[namespace].limits.nodes
        if most and (wanted := count()) > most:
            raise errors.TooManyRequests(
                f'the namespace "{namespace}" may have {most} node{"s" if most > 1 else ""}, and this would make it '
                f"{wanted}: end a service with microlite kill, or ask an admin of the platform for more: "
                f"microlite namespace set {namespace} --max-nodes N"
            )

    def refused(self, namespace: str) -> int:
        """Calls that were refused for their rate."""
        bucket = self._buckets.get(namespace)
        return bucket.refused if bucket is not None else 0

    # -- looked at and changed -----------------------------------------------------------------------------------------

    def all(self) -> list[Namespace]:
        """All, by name; `default` first."""
        return sorted(self._known.values(), key=lambda one: (one.name != DEFAULT_NAMESPACE, one.name))

    def get(self, name: str) -> Namespace:
        """One of them, also while it is being deleted.

        Raises:
            NotFound: there is none of this name.
        """
        found = self._known.get(name)
        if found is None:
            raise errors.NotFound(missing(name))
        return found

    async def create(
        self, origin: Origin, name: str, limits: Limits | None = None, hosts: list[str] | None = None
    ) -> Namespace:
        """Make one.

        Raises:
            BadRequest: the name, a host or a limit cannot be.
            Conflict: there is one, or a host stands for another.
            TooManyRequests: there are as many as there can be.
        """
        check_name(name)
        namespace = Namespace(
            name=name,
            created=self._clock.now(),
            created_by=origin.account,
            hosts=self._free_hosts(name, hosts or []),
            limits=limits or Limits(),
        )
        present = self._known.get(name)
        if present is not None:
            raise errors.Conflict(
                f'the namespace "{name}" is still being deleted; try again when that is done'
                if present.deleting
                else f'the namespace "{name}" exists already'
            )
        if len(self._known) >= MOST:
            raise errors.TooManyRequests(f"there are {MOST:,} namespaces, which is the most; delete one first")
        try:
            await self._keep(namespace, origin, "create", Presence.ABSENT)
        except errors.Conflict:
            raise errors.Conflict(f'the namespace "{name}" exists already') from None
        return namespace

    async def update(self, origin: Origin, name: str, limits: Limits, hosts: list[str] | None = None) -> Namespace:
        """Change what one may use, and which hosts stand for it; None leaves the hosts as they are. Holds at once.

        Raises:
            BadRequest: a host cannot be.
            Conflict: a host stands for another namespace.
            NotFound: there is none of this name, or it is being deleted.
        """
        self.check(name)
        before = self._known[name]
        after = before.hosts if hosts is None else self._free_hosts(name, hosts)
        namespace = msgspec.structs.replace(before, limits=limits, hosts=after)
        await self._keep(namespace, origin, "update")
        return namespace

    async def condemn(self, origin: Origin, name: str) -> None:
        """From now on it takes no calls; whoever removes what is in it says `forget` when that is done.

        Raises:
            Forbidden: it is the default one.
            NotFound: there is none of this name.
        """
        if name == DEFAULT_NAMESPACE:
            raise errors.Forbidden('the namespace "default" cannot be deleted: it is where calls go that name none')
        namespace = self.get(name)
        if not namespace.deleting:
            await self._keep(msgspec.structs.replace(namespace, deleting=True, hosts=()), origin, "delete")

    async def forget(self, name: str) -> None:
        """Nothing of it is left: the name is free again."""
        await self._commit(Delete(BUCKET, name))
        self._known.pop(name, None)

    def _free_hosts(self, name: str, hosts: list[str]) -> tuple[str, ...]:
        found = check_hosts(hosts)
        for host in found:
            owner = self.hosts.owner(host)
            if owner not in ("", name):
                raise errors.Conflict(f'hosts: "{host}" stands for the namespace "{owner}" already')
        return found

    async def _keep(self, namespace: Namespace, origin: Origin, verb: str, expect: Presence | None = None) -> None:
        limits, hosts = namespace.limits, namespace.hosts
        entry = self._audit.entry(
            origin.within(PLATFORM_NAMESPACE),
            f"namespaces.{verb}",
            f"namespace:{namespace.name}",
            **{field: value for field, value in msgspec.structs.asdict(limits).items() if value and verb != "delete"},
            hosts=hosts,
        )
        await self._commit(_put(namespace, expect), entry)
        self._known[namespace.name] = namespace
        self._hold(namespace)
        self.hosts.set(self._known.values())

    def _hold(self, namespace: Namespace) -> None:
        """Let the limits hold from now on."""
        name = namespace.name
        before = self._buckets.pop(name, None)
        self._free.discard(name)
        self._engine.set_quota(name, quota_of(Limits() if namespace.deleting else namespace.limits))
        if namespace.deleting:
            return
        bucket = bucket_of(namespace.limits, self._clock)
        if bucket is None:
            self._free.add(name)
            return
        if before is not None:
            bucket.refused = before.refused
        self._buckets[name] = bucket

    async def _commit(self, *operations: Operation) -> None:
        await self._engine.commit(Batch(PLATFORM_NAMESPACE, operations))


def missing(name: str) -> str:
    """That there is no such namespace, and what to do."""
    return f'namespace "{name}" does not exist; create it with: microlite namespace create {name}'


def _put(namespace: Namespace, expect: Presence | None = None) -> Put:
    return Put(BUCKET, namespace.name, msgspec.msgpack.encode(namespace), expect=expect)
