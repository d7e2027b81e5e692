"""Random transactions of several clients at once leave what some order of them, one after the other, would have left."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import microlite
from microlite import errors
from microlite.testing import platform as boot

if TYPE_CHECKING:
    from microlite.core.library.caller import Caller

KEYS = ("a", "b", "c", "d")

Step = tuple[str, str]
"""What is done, and to which key: `read`, `write`, `add`, `delete`, `publish`, or `fail`."""

programs = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "read", "write", "add", "delete", "publish", "fail"]), st.sampled_from(KEYS)
        ),
        min_size=1,
        max_size=6,
    ),
    min_size=2,
    max_size=12,
)


class Done(NamedTuple):
    """A transaction that took place.

    Attributes:
        revision: of its commit; 0 where it read one record and did nothing else, so that there was nothing to commit.
        seen: what each step saw.
    """

    number: int
    revision: int
    seen: tuple[int | None, ...]


async def carry_out(m: Caller, number: int, steps: list[Step]) -> Done | None:
    """Run one program as a transaction, with others in between; None if it did not take place."""
    tx = m.transaction()
    seen: list[int | None] = []
    try:
        for step in steps:
            await apply(tx, number, step, seen)
            await asyncio.sleep(0)
        await tx.commit()
    except (errors.Conflict, ZeroDivisionError):
        return None
    return Done(number, tx.revision, tuple(seen))


async def apply(tx: Any, number: int, step: Step, seen: list[int | None]) -> None:
    kind, key = step
    match kind:
        case "read":
            seen.append(await tx.store.read(key, default=None))
        case "write":
            tx.store.write(key, number)
        case "add":
            seen.append(await tx.store.increment(key, 1))
        case "delete":
            tx.store.delete(key)
        case "publish":
            tx.events.publish("done", [number, key])
        case "fail" if random.Random(f"{number}{key}").random() < 0.3:
            raise ZeroDivisionError


class Model:
    """The same, one after the other."""

    def __init__(self) -> None:
        self.records: dict[str, int] = {}
        self.events: list[list[Any]] = []

    def apply(self, number: int, step: Step, seen: list[int | None]) -> None:
        kind, key = step
        match kind:
            case "read":
                seen.append(self.records.get(key))
            case "write":
                self.records[key] = number
            case "add":
                self.records[key] = self.records.get(key, 0) + 1
                seen.append(self.records[key])
            case "delete":
                self.records.pop(key, None)
            case "publish":
                self.events.append([number, key])


@pytest.mark.timeout(120)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(work=programs)
def test_what_was_committed_can_be_put_in_an_order(work: list[list[Step]]) -> None:
    """That of their revisions: each transaction saw, and left, what those before it had left."""

    async def check() -> None:
        async with boot() as running, microlite.connect(running.home) as m, microlite.connect(running.home) as other:
            clients = (m, other)
            done = await asyncio.gather(
                *(carry_out(clients[number % 2], number, steps) for number, steps in enumerate(work, 1))
            )
            took_place = sorted((one for one in done if one is not None and one.revision), key=lambda one: one.revision)
            model = Model()
            for one in took_place:
                seen: list[int | None] = []
                for step in work[one.number - 1]:
                    model.apply(one.number, step, seen)
                assert tuple(seen) == one.seen
            assert await m.store.read_many(KEYS) == model.records
            assert [event["payload"] for event in await m.call("events.read", topic="done")] == model.events

    asyncio.run(check())
