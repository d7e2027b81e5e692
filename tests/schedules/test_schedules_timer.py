"""One timer for all due times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microlite.core.clock import ManualClock
from microlite.core.schedules.timer import LOOK, DueTimes
from tests.schedules.unhurried import unhurried

Step = tuple[str, int, float]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), st.floats(0, 300)),
        st.tuples(st.just("discard"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("advance"), st.just(0), st.floats(0, 200)),
    )
)


@unhurried
@given(steps)
def test_each_key_is_told_once_at_its_latest_time(taken: list[Step]) -> None:
    """Held against a table that is searched."""
    clock = ManualClock(0.0)
    told: list[str] = []
    times = DueTimes(clock, lambda key: told.append(key[1]))
    wanted: dict[str, float] = {}
    for verb, number, value in taken:
        name = str(number)
        if verb == "set":
            wanted[name] = clock.now() + value
            times.set(("a", name), wanted[name])
        elif verb == "discard":
            wanted.pop(name, None)
            times.discard(("a", name))
        else:
            told.clear()
            clock.advance(value)
            due = {name for name, moment in wanted.items() if moment <= clock.now()}
            assert set(told) == due
            assert len(told) == len(due)
            for name in due:
                del wanted[name]
        assert len(times) == len(wanted)


def test_many_idle_schedules_are_one_timer() -> None:
    clock = ManualClock(0.0)
    times = DueTimes(clock, lambda key: None)
    for number in range(5_000):
        times.set(("a", str(number)), 1e6 + number)
    for number in range(5_000):
        times.set(("a", str(number)), 2e6 + number)
    live = [timer for _, _, timer in clock._timers if timer._callback is not None]
    assert len(live) == 1
    assert len(times._heap) < 11_000


def test_a_clock_that_jumps_is_noticed_within_a_minute() -> None:
    clock = ManualClock(0.0)
    told: list[str] = []
    back: list[bool] = []
    times = DueTimes(clock, lambda key: told.append(key[1]), lambda: back.append(True))
    times.set(("a", "far"), 10_000.0)
    clock.jump(20_000)
    clock.advance(LOOK)
    assert told == ["far"]
    times.set(("a", "far"), 50_000.0)
    clock.jump(-15_000)
    clock.advance(LOOK)
    assert back == [True]
