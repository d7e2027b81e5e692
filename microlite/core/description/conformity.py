"""Whether a plain value fits a JSON Schema as descriptions hold them; what does not fit is told without repeating it."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.patience import OutOfPatienceError, Patience
from microlite.core.description.schema_path import REF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from microlite.core.description.structs import Schema

_MAX_STEPS: Final = 50
"""References one after the other; a description from elsewhere may lead in a circle."""

_WORDS: Final = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "null",
    "array": "list",
    "object": "table",
}

_BOUNDS: Final[tuple[tuple[str, Callable[[float, float], bool], str], ...]] = (
    ("minimum", operator.ge, "at least"),
    ("maximum", operator.le, "at most"),
    ("exclusiveMinimum", operator.gt, "more than"),
    ("exclusiveMaximum", operator.lt, "less than"),
)


def branches(node: Schema, root: Schema, steps: int = _MAX_STEPS) -> Iterator[Schema]:
    """What a schema allows, taken apart: references followed, alternatives one by one."""
    if steps <= 0:
        return
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith(REF):
        inner = root.get("$defs", {}).get(reference.removeprefix(REF))
        if isinstance(inner, dict):
            yield from branches(inner, root, steps - 1)
        return
    choices = node.get("anyOf") or node.get("oneOf")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict):
                yield from branches(choice, root, steps - 1)
        return
    yield node


def below(node: Schema, root: Schema, word: str) -> list[Schema] | None:
    """The schemas of a field; an empty list where anything goes, None where there can be no such field."""
    found: list[Schema] = []
    closed = True
    for branch in branches(node, root):
        properties = branch.get("properties")
        more = branch.get("additionalProperties")
        if isinstance(properties, dict) and isinstance(properties.get(word), dict):
            found.append(properties[word])
        elif isinstance(more, dict) and more:
            found.append(more)
        elif not branch or (
            branch.get("type") in ("object", None) and "properties" not in branch and more is not False
        ):
            closed = False  # a table of whatever one likes
    if found:
        return found
    return None if closed else []


def fields(node: Schema, root: Schema) -> list[str]:
    """The names of the fields that are known."""
    return sorted({name for branch in branches(node, root) for name in branch.get("properties", ())})


def expected(nodes: Sequence[Schema], root: Schema) -> str:
    """The types that schemas allow, in words: `int or null`."""
    words: list[str] = []
    for node in nodes:
        for branch in branches(node, root):
            word = branch.get("format") or _type_words(branch)
            if word and word not in words:
                words.append(word)
    return " or ".join(words) or "something else"


def misfit(value: Any, nodes: Sequence[Schema], root: Schema, steps: int = _MAX_STEPS) -> str:
    """What is wrong with a value, of which one of several schemas must be right; empty if nothing is.

    The text begins with where in the value that is, if not at its top: `[2].price: expected int, got str`.
    """
    options = [branch for node in nodes for branch in branches(node, root)]
    if not options or steps <= 0:
        return ""
    wrong = [_misfit(value, option, root, steps) for option in options]
    if "" in wrong:
        return ""
    alike = [text for option, text in zip(options, wrong, strict=True) if _has_type(value, option)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        return alike[0]
    return f"expected {expected(nodes, root)}, got {_type_of(value)}"


def _misfit(value: Any, schema: Schema, root: Schema, steps: int) -> str:
    if not _has_type(value, schema):
        return f"expected {_type_words(schema)}, got {_type_of(value)}"
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
        return f"expected one of {', '.join(map(str, choices))}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"expected {schema['const']}"
    if isinstance(value, str):
        return _text_misfit(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_misfit(value, schema)
    if isinstance(value, list | tuple):
        return _list_misfit(value, schema, root, steps)
    if isinstance(value, dict):
        return _table_misfit(value, schema, root, steps)
    return ""


def _text_misfit(value: str, schema: Schema) -> str:
    if len(value) < schema.get("minLength", 0):
        return f"expected at least {schema['minLength']} characters"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        return f"expected at most {schema['maxLength']} characters"
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            patience = Patience()
            fits = patience.finds(patience.compile(pattern), value)
        except re.error:
            return ""  # a pattern in another dialect: the service itself will tell
        except OutOfPatienceError:
            return "a pattern takes too long to match"
        if not fits:
            return f"expected a str that matches {pattern}"
    return ""


def _number_misfit(value: float, schema: Schema) -> str:
    for key, compare, words in _BOUNDS:
        bound = schema.get(key)
        if isinstance(bound, int | float) and not compare(value, bound):
            return f"expected {words} {bound}"
    step = schema.get("multipleOf")
    if isinstance(step, int) and step and value % step:
        return f"expected a multiple of {step}"
    return ""


def _list_misfit(value: Sequence[Any], schema: Schema, root: Schema, steps: int) -> str:
    if len(value) < schema.get("minItems", 0):
        return f"expected at least {schema['minItems']} items"
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        return f"expected at most {schema['maxItems']} items"
    first = schema.get("prefixItems", ())
    rest = schema.get("items")
    for index, item in enumerate(value):
        node = first[index] if index < len(first) else rest
        if isinstance(node, dict) and (wrong := misfit(item, [node], root, steps - 1)):
            return _located(f"[{index}]", wrong)
    return ""


def _table_misfit(value: dict[str, Any], schema: Schema, root: Schema, steps: int) -> str:
    for name in schema.get("required", ()):
        if name not in value:
            return f"required field {name} is missing"
    for name, inner in value.items():
        nodes = below(schema, root, name)
        if nodes is None:
            known = fields(schema, root)
            return f"unknown field {name}" + (f"; the fields are {', '.join(known)}" if known else "")
        if nodes and (wrong := misfit(inner, nodes, root, steps - 1)):
            return _located(f".{name}", wrong)
    return ""


def _located(place: str, wrong: str) -> str:
    """A text that already begins with a place gets this one in front of it."""
    return f"{place}{wrong}" if wrong.startswith((".", "[")) else f"{place}: {wrong}"


def _types(schema: Schema) -> tuple[str, ...]:
    kind = schema.get("type")
    if isinstance(kind, list):
        return tuple(kind)
    return (kind,) if isinstance(kind, str) else ()


def _type_words(schema: Schema) -> str:
    words = " or ".join(_WORDS.get(kind, kind) for kind in _types(schema))
    choices = schema.get("enum")
    return words or (f"one of {', '.join(map(str, choices))}" if isinstance(choices, list) else "")


def _has_type(value: Any, schema: Schema) -> bool:
    kinds = _types(schema)
    return not kinds or any(_is(value, kind) for kind in kinds)


def _is(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "array":
        return isinstance(value, list | tuple)
    wanted = {"string": str, "boolean": bool, "object": dict, "null": type(None)}.get(kind)
    return wanted is None or isinstance(value, wanted)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "table"
    return "list" if isinstance(value, list | tuple) else type(value).__name__


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)
