"""The named schemas of a document: each type once, under a name that no other type has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.core.description.schema_path import REF
from microlite.web.openapi.walk import DEFINITIONS, references, replace_refs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from microlite.core.description.structs import EndpointDescription, Schema, ServiceDescription

COMPONENT: Final = "#/components/schemas/"
RESERVED: Final = "Error"
"""The schema of all errors; a user's type of this name gets a longer one."""

_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9._-]+")
_fingerprint = msgspec.json.Encoder(order="sorted").encode


class Part(NamedTuple):
    """One schema of an endpoint: of its request, of the items that its caller streams, or of its response."""

    service: str
    endpoint: str
    role: str
    """`request`, `items` or `response`."""
    schema: Schema

    @property
    def definitions(self) -> dict[str, Schema]:
        """What the schema refers to, by name."""
        found: dict[str, Schema] = self.schema.get(DEFINITIONS) or {}
        return found

    @property
    def direction(self) -> str:
        """Which way it travels: a type may be read by other rules than it is written by."""
        return "Output" if self.role == "response" else "Input"


_NAMINGS: Final[tuple[Callable[[str, Part], str], ...]] = (
    lambda name, part: name,  # noqa: ARG005 - one signature
    lambda name, part: f"{name}-{part.direction}",
    lambda name, part: f"{part.service}.{name}",
    lambda name, part: f"{part.service}.{name}-{part.direction}",
    lambda name, part: f"{part.service}.{part.endpoint}.{name}",
    lambda name, part: f"{part.service}.{part.endpoint}.{part.role}.{name}",
)
"""From short to long. A type takes the first naming under which no other type of its name is called the same."""


class Components:
    """The definitions of many endpoints, put together.

    Two definitions are one type where they and all that they refer to are equal. The names depend on the parts alone,
    not on their order.

    Args:
        parts: all that will be asked for.

    Attributes:
        schemas: by name, sorted.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        ordered = sorted(parts, key=lambda part: part[:3])
        types: dict[str, dict[bytes, list[tuple[Part, str]]]] = {}
        for part in ordered:
            for name in part.definitions:
                base = _NOT_ALLOWED.sub("_", name) or "_"
                types.setdefault(base, {}).setdefault(_closure(part, name), []).append((part, name))
        self._names: dict[tuple[str, str, str, str], str] = {}
        taken = {RESERVED}
        for base, variants in types.items():
            names = _distinct([[part for part, _ in uses] for uses in variants.values()], base)
            for name, uses in zip(names, variants.values(), strict=True):
                free, number = name, 2
                while free in taken:
                    free, number = f"{name}-{number}", number + 1
                taken.add(free)
                for part, written in uses:
                    self._names[*part[:3], written] = free
        self.schemas: dict[str, Any] = {}
        for part in ordered:
            for written, schema in part.definitions.items():
                name = self._names[*part[:3], written]
                if name not in self.schemas:
                    self.schemas[name] = adopted = self.adopt(part, schema)
                    if name != written and "title" in schema:
                        adopted["title"] = name  # generators name classes by it
        self.schemas = dict(sorted(self.schemas.items()))

    def adopt(self, part: Part, schema: Any) -> Any:
        """A schema of a part, or a piece of it, as it stands in the document."""

        def replace(reference: str) -> str | None:
            name = self._names.get((*part[:3], reference.removeprefix(REF)))
            return COMPONENT + name if name is not None else None

        return replace_refs(schema, replace)


def list_parts(service: ServiceDescription, endpoint: EndpointDescription) -> dict[str, Part]:
    """The parts of an endpoint, by role."""
    schemas = {"request": endpoint.request, "items": endpoint.items, "response": endpoint.response}
    return {
        role: Part(service.name, endpoint.name, role, schema) for role, schema in schemas.items() if schema is not None
    }


def _closure(part: Part, name: str) -> bytes:
    """A definition with all that it refers to, in a form in which equal ones are equal."""
    definitions = part.definitions
    found: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found[name] = definitions[name]
            waiting += [reference.removeprefix(REF) for reference in references(definitions[name])]
    return _fingerprint(found)


def _distinct(variants: Sequence[Sequence[Part]], base: str) -> list[str]:
    """A name for each type, given where each is used."""
    namings = _NAMINGS[2:] if base == RESERVED else _NAMINGS
    for naming in namings:
        names = [dict.fromkeys(naming(base, part) for part in uses) for uses in variants]
        if sum(map(len, names)) == len(set().union(*names)):
            return [next(iter(choices)) for choices in names]
    return [namings[-1](base, uses[0]) for uses in variants]
