"""From the parts of a transaction to one batch of the engine: each service plans its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from microlite.core import errors
from microlite.core.engine.api import Append, Check
from microlite.core.tx import api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from microlite.core.config import api as config
    from microlite.core.context import Account, Origin
    from microlite.core.description.structs import Encoding
    from microlite.core.engine.api import Operation
    from microlite.core.events import api as events
    from microlite.core.schedules import api as schedules
    from microlite.core.store import api as store
    from microlite.core.store import blob_api as blobs


class StorePlanner(Protocol):
    """Plans changes of records."""

    async def plan(self, origin: Origin, change: store.RecordChange, asked: Encoding = ...) -> tuple[Operation, ...]:
        """The operations of one change, whose value is written as `asked` says."""
        ...


class BlobPlanner(Protocol):
    """Plans changes of blobs."""

    async def plan(self, origin: Origin, change: blobs.BlobChange) -> tuple[Operation, ...]:
        """The operations of one change."""
        ...


class EventPlanner(Protocol):
    """Plans what happens to events."""

    async def plan(self, origin: Origin, change: events.Change) -> tuple[Operation, ...]:
        """The operations of one change."""
        ...

    async def plan_publish(
        self, origin: Origin, change: events.Publish, asked: Encoding = ...
    ) -> tuple[tuple[Operation, ...], events.Published]:
        """The operations that publish an event, whose payload is written as `asked` says; and what to say of it then."""
        ...


class ConfigPlanner(Protocol):
    """Plans changes of the configuration."""

    async def plan_all(
        self, origin: Origin, changes: Sequence[config.Change], *, permit: Callable[[str], object]
    ) -> tuple[Operation, ...]:
        """The operations of several changes, one on top of the other; `permit` is asked about each leaf."""
        ...


class SchedulePlanner(Protocol):
    """Plans changes of schedules."""

    async def plan(
        self, origin: Origin, change: schedules.Add | schedules.Cancel, *, account: Account | None = None
    ) -> tuple[Operation, ...]:
        """The operations of one change; the call is made as `account`."""
        ...


class Planners(NamedTuple):
    """The services whose changes a transaction can hold."""

    store: StorePlanner
    blobs: BlobPlanner
    events: EventPlanner
    config: ConfigPlanner
    schedules: SchedulePlanner


class Gate(Protocol):
    """Says whether somebody may have the parts of a transaction, each as by a call of its own."""

    def check(self, asker: Asker, part: api.Operation) -> None:
        """Let a part be planned.

        Raises:
            Forbidden: who asks may not call the endpoint that does the same, or a rule denies it.
        """
        ...

    def check_setting(self, asker: Asker, path: str) -> None:
        """Let a leaf of the configuration be changed.

        Raises:
            Forbidden: a rule denies it.
        """
        ...


class Asker(NamedTuple):
    """Who asks for a transaction, and how."""

    origin: Origin
    account: Account | None
    asked: Encoding

    @property
    def namespace(self) -> str:
        """About whose things."""
        return self.origin.namespace


class Plan(NamedTuple):
    """What a transaction is in the engine.

    Attributes:
        operations: each key at most once.
        stated: how a conflict begins that is with something the transaction itself expects.
        published: what becomes of each `events.publish` in turn, but for its position.
        appended: which of `published` takes its place in a topic, for each operation in turn that appends; None where it
            appends something else.
    """

    operations: tuple[Operation, ...]
    stated: tuple[str, ...]
    published: tuple[events.Published, ...]
    appended: tuple[int | None, ...]

    def published_at(self, positions: Sequence[int]) -> tuple[events.Published, ...]:
        """What has become of each event, after a commit that gave out these positions."""
        done = list(self.published)
        for number, position in zip(self.appended, positions, strict=True):
            if number is not None:
                done[number] = msgspec.structs.replace(done[number], position=position)
        return tuple(done)


async def make_plan(planners: Planners, gate: Gate, asker: Asker, parts: Sequence[api.Operation]) -> Plan:
    """Plan all parts of a transaction, as things are now.

    Raises:
        errors.Error: a part cannot be carried out, and which: `operations[3]: …`.
    """
    planning = _Planning(planners, asker)
    for number, part in enumerate(parts):
        try:
            gate.check(asker, part)
            await planning.add(part)
        except errors.Error as error:
            raise _placed(error, number) from None
    if planning.settings:
        try:
            planning.add_others(
                await planners.config.plan_all(
                    asker.origin, planning.settings, permit=partial(gate.check_setting, asker)
                )
            )
        except errors.Error as error:
            raise _placed(error, next(i for i, part in enumerate(parts) if isinstance(part, _SETTING))) from None
    return Plan(fold(planning.operations), tuple(planning.stated), tuple(planning.published), tuple(planning.appended))


class _Planning:
    """A plan that is being made."""

    def __init__(self, planners: Planners, asker: Asker) -> None:
        self._planners = planners
        self._asker = asker
        self._once: dict[tuple[str, str], events.Published] = {}
        self.operations: list[Operation] = []
        self.stated: list[str] = []
        self.published: list[events.Published] = []
        self.appended: list[int | None] = []
        self.settings: list[config.Change] = []

    async def add(self, part: api.Operation) -> None:
        """Plan one more part; changes of the configuration are collected for one plan."""
        planners, asker = self._planners, self._asker
        match part:
            case api.StoreWrite() | api.StoreDelete() | api.StoreExpect():
                planned = await planners.store.plan(asker.origin, plain(part), asker.asked)
                self.stated += [f"{one.bucket}/{one.key}: " for one in planned if not isinstance(one, Append)]
                self.operations += planned
            case api.EventsPublish():
                await self._publish(part)
            case api.EventsAck():
                self.operations += await planners.events.plan(asker.origin, plain(part))
            case api.ConfigSet() | api.ConfigUnset():
                self.settings.append(plain(part))
            case api.BlobPublish() | api.BlobDelete():
                self.operations += await planners.blobs.plan(asker.origin, plain(part))
            case api.SchedulesAdd() | api.SchedulesCancel():
                self.add_others(await planners.schedules.plan(asker.origin, plain(part), account=asker.account))

    def add_others(self, planned: Sequence[Operation]) -> None:
        """Take operations in of which no event comes."""
        self.appended += [None for one in planned if isinstance(one, Append)]
        self.operations += planned

    async def _publish(self, part: api.EventsPublish) -> None:
        once = (part.topic, part.deduplication_id)
        if part.deduplication_id and once in self._once:
            self.published.append(msgspec.structs.replace(self._once[once], duplicate=True, position=0))
            return
        asker = self._asker
        planned, published = await self._planners.events.plan_publish(asker.origin, plain(part), asker.asked)
        self._once[once] = published
        self.appended += [len(self.published) for one in planned if isinstance(one, Append)]
        self.published.append(published)
        self.operations += planned


_SETTING: Final = (api.ConfigSet, api.ConfigUnset)


def plain(part: msgspec.Struct) -> Any:
    """A part of a transaction as the change that its service knows."""
    base: Any = type(part).__bases__[0]
    return base(**{name: getattr(part, name) for name in base.__struct_fields__})


def fold(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The same operations with each key only once, as far as they agree: a check joins the change of its key."""
    folded: dict[object, Operation] = {}
    for operation in operations:
        if isinstance(operation, Append):
            folded[object()] = operation
            continue
        place = (operation.bucket, operation.key)
        before = folded.get(place)
        if before is None or before == operation:
            folded[place] = operation
        elif isinstance(before, Check) and operation.expect in (None, before.expect):
            folded[place] = msgspec.structs.replace(operation, expect=before.expect)
        elif (
            isinstance(operation, Check)
            and not isinstance(before, Append)
            and before.expect in (None, operation.expect)
        ):
            folded[place] = msgspec.structs.replace(before, expect=operation.expect)
        elif isinstance(operation, Check) or isinstance(before, Check):
            raise errors.Conflict(f"{operation.bucket}/{operation.key}: two parts expect it to be different things")
        else:
            raise errors.BadRequest(
                f"{operation.bucket}/{operation.key} is changed by two parts: put what it shall be into one"
            )
    return tuple(folded.values())


def _placed(error: errors.Error, number: int) -> errors.Error:
    return errors.restore(error.code, error.status, f"operations[{number}]: {error.detail}", error.id)
