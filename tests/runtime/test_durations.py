"""Durations as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core.durations import format_ago, format_duration, parse_duration, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("90s", 90),
        ("2d", 172_800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("1d2h3m4s5ms", 93_784.005),
        (" 5s ", 5),
        ("0", 0),
    ],
)
def test_what_people_write_is_understood(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "10x", "m10", "-5s", "1m1h", "1m1m", "1h 30m", "1,5h", "s", "1e3s", "inf", "٣m"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4, "4s ago"),
        (4.9, "4s ago"),
        (60, "1m0s ago"),
        (4532, "1h15m32s ago"),
        (86_400, "1d0h0m0s ago"),
        (0, "0s ago"),
        (-3, "0s ago"),
    ],
)
def test_ages_are_shown_as_micro_shows_them(seconds: float, text: str) -> None:
    assert format_ago(seconds) == text


@given(st.integers(min_value=0, max_value=10**10))
def test_what_is_shown_can_be_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 10**9))
def test_a_written_length_reads_as_the_same(seconds: int) -> None:
    assert parse_duration(write_duration(seconds)) == seconds


def test_a_written_length_can_be_cut_to_what_matters() -> None:
    assert write_duration(200_000, 2) == "2d7h"
    assert write_duration(59.9, 2) == "59s"
    assert (write_duration(0.5), write_duration(0), write_duration(5400)) == ("0.5s", "0s", "1h30m")
