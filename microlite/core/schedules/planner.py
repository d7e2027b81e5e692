"""What a change of schedules is on disk: operations of the engine, for a commit of their own or as part of a transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.description.naming import did_you_mean, parse_target
from microlite.core.description.structs import Streaming
from microlite.core.description.timing import LONGEST, timing
from microlite.core.engine.api import Delete, Presence, Put
from microlite.core.schedules.api import MAX_REQUEST_BYTES, Add, Cancel, Source
from microlite.core.schedules.authority import asking, check_may_change
from microlite.core.schedules.records import LATEST, SCHEDULES, Stored, decode_stored, encode
from microlite.core.schedules.times import Times

if TYPE_CHECKING:
    from microlite.core.audit.audit import Audit
    from microlite.core.clock import Clock
    from microlite.core.context import Account, Origin
    from microlite.core.description.structs import ServiceDescription
    from microlite.core.engine.api import Append, Engine, Operation, Record
    from microlite.core.schedules.authority import Authority

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}")


class Surroundings(Protocol):
    """What a plan has to know of the rest of the platform."""

    async def prepare(self, namespace: str) -> None:
        """See to it that the schedules of a namespace are followed, from before its first one is there.

        Raises:
            errors.TooManyRequests: it has as many as it can have.
        """
        ...

    def describe(self, namespace: str, service: str) -> ServiceDescription | None:
        """What a service says of itself; None while no node of it is known."""
        ...


class Planner:
    """Plans changes. Nothing else has to happen after the commit: who runs schedules watches the records.

    Args:
        engine: where they are.
        clock: for what is due from now on.
        surroundings: the rest of the platform.
        authority: says who may have what called.
        audit: writes down what is done to schedules of others, in the same commit.
    """

    def __init__(
        self, engine: Engine, clock: Clock, surroundings: Surroundings, authority: Authority, audit: Audit
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._surroundings = surroundings
        self._authority = authority
        self._audit = audit

    async def plan(
        self, origin: Origin, change: Add | Cancel, *, account: Account | None = None
    ) -> tuple[Operation, ...]:
        """The operations of a change, in the namespace of the origin.

        Args:
            origin: who asks.
            change: what for.
            account: who asks, as whom the call is made then; without it nothing is allowed to him but what is to nobody.

        Raises:
            Error: it cannot be, and why.
        """
        who = asking(origin, account)
        if isinstance(change, Add):
            return await self._add(origin, change, who)
        return await self._cancel(origin, change, who)

    def entry(self, origin: Origin, account: Account, stored: Stored, action: str) -> tuple[Append, ...]:
        """What the audit log says of something that is done to a schedule; nothing of what is one's own.

        Raises:
            Forbidden: it is that of somebody else, and who asks is no admin.
        """
        if not check_may_change(account, stored, origin.namespace):
            return ()
        entry = self._audit.entry(
            origin, f"schedules.{action}", f"schedule:{stored.name}", owner=stored.owner, target=stored.target
        )
        return (entry,)

    async def find(self, origin: Origin, id: str) -> tuple[Stored, Record]:
        """A schedule and its record, by its name as it was added or in full.

        Raises:
            NotFound: there is none.
        """
        for name in dict.fromkeys((full_name(origin, id), id)):
            record = await self._engine.get(origin.namespace, SCHEDULES, name) if 0 < len(name) <= 255 else None
            if record is not None:
                return decode_stored(record.value), record
        raise errors.NotFound(f"there is no schedule {id!r}")

    async def _add(self, origin: Origin, change: Add, account: Account) -> tuple[Operation, ...]:
        if change.id and not _ID.fullmatch(change.id):
            raise errors.BadRequest(
                f"id: {change.id!r} is no name for a schedule: use letters, digits, _ and -, at most 120 characters"
            )
        service, endpoint = parse_target(change.target)
        self._check_target(origin.namespace, service, endpoint)
        self._authority.check(origin.namespace, account, service, endpoint)
        payload = msgspec.json.encode(change.request)
        if len(payload) > MAX_REQUEST_BYTES:
            raise errors.PayloadTooLarge(
                f"request: {len(payload)} bytes are more than the {MAX_REQUEST_BYTES} that a scheduled call carries; "
                "keep them in the store, and pass the key"
            )
        name = full_name(origin, change.id or self._clock.new_id())
        now = self._clock.now()
        stored = Stored(
            name=name,
            service=service,
            endpoint=endpoint,
            payload=payload,
            created=now,
            account=account,
            **_timing_fields(change, now),
        )
        await self._surroundings.prepare(origin.namespace)
        existing = await self._engine.get(origin.namespace, SCHEDULES, name) if change.id else None
        if existing is not None and not change.replace:
            raise errors.Conflict(f"there is a schedule {name!r} already; replace it, or remove it first")
        if existing is None:
            return (Put(SCHEDULES, name, encode(stored), expect=Presence.ABSENT),)
        entry = self.entry(origin, account, decode_stored(existing.value), "add")
        return (Put(SCHEDULES, name, encode(stored), expect=existing.revision), *entry)

    async def _cancel(self, origin: Origin, change: Cancel, account: Account) -> tuple[Operation, ...]:
        try:
            stored, record = await self.find(origin, change.id)
        except errors.NotFound:
            if change.required:
                raise
            return ()
        if stored.source is Source.CODE and self._surroundings.describe(origin.namespace, stored.service) is not None:
            raise errors.BadRequest(
                f"{stored.name} is declared in the code of {stored.service}; remove it there, or pause it"
            )
        entry = self.entry(origin, account, stored, "remove" if change.required else "cancel")
        return (Delete(SCHEDULES, record.key, expect=record.revision), Delete(LATEST, record.key), *entry)

    def _check_target(self, namespace: str, service: str, endpoint: str) -> None:
        description = self._surroundings.describe(namespace, service)
        if description is None:
            return  # its nodes may come later; until then the schedule says that it waits for one
        found = description.endpoint(endpoint)
        if found is None:
            near = did_you_mean(endpoint, [one.name for one in description.endpoints])
            raise errors.EndpointNotFound(f'Endpoint "{endpoint}" not found for service "{service}"{near}')
        if found.streaming is not Streaming.UNARY:
            raise errors.BadRequest(f"target: {service}.{endpoint} streams, and a schedule makes plain calls")


def full_name(origin: Origin, id: str) -> str:
    """The name of a schedule by the id that somebody gives it: what a service adds is its own."""
    return f"{origin.service}:{id}" if origin.service else id


def times_of(stored: Stored) -> Times:
    """When a stored schedule is due."""
    return Times(every=stored.every, cron=stored.cron, zone=stored.zone, at=stored.at)


def _timing_fields(change: Add, now: float) -> dict[str, Any]:
    given = [change.every != 0, bool(change.cron), change.delay is not None, change.at != 0]
    if sum(given) != 1:
        raise errors.BadRequest("say when it is due: exactly one of every, cron, delay and at")
    single = change.delay is not None or change.at != 0
    checked = timing(
        None if change.cron else change.every or 60.0,
        cron=change.cron,
        zone=change.zone,
        missed=change.missed,
        overlap=change.overlap,
        timeout=change.timeout,
        retries=change.retries,
        backoff=change.backoff,
    )
    fields: dict[str, Any] = {name: getattr(checked, name) for name in checked.__struct_fields__}
    if not single:
        times = Times(every=checked.every, cron=checked.cron, zone=checked.zone)
        due = times.after(now)
        if not due:
            raise errors.BadRequest(f"cron: no date fits {change.cron!r}")
        return {**fields, "source": Source.ADDED, "due": due}
    at = change.at if change.delay is None else now + change.delay
    if not (change.delay or 0) >= 0 or not 0 < at <= now + LONGEST:
        raise errors.BadRequest("delay, at: a single call is due from now on, within ten years")
    return {**fields, "every": 0.0, "source": Source.ONCE, "at": at, "due": at}
