"""Trees of values as flat tables of leaves, and how they merge: pure functions.

A *leaf* is everything that is no table (dict), and the empty table. So an array is a leaf, with all that is in it. A tree is
a dict from canonical path to leaf in which no leaf lies below another one.

Merging one tree over another is what merging nested dicts is: where both have a table, key by key; elsewhere the upper one
is right. So an empty table over a table changes nothing, over a leaf it replaces it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from microlite.core import errors
from microlite.core.config.paths import ancestors, check_words, format_path, lies_within, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

V = TypeVar("V")

MAX_LEAF_BYTES: Final = 64 * 1024
"""Largest leaf, encoded."""

MAX_NESTING: Final = 32
"""How deep arrays and tables may stand in one another within a leaf."""


def flatten(value: object, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """The leaves of a value, by canonical path.

    Args:
        value: what JSON can say.
        words: the path at which the value stands.

    Raises:
        BadRequest: it holds something that JSON cannot say, or a path is too long.
        PayloadTooLarge: a leaf is too large.
    """
    leaves: dict[str, Any] = {}
    _flatten(value, words, leaves)
    return leaves


def nest(leaves: Mapping[str, Any], top: str = "") -> Any:
    """The value that stands at a path: a leaf, or the table of what lies below it.

    Args:
        leaves: a tree.
        top: a canonical path at or below which each of them lies.
    """
    if top and top in leaves:
        return leaves[top]
    depth = len(words_of(top))
    root: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *inner, last = words_of(path)[depth:]
        table = root
        for word in inner:
            table = table.setdefault(word, {})
        # an empty table is shared by whoever holds the tree, and may become a table with something in it here
        table[last] = {} if leaf == {} and isinstance(leaf, dict) else leaf
    return root


def within(leaves: Mapping[str, V], top: str) -> dict[str, V]:
    """The leaves at or below a canonical path."""
    if not top:
        return dict(leaves)
    return {path: leaf for path, leaf in leaves.items() if lies_within(path, top)}


def tables(leaves: Iterable[str]) -> set[str]:
    """The canonical paths that have a leaf below them."""
    return {above for path in leaves for above in ancestors(path)}


def is_empty_table(value: object) -> bool:
    """Whether a leaf is the empty table."""
    return isinstance(value, dict) and not value


def overlay(base: Mapping[str, V], top: Mapping[str, V], is_empty: Callable[[V], bool]) -> dict[str, V]:
    """One tree merged over another.

    Args:
        base: the lower one.
        top: the upper one; it wins.
        is_empty: whether a leaf stands for the empty table.
    """
    if not base:
        return dict(top)
    if not top:
        return dict(base)
    over = tables(top)
    merged = {
        path: leaf
        for path, leaf in base.items()
        if path not in over and not any(above in top and not is_empty(top[above]) for above in (path, *ancestors(path)))
    }
    kept = tables(merged)
    for path, leaf in top.items():
        if is_empty(leaf):
            if path in kept:
                continue
            below = merged.get(path)
            if below is not None and is_empty(below):
                continue
        merged[path] = leaf
    return merged


def check_leaf(value: object, path: str) -> None:
    """Raise if a value cannot be kept as a leaf; the detail never repeats it.

    Raises:
        BadRequest: it holds something that JSON cannot say.
        PayloadTooLarge: it is more than `MAX_LEAF_BYTES`.
    """
    _check(value, path, MAX_NESTING)
    size = len(msgspec.msgpack.encode(value))
    if size > MAX_LEAF_BYTES:
        raise errors.PayloadTooLarge(
            f"{path}: a value of the configuration has at most {MAX_LEAF_BYTES} bytes, not {size}; "
            "larger things belong into the store or a blob"
        )


def _flatten(value: object, words: tuple[str, ...], leaves: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if not isinstance(key, str):
                raise errors.BadRequest(
                    f"{format_path(words) or 'the configuration'}: the names in a table are texts, not {type(key).__name__}"
                )
            _flatten(inner, check_words((*words, key)), leaves)
        return
    path = format_path(words)
    if not path:
        if isinstance(value, dict):
            return
        raise errors.BadRequest(
            f"the whole configuration is a table, and cannot be {type_word(value)}; name a path, such as limits.max"
        )
    check_leaf(value, path)
    leaves[path] = value


def _check(value: object, path: str, left: int) -> None:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return
    if kind is int:
        if not -(2**63) <= value < 2**64:  # type: ignore[operator]  # an int
            raise errors.BadRequest(f"{path}: a whole number has at most 64 bits; write larger ones as text")
    elif kind is float:
        if not math.isfinite(value):  # type: ignore[arg-type]  # a float
            raise errors.BadRequest(f"{path}: a number must be finite")
    elif kind is list or kind is tuple or kind is dict:
        if not left:
            raise errors.BadRequest(f"{path}: nested deeper than {MAX_NESTING} levels")
        inner: Iterable[object] = value  # type: ignore[assignment]  # a list, tuple or dict
        if isinstance(value, dict):
            inner = value.values()
            if not all(isinstance(key, str) for key in value):
                raise errors.BadRequest(f"{path}: the names in a table are texts")
        for item in inner:
            _check(item, path, left - 1)
    else:
        raise errors.BadRequest(f"{path}: the configuration holds what JSON can say, and no {kind.__name__}")


def type_word(value: object) -> str:
    """The type of a JSON value in the words of messages."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return {bool: "a bool", int: "an int", float: "a float", str: "a str"}.get(type(value), type(value).__name__)
