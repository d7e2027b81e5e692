"""Finding one's way in a schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from microlite.core.description.structs import Schema

REF: Final = "#/$defs/"
"""With what each reference in our schemas begins."""

_MAX_STEPS: Final = 100
"""References one after the other; a description from elsewhere may lead in a circle."""

_STEPS: Final = re.compile(r"\[[^\]]*\]|[^.\[]+")


def find(schema: Schema, path: str) -> Schema:
    """The schema at a path as errors name it, `items[0].price`; an empty one where nothing is known."""
    node = dereference(schema, schema)
    for step in _STEPS.findall(path):
        if step.startswith("["):
            inner = node.get("items") if step[1:-1].isdigit() else node.get("additionalProperties")
        else:
            inner = node.get("properties", {}).get(step)
        if not isinstance(inner, dict):
            return {}
        node = dereference(inner, schema)
    return node


def dereference(node: Schema, root: Schema) -> Schema:
    """What a schema refers to, also through `X | None`; itself where it refers to nothing, an empty one in a circle."""
    for _ in range(_MAX_STEPS):
        choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
        if len(choices) == 1:
            node = choices[0]
        elif node.get("$ref", "").startswith(REF):
            node = root.get("$defs", {}).get(node["$ref"].removeprefix(REF), {})
        else:
            return node
    return {}
