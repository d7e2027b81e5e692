"""Policies as pure logic: whatever the past was, each due time is accounted for once, and the next one lies ahead."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.context import Account
from microlite.core.description.structs import EndpointDescription, Every, Missed, Overlap, ServiceDescription
from microlite.core.engine.api import Delete, Put
from microlite.core.schedules.api import MAX_WAITING, Outcome, Source
from microlite.core.schedules.claims import GRACE, claim
from microlite.core.schedules.declarations import reconcile
from microlite.core.schedules.records import Stored, decode_stored
from tests.schedules.unhurried import unhurried


def stored(**fields: object) -> Stored:
    given: dict[str, object] = {
        "name": "shop.tick",
        "service": "shop",
        "endpoint": "tick",
        "source": Source.CODE,
        "every": 600.0,
        "due": 1000.0,
        "account": Account(id="shop"),
        **fields,
    }
    return Stored(**given)  # type: ignore[arg-type]  # fields of a Stored


ids = (f"{number:026d}" for number in itertools.count())
policies = st.fixed_dictionaries({"missed": st.sampled_from(Missed), "overlap": st.sampled_from(Overlap)})


@unhurried
@given(policies, st.floats(1, 1e5), st.floats(0, 1e6), st.integers(0, 3), st.integers(0, MAX_WAITING))
def test_every_due_time_is_run_or_told(
    fields: dict[str, object], every: float, late: float, unfinished: int, waiting: int
) -> None:
    schedule, now = stored(every=every, **fields), 1000.0 + late
    found = claim(schedule, now, unfinished=unfinished + waiting, waiting=waiting, new_id=lambda: next(ids))
    assert found is not None
    assert found.stored is not None
    assert found.stored.due > now
    assert sum(run.count for run in found.runs) == int((now - 1000.0) // every) + 1
    begins = [run for run in found.runs if run.outcome is Outcome.WAITING]
    assert len({run.id for run in found.runs}) == len(found.runs)
    if schedule.overlap is Overlap.SKIP and unfinished + waiting and len(found.runs) == 1:
        assert not begins
    if schedule.overlap is not Overlap.ALLOW:
        assert len(begins) + waiting <= MAX_WAITING or not waiting
    if schedule.missed is Missed.SKIP and begins:
        assert now - begins[-1].due <= GRACE
    if schedule.missed is Missed.ONCE:
        assert len(found.runs) == 1


@unhurried
@given(policies, st.floats(-1e6, -0.001))
def test_nothing_is_claimed_before_its_time(fields: dict[str, object], early: float) -> None:
    assert claim(stored(**fields), 1000.0 + early, unfinished=0, waiting=0, new_id=lambda: next(ids)) is None
    assert claim(stored(paused=True), 9999.0, unfinished=0, waiting=0, new_id=lambda: next(ids)) is None


def test_a_single_call_takes_its_schedule_along() -> None:
    single = stored(every=0.0, at=1000.0, source=Source.ONCE, missed=Missed.SKIP)
    found = claim(single, 9e9, unfinished=0, waiting=0, new_id=lambda: next(ids))
    assert found is not None
    assert found.stored is None
    assert [run.outcome for run in found.runs] == [Outcome.WAITING]


def described(*triggers: Every) -> ServiceDescription:
    return ServiceDescription(name="shop", endpoints=(EndpointDescription(name="tick", triggers=triggers),))


def test_a_declaration_that_is_the_same_changes_nothing() -> None:
    every = Every(every=600.0)
    (put,) = reconcile("default", described(every), {}, 400.0)
    assert isinstance(put, Put)
    fresh = decode_stored(put.value)
    assert fresh.due == 1000.0
    assert reconcile("default", described(every), {"shop.tick": (fresh, 1)}, 900.0) == []


@unhurried
@given(policies, st.booleans())
def test_other_policies_keep_the_next_time_and_other_times_do_not(fields: dict[str, object], paused: bool) -> None:
    present = {"shop.tick": (stored(paused=paused, timeout=1.0), 7)}
    policies = Every(every=600.0, **fields)  # type: ignore[arg-type]  # fields of an Every
    (put,) = reconcile("default", described(policies), present, 900.0)
    assert isinstance(put, Put)
    assert (decode_stored(put.value).due, decode_stored(put.value).paused, put.expect) == (1000.0, paused, 7)
    other = msgspec.structs.replace(policies, every=601.0)
    (put,) = reconcile("default", described(other), present, 900.0)
    assert isinstance(put, Put)
    assert decode_stored(put.value).due == 1501.0


def test_what_is_declared_no_more_goes() -> None:
    operations = reconcile("default", described(), {"shop.tick": (stored(), 7)}, 900.0)
    assert [type(operation) for operation in operations] == [Delete, Delete]


def test_a_zone_that_is_not_known_here_stops_only_its_schedule() -> None:
    (put, other) = reconcile(
        "default",
        described(Every(cron="0 6 * * *", zone="Moon/Base"), Every(every=5.0)),
        {},
        900.0,
    )
    assert isinstance(put, Put)
    assert isinstance(other, Put)
    assert (decode_stored(put.value).due, decode_stored(other.value).due) == (0.0, 905.0)
