"""What a service writes while it is tried again is shown once."""

from __future__ import annotations

from microlite.cli.attempt import Attempt

TRACE = ("Traceback", "ConnectionError: no database")


def wrote(attempt: Attempt, *lines: str) -> list[str]:
    return [shown for line in lines for shown in attempt.wrote(line, line)]


def test_an_attempt_that_fails_like_the_one_before_is_not_shown_again() -> None:
    attempt = Attempt()
    assert wrote(attempt, *TRACE) == list(TRACE)
    assert not attempt.failed_alike(())
    assert attempt.failed(()) == []
    for _ in range(3):
        assert wrote(attempt, *TRACE) == []
        assert attempt.failed_alike(())


def test_lines_that_come_after_the_failure_count_for_it() -> None:
    attempt = Attempt()
    wrote(attempt, TRACE[0])
    attempt.failed(TRACE[1:])
    assert wrote(attempt, TRACE[0]) == []
    assert attempt.failed_alike(TRACE[1:])


def test_what_was_held_back_is_shown_with_the_first_line_that_differs() -> None:
    attempt = Attempt()
    wrote(attempt, *TRACE)
    attempt.failed(())
    assert wrote(attempt, TRACE[0], "another error", "more") == [TRACE[0], "another error", "more"]
    assert not attempt.failed_alike(())
    assert attempt.failed(()) == []


def test_what_was_held_back_is_shown_when_it_comes_up_after_all() -> None:
    attempt = Attempt()
    wrote(attempt, "connecting", "refused")
    attempt.failed(())
    assert wrote(attempt, "connecting") == []
    assert attempt.over() == ["connecting"]
    assert wrote(attempt, "connecting") == ["connecting"]


def test_an_attempt_that_writes_less_than_the_one_before_is_shown() -> None:
    attempt = Attempt()
    wrote(attempt, *TRACE)
    attempt.failed(())
    assert wrote(attempt, TRACE[0]) == []
    assert not attempt.failed_alike(())
    assert attempt.failed(()) == [TRACE[0]]
