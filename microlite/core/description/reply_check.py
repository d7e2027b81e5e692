"""Whether what a function returned can be what it declares: a check of kinds, cheap enough for every call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from microlite.core.description.structs import Schema

_KINDS: Final[dict[type, tuple[str, ...]]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    tuple: ("array",),
    dict: ("object",),
}
"""The kinds of JSON that the values of a type can be. Values of further types are left to the encoder."""


class ReplyError(TypeError):
    """A function returned something else than it declares. Its text says what, where, and what to do."""


def misfits(schema: Schema) -> frozenset[type]:
    """The types of which no value fits a response with this schema; none where it says too little to tell."""
    kinds = set(_kinds(schema, schema, 0))
    return frozenset() if "" in kinds else frozenset(kind for kind, fits in _KINDS.items() if kinds.isdisjoint(fits))


def _kinds(schema: Schema, root: Schema, depth: int) -> Iterator[str]:
    """The kinds of JSON that a schema allows; an empty one where it does not say."""
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    reference = schema.get("$ref", "")
    if depth > 8:
        yield ""
    elif alternatives:
        for one in alternatives:
            yield from _kinds(one, root, depth + 1)
    elif reference.startswith("#/$defs/"):
        yield from _kinds(root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {}), root, depth + 1)
    else:
        kind = schema.get("type", "")
        yield from (kind,) if isinstance(kind, str) else kind


def wrong_reply(value: Any, declared: str) -> ReplyError:
    """The error for a value of another kind than is declared."""
    return ReplyError(f"it returned {type(value).__qualname__} ({_short(value)}), and declares `{declared}`")


def unsendable(value: Any, reason: Exception, *, is_async: bool) -> ReplyError:
    """The error for a value that the encoder refuses.

    Args:
        value: what was returned.
        reason: what the encoder says.
        is_async: whether the function can await.
    """
    name = type(value).__qualname__
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()  # it will never run, and Python need not warn of that too
        instead = "did you forget `await`?" if is_async else "write `async def`, and `await` in front of the call"
        return ReplyError(f"it returned a {name} in place of its result: {instead}")
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        stream = "AsyncIterator" if inspect.isasyncgen(value) else "Iterator"
        return ReplyError(f"it returned a generator: write `-> {stream}[...]` to stream its items, or return a list")
    return ReplyError(str(reason))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
