"""Paths and trees of the configuration, against a plain model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microlite.core import errors
from microlite.core.config.paths import ancestors, canonical, format_path, lies_within, parse_path
from microlite.core.config.tree import flatten, is_empty_table, nest, overlay

words = st.text(st.sampled_from('ab."\\ é\n'), max_size=3)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "<&>", 1.5])
leaves = scalars | st.lists(scalars | st.dictionaries(words, scalars, max_size=2), max_size=2)
tables = st.recursive(
    st.dictionaries(words, leaves, max_size=3),
    lambda inner: st.dictionaries(words, leaves | inner, max_size=3),
    max_leaves=8,
)


def merged(old: Any, new: Any) -> Any:
    """The model: nested dicts, merged key by key."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    return copy.deepcopy(new)


@given(st.lists(words, min_size=1, max_size=5))
def test_words_of_any_text_make_a_path_that_reads_back(parts: list[str]) -> None:
    """A path is canonical, and says its words, whatever stands in them."""
    path = format_path(parts)
    assert parse_path(path) == tuple(parts)
    assert canonical(path) == path


@given(st.lists(words, min_size=1, max_size=3), st.lists(words, min_size=1, max_size=3))
def test_below_a_path_lies_what_begins_with_its_words(top: list[str], other: list[str]) -> None:
    """A prefix of the text is a prefix of the words, also with dots and quotes in them."""
    within = lies_within(format_path(other), format_path(top))
    assert within == (other[: len(top)] == top)
    assert [format_path(other[:count]) for count in range(1, len(other))] == list(ancestors(format_path(other)))


@given(tables)
def test_a_tree_is_its_leaves(table: dict[str, Any]) -> None:
    """Taking a table apart and putting it together again changes nothing."""
    assert nest(flatten(table)) == table


@given(tables, tables)
def test_layers_merge_as_nested_tables_do(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    """Leaf by leaf, a list being one; a leaf over a table and a table over a leaf win."""
    assert nest(overlay(flatten(lower), flatten(upper), is_empty_table)) == merged(lower, upper)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a..b", "character 3"),
        (".a", "character 1"),
        ("a.", "found nothing"),
        ('a."b', "quote at character 3"),
        ('"a"b', "expected a dot at character 4"),
        ("a b", "quote"),
        (".".join("a" * 40), "at most 32 words"),
        ("a" * 600, "at most 512 bytes"),
    ],
)
def test_a_malformed_path_says_where(text: str, says: str) -> None:
    """A 400 that points at the character."""
    with pytest.raises(errors.BadRequest, match=says):
        parse_path(text)


@pytest.mark.parametrize("value", [float("nan"), 2**64, b"x", {"a": {1: 2}}, [{1: 2}]])
def test_what_json_cannot_say_is_refused_by_its_path(value: object) -> None:
    """The configuration holds what every face can show."""
    with pytest.raises(errors.BadRequest, match=r"^top\.leaf"):
        flatten({"leaf": value}, ("top",))
