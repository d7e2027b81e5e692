"""Property: the range for a prefix and a cursor holds exactly the keys that it should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from microlite.core.engine.ranges import key_range, successor

ALPHABET = st.sampled_from(["a", "b", "\x01", "￿", "\ud7ff", "\ue000", "\U0010ffff", "\U0010fffe"])
TEXTS = st.text(ALPHABET, max_size=4)


@given(prefix=TEXTS, after=TEXTS, key=TEXTS.filter(bool), reverse=st.booleans())
def test_a_key_is_in_the_range_if_it_has_the_prefix_and_lies_behind_the_cursor(
    prefix: str, after: str, key: str, reverse: bool
) -> None:
    lower, upper = key_range(prefix, after, reverse=reverse)
    inside = key >= lower and (isinstance(upper, bytes) or key < upper)
    behind = not after or (key < after if reverse else key > after)
    assert inside == (key.startswith(prefix) and behind)


@given(prefix=TEXTS)
def test_a_successor_can_be_encoded(prefix: str) -> None:
    (successor(prefix) or "").encode()
