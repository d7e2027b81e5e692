"""When schedules are due: growing, on their grid, whatever the clocks of a zone do."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microlite.core.errors import BadRequest
from microlite.core.schedules.times import Times
from tests.schedules.unhurried import unhurried

BERLIN = ZoneInfo("Europe/Berlin")

moments = st.floats(0, 4e9, allow_nan=False)
intervals = st.floats(1, 1e7, allow_nan=False)
expressions = st.sampled_from(
    (
        "* * * * *",
        "0 6 * * *",
        "30 2 * * *",
        "0,30 2 * * *",
        "*/20 * * * *",
        "15 1-3 * * SUN",
        "0 0 29 2 *",
        "59 23 L * *",
    )
)
zones = st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"))
near_changes = st.sampled_from((1774746000.0, 1792890000.0, 1772953200.0, 1793512800.0)).flatmap(
    lambda change: st.floats(change - 9000, change + 9000)
)
"""Around the changes of the clocks in Europe and America, 2026."""


def local(*parts: int, fold: int = 0) -> float:
    return datetime(*parts, tzinfo=BERLIN, fold=fold).timestamp()  # type: ignore[arg-type,misc]


@unhurried
@given(moments, intervals, moments)
@example(1_000_000_600.0, 600.0, 1_000_000_000.0)
def test_an_interval_stays_on_its_grid(moment: float, every: float, anchor: float) -> None:
    """The next time is later, at most one interval away, and whole intervals from the anchor."""
    found = Times(every=every).after(moment, anchor)
    assert moment < found <= moment + every * 1.001 + 1e-3
    steps = (found - anchor) / every
    assert abs(steps - round(steps)) < 1e-3


@settings(unhurried, max_examples=150)
@given(expressions, zones, st.one_of(near_changes, st.floats(1.7e9, 1.8e9)))
@example("30 2 * * *", "Europe/Berlin", local(2026, 10, 25, 2, 20, fold=1))
def test_times_of_cron_grow_and_miss_nothing(cron: str, zone: str, moment: float) -> None:
    """Asking at any moment between two due times gives the later one."""
    times = Times(cron=cron, zone=zone)
    first = times.after(moment)
    assert first > moment
    second = times.after(first)
    assert second > first
    assert times.after((first + second) / 2) == second
    assert times.after(first - 0.5) == first


@settings(unhurried, max_examples=60)
@given(expressions, zones, st.one_of(near_changes, st.floats(1.7e9, 1.8e9)), st.integers(1, 300))
def test_what_lies_between_is_what_comes_one_after_the_other(cron: str, zone: str, moment: float, count: int) -> None:
    times = Times(cron=cron, zone=zone)
    due = list(itertools.accumulate(range(count), lambda last, _: times.after(last), initial=times.after(moment)))
    latest, number = times.between(due[0], due[-1], 100)
    assert list(latest) == due[-100:]
    assert number == len(due) or number > 100


@unhurried
@given(moments, intervals, st.integers(0, 5000))
def test_the_latest_of_many_intervals_are_found_without_counting_them(first: float, every: float, steps: int) -> None:
    latest, number = Times(every=every).between(first, first + every * (steps + 0.5), 100)
    assert number == steps + 1
    assert len(latest) == min(100, steps + 1)
    assert latest[-1] == pytest.approx(first + every * steps)


def test_a_time_that_summer_time_leaves_out_is_due_when_it_has_begun() -> None:
    """29 March 2026: at 2 it was 3."""
    times = Times(cron="30 2 * * *", zone="Europe/Berlin")
    assert times.after(local(2026, 3, 28, 12, 0)) == local(2026, 3, 29, 3, 0)
    assert times.after(local(2026, 3, 29, 3, 0)) == local(2026, 3, 30, 2, 30)


def test_a_time_that_winter_time_repeats_is_due_once() -> None:
    """25 October 2026: at 3 it was 2 again."""
    times = Times(cron="30 2 * * *", zone="Europe/Berlin")
    assert times.after(local(2026, 10, 24, 12, 0)) == local(2026, 10, 25, 2, 30)
    assert times.after(local(2026, 10, 25, 2, 30)) == local(2026, 10, 26, 2, 30)


def test_what_runs_every_few_minutes_runs_through_the_repeated_hour() -> None:
    times = Times(cron="*/30 * * * *", zone="Europe/Berlin")
    found = list(itertools.accumulate(range(4), lambda last, _: times.after(last), initial=local(2026, 10, 25, 2, 0)))
    assert [one - found[0] for one in found] == [0, 1800, 3600, 5400, 7200]


def test_a_single_time_comes_once() -> None:
    times = Times(at=100.0)
    assert (times.after(99), times.after(100), times.between(100, 500, 10)) == (100, 0, ((100,), 1))


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    """An interval begins anew; cron keeps what it has run, unless the clock was wrong by hours."""
    assert Times(every=600).settle(10_000.0, 4_000.0) == 4_600
    assert Times(every=600).settle(4_500.0, 4_000.0) == 4_500
    daily = Times(cron="0 6 * * *")
    tomorrow = datetime(2026, 5, 2, 6, tzinfo=UTC).timestamp()
    assert daily.settle(tomorrow, datetime(2026, 5, 1, 5, 30, tzinfo=UTC).timestamp()) < tomorrow
    often = Times(cron="*/10 * * * *")
    assert often.settle(tomorrow, tomorrow - 7200) == tomorrow
    assert often.settle(tomorrow, tomorrow - 20_000) < tomorrow


@pytest.mark.parametrize(
    ("cron", "zone"), [("61 * * * *", "UTC"), ("0 0 30 2 *", "UTC"), ("0 6 * * *", "Europe/Berlim"), ("x", "UTC")]
)
def test_what_is_no_time_is_refused(cron: str, zone: str) -> None:
    with pytest.raises(BadRequest):
        Times(cron=cron, zone=zone)


def test_a_zone_that_is_nearly_right_is_named() -> None:
    with pytest.raises(BadRequest, match='did you mean "Europe/Berlin"'):
        Times(cron="0 6 * * *", zone="Europe/Berlim")
