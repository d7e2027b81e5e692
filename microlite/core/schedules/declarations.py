"""From what a service declares in its code to schedules: made, changed and removed as the code is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.context import service_account
from microlite.core.description.structs import Every
from microlite.core.engine.api import Delete, Presence, Put
from microlite.core.schedules.api import Source
from microlite.core.schedules.planner import times_of
from microlite.core.schedules.records import LATEST, SCHEDULES, Stored, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from microlite.core.description.structs import ServiceDescription
    from microlite.core.engine.api import Operation

_WHEN: Final = ("every", "cron", "zone")
_DECLARED: Final = (*_WHEN, "missed", "overlap", "timeout", "retries", "backoff")


def declared(description: ServiceDescription) -> dict[str, tuple[str, Every]]:
    """The schedules that a service declares, by name: the endpoint, and when and how it is called."""
    found: dict[str, tuple[str, Every]] = {}
    for endpoint in description.endpoints:
        triggers = [trigger for trigger in endpoint.triggers if isinstance(trigger, Every)]
        for number, trigger in enumerate(triggers):
            suffix = f".{number + 1}" if number else ""
            found[f"{description.name}.{endpoint.name}{suffix}"] = (endpoint.name, trigger)
    return found


def reconcile(
    namespace: str,
    description: ServiceDescription,
    present: Mapping[str, tuple[Stored, int]],
    now: float,
) -> list[Operation]:
    """What has to change so that the schedules of a service are those of its code; nothing where they are.

    One whose times are the same keeps its next time, and whether it is paused: so a reload neither resets it nor runs it
    twice.

    Args:
        namespace: of the service.
        description: what its newest node says.
        present: those that there are, with their revisions.
        now: seconds since the Unix epoch.
    """
    wanted = declared(description)
    operations: list[Operation] = []
    account = service_account(description.name, namespace)
    for name, (endpoint, every) in wanted.items():
        fields = {field: getattr(every, field) for field in _DECLARED}
        stored, revision = present.get(name, (None, None))
        if stored is None:
            fresh = Stored(
                name=name,
                service=description.name,
                endpoint=endpoint,
                source=Source.CODE,
                created=now,
                account=account,
                **fields,
            )
        else:
            fresh = msgspec.structs.replace(stored, endpoint=endpoint, account=account, **fields)
            if fresh == stored:
                continue
        if stored is None or any(getattr(stored, field) != fields[field] for field in _WHEN):
            fresh = msgspec.structs.replace(fresh, due=_first(fresh, now))
        expect = Presence.ABSENT if revision is None else revision
        operations.append(Put(SCHEDULES, name, encode(fresh), expect=expect))
    for name, (_, revision) in present.items():
        if name not in wanted:
            operations += [Delete(SCHEDULES, name, expect=revision), Delete(LATEST, name)]
    return operations


def _first(stored: Stored, now: float) -> float:
    try:
        return times_of(stored).after(now)
    except errors.BadRequest:
        return 0.0  # a zone that this machine does not know: who lists it reads why
