"""The log itself: an entry is there exactly if the act is, and comes back by what was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from microlite.core import errors
from microlite.core.audit.audit import Audit, Found, Wanted
from microlite.core.audit.entries import MAX_DETAILS, MAX_WORD, STREAM
from microlite.core.audit.retention import Keep, Retention
from microlite.core.clock import ManualClock
from microlite.core.context import PLATFORM_NAMESPACE, Origin
from microlite.core.engine.api import Batch, Presence, Put
from microlite.core.engine.sqlite import SQLiteEngine

ANN = Origin("shop", account="ann", account_namespace="shop")
ADMIN = Origin("shop", account="admin", account_namespace=PLATFORM_NAMESPACE)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def engine(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SQLiteEngine]:
    async with SQLiteEngine(tmp_path / "microlite.db", clock) as engine:
        yield engine


@pytest.fixture
def audit(engine: SQLiteEngine) -> Audit:
    return Audit(engine)


async def all_of(audit: Audit, wanted: Wanted = Wanted(), namespace: str = "shop") -> list[Found]:  # noqa: B008 - frozen
    return (await audit.page(namespace, wanted))[0]


async def test_act_and_entry_are_one_commit(audit: Audit, engine: SQLiteEngine) -> None:
    """A batch that is refused leaves no entry; one that is carried out leaves exactly one, with who, what and when."""
    put = Put("things", "a", b"1", expect=Presence.PRESENT)
    with pytest.raises(errors.Conflict):
        await engine.commit(Batch("shop", (put, audit.entry(ADMIN, "things.set", "thing:a"))))
    assert await all_of(audit) == []
    put = Put("things", "a", b"1", expect=Presence.ABSENT)
    await engine.commit(Batch("shop", (put, audit.entry(ADMIN, "things.set", "thing:a", old=None, new=1, on=True))))
    [found] = await all_of(audit)
    assert (found.act.actor, found.act.actor_namespace) == ("admin", PLATFORM_NAMESPACE)
    assert (found.act.action, found.act.resource) == ("things.set", "thing:a")
    assert found.act.detail == {"new": "1", "on": "true"}


async def test_entries_of_two_namespaces_do_not_meet(audit: Audit) -> None:
    """Each is in the log of its own namespace; what belongs to the platform is in the platform's."""
    await audit.note(ANN, "things.set")
    await audit.note(ANN.within(PLATFORM_NAMESPACE), "namespaces.create", "namespace:shop")
    assert [one.act.action for one in await all_of(audit)] == ["things.set"]
    assert [one.act.action for one in await all_of(audit, namespace=PLATFORM_NAMESPACE)] == ["namespaces.create"]
    assert await all_of(audit, namespace="other") == []


async def test_pages_are_newest_first_and_meet_without_a_gap(audit: Audit) -> None:
    """All entries by their cursors, each once."""
    for number in range(25):
        await audit.note(ANN, "things.set", f"thing:{number}")
    seen: list[str] = []
    before = 0
    while True:
        page, before = await audit.page("shop", Wanted(), before=before, limit=10)
        seen += [one.act.resource for one in page]
        if not before:
            break
    assert seen == [f"thing:{number}" for number in reversed(range(25))]


async def test_filters_hold_all_together(audit: Audit, clock: ManualClock) -> None:
    """By actor, by how action and resource begin, and by time, both ends included."""
    await audit.note(ANN, "config.set", "config:limits.max")
    clock.advance(10)
    moment = clock.now()
    await audit.note(ADMIN, "config.set", "config:limits.min")
    await audit.note(ADMIN, "auth.rules.create", "rule:a")
    clock.advance(10)
    await audit.note(ADMIN, "config.unset", "config:limits.max")

    async def resources(**wanted: str | float) -> list[str]:
        return [one.act.resource for one in await all_of(audit, Wanted(**wanted))]  # type: ignore[arg-type]  # by name

    assert await resources(actor="ann") == ["config:limits.max"]
    assert await resources(actor="an") == []
    assert await resources(action="config.") == ["config:limits.max", "config:limits.min", "config:limits.max"]
    assert await resources(resource="rule:") == ["rule:a"]
    assert await resources(since=moment) == ["config:limits.max", "rule:a", "config:limits.min"]
    assert await resources(until=moment) == ["rule:a", "config:limits.min", "config:limits.max"]
    assert await resources(since=moment, until=moment, action="config") == ["config:limits.min"]
    assert await resources(until=moment - 100) == []


async def test_a_rare_entry_is_found_behind_many_others(audit: Audit, engine: SQLiteEngine) -> None:
    """A filter does not end at the first page of the stream."""
    await audit.note(ADMIN, "rare.act")
    for _ in range(3):
        await engine.commit(Batch("shop", tuple(audit.entry(ANN, "common.act") for _ in range(999))))
    assert [one.act.action for one in await all_of(audit, Wanted(action="rare"))] == ["rare.act"]


async def test_words_are_bounded(audit: Audit) -> None:
    """Whatever is named, an entry stays small."""
    await audit.note(ANN, "a.b", "x" * 10_000, **{f"n{i}": "y" * 10_000 for i in range(100)})
    [found] = await all_of(audit)
    assert len(found.act.resource) == MAX_WORD
    assert len(found.act.detail) == MAX_DETAILS
    assert all(len(value) == MAX_WORD for value in found.act.detail.values())


async def test_who_follows_gets_what_comes(audit: Audit, engine: SQLiteEngine) -> None:
    """From a position on, without a gap, and only what was asked for."""
    await audit.note(ANN, "a.b", "1")
    following = audit.follow("shop", Wanted(action="a."), after=0)
    assert (await anext(following)).act.resource == "1"
    waiting = asyncio.ensure_future(anext(following))
    await engine.commit(Batch("shop", (audit.entry(ANN, "c.d"), audit.entry(ANN, "a.b", "2"))))
    assert (await waiting).act.resource == "2"
    await following.aclose()
    state = await engine.stream_state("shop", STREAM)
    assert (state.first, state.last) == (1, 3)


async def test_the_oldest_go_by_age_and_by_size(audit: Audit, engine: SQLiteEngine, clock: ManualClock) -> None:
    """And nothing else goes; positions go on."""
    retention = Retention(engine, clock, audit, Keep(age=100.0, size=10_000))
    await audit.note(ANN, "old.act")
    clock.advance(60)
    await audit.note(ANN, "newer.act")
    await retention.look()
    assert len(await all_of(audit)) == 2
    clock.advance(60)
    await retention.look()
    assert [(one.position, one.act.action) for one in await all_of(audit)] == [(2, "newer.act")]
    for number in range(40):
        await audit.note(ANN, "large.act", f"thing:{number}", text="x" * 500)
    await retention.look()
    kept = await all_of(audit)
    assert kept[0].act.resource == "thing:39"
    assert kept[-1].position > 2
    assert (await engine.stream_state("shop", STREAM)).size <= 10_000
