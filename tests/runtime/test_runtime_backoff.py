"""A node that fails is tried again after growing waits, and given up with a reason; each restart tells its story."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.clock import ManualClock
from microlite.core.runtime.backoff import Backoff, GiveUp, Policy, Retry
from microlite.core.runtime.restarts import Cause, Restart, Story, exited


def test_waits_grow_up_to_the_longest_and_then_the_node_is_given_up() -> None:
    policy = Policy(first=1.0, factor=2.0, longest=5.0, jitter=0.0, attempts=5)
    backoff = Backoff(ManualClock(), policy)
    waits = [backoff.failed("exited with code 1") for _ in range(4)]
    assert waits == [Retry(1.0, 1), Retry(2.0, 2), Retry(4.0, 3), Retry(5.0, 4)]
    last = backoff.failed("exited with code 1")
    assert isinstance(last, GiveUp)
    assert "exited with code 1" in last.reason
    assert "5 times" in last.reason


def test_the_reason_says_how_long_it_was_tried() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, Policy(attempts=2))
    backoff.failed("ended by SIGSEGV")
    clock.advance(75)
    last = backoff.failed("ended by SIGSEGV")
    assert isinstance(last, GiveUp)
    assert last.reason.startswith("ended by SIGSEGV; failed 2 times within 1m15s")


def test_a_time_of_health_forgives_and_a_shorter_one_does_not() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, Policy(healthy_after=10.0, jitter=0.0))
    backoff.failed("x")
    backoff.healthy()
    clock.advance(9.9)
    backoff.healthy()
    assert backoff.failures == 1
    second = backoff.failed("x")
    assert isinstance(second, Retry)
    assert second.failures == 2
    backoff.healthy()
    clock.advance(10.5)
    assert backoff.failures == 0
    assert backoff.failed("x") == Retry(0.2, 1)


def test_time_without_health_does_not_forgive() -> None:
    clock = ManualClock()
    backoff = Backoff(clock)
    backoff.failed("x")
    clock.advance(3600)
    assert backoff.failures == 1


def test_a_new_source_starts_afresh() -> None:
    backoff = Backoff(ManualClock(), Policy(attempts=2))
    backoff.failed("x")
    backoff.reset()
    assert isinstance(backoff.failed("x"), Retry)


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_wait_is_positive_and_bounded_whatever_happens(failures: int, noise: float) -> None:
    policy = Policy()
    wait = policy.wait(failures, noise)
    assert 0 < wait <= policy.longest * (1 + policy.jitter)


def test_nodes_that_failed_together_do_not_return_together() -> None:
    clock = ManualClock()
    waits = {Backoff(clock).failed("x") for _ in range(10)}
    assert len(waits) == 10


@pytest.mark.parametrize(
    ("restart", "reason"),
    [
        (exited(3, at=0), "exited with code 3"),
        (exited(0, at=0), "exited with code 0"),
        (exited(-signal.SIGKILL, at=0), "ended by SIGKILL"),
        (exited(-63, at=0), "ended by signal 63"),
        (Restart(at=0, cause=Cause.CHANGE, changed=("main.py",)), "main.py changed"),
        (Restart(at=0, cause=Cause.CHANGE, changed=("a.py", "b.py", "c.py")), "a.py and 2 more changed"),
        (Restart(at=0, cause=Cause.UNHEALTHY, detail="did not answer for 15s"), "did not answer for 15s"),
        (Restart(at=0, cause=Cause.UPDATE), "updated by a user"),
    ],
)
def test_each_restart_says_why_in_one_line(restart: Restart, reason: str) -> None:
    assert restart.reason() == reason


def test_a_story_keeps_the_last_lines_and_the_last_restarts() -> None:
    story = Story(limit=3)
    for number in range(5):
        story.add(exited(1, at=number, generation=number, lines=[f"line {index}" for index in range(100)]))
    assert [restart.generation for restart in story.all()] == [2, 3, 4]
    assert story.count == 5
    assert story.last is not None
    assert story.last.lines == tuple(f"line {index}" for index in range(80, 100))
