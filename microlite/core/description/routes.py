"""Routes that an endpoint declares, `GET /orders/{id}`, beside the path that its name gives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from microlite.core.description.naming import normalise
from microlite.core.description.schema_path import dereference
from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from microlite.core.description.structs import Schema

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""What a route may name. HEAD and OPTIONS are answered for every path without being declared."""

_LITERAL: Final = re.compile(r"[A-Za-z0-9._~-]+")
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TEXT_TYPES: Final = frozenset({"string", "integer", "number", "boolean"})


class Route:
    """A method and a template of path segments, each a literal or a `{parameter}`.

    Attributes:
        method: one of `METHODS`.
        segments: the template's parts, in order; a parameter keeps its braces.
        parameters: the names of the parameters, in order.
        shape: method and segments with the parameters' names left out. Two routes of one shape match the same paths.
    """

    __slots__ = ("method", "parameters", "segments", "shape")

    def __init__(self, method: str, template: str) -> None:
        if method not in METHODS:
            raise BadRequest(f"'{method}' is no method of a route; use one of {', '.join(METHODS)}")
        if not template.startswith("/") or template == "/":
            raise BadRequest(f"the route '{template}' needs a path that begins with a slash and a name: /orders")
        segments = tuple(template[1:].split("/"))
        parameters: list[str] = []
        for segment in segments:
            if match := _PARAMETER.fullmatch(segment):
                if match[1] in parameters:
                    raise BadRequest(f"the route '{template}' has the parameter {segment} twice")
                parameters.append(match[1])
            elif segment in (".", "..") or not _LITERAL.fullmatch(segment):
                raise BadRequest(
                    f"the route '{template}': '{segment}' is no segment; between slashes stand letters, digits, "
                    "'-', '.', '_' and '~', or one whole {parameter}"
                )
        self.method = method
        self.segments = segments
        self.parameters = tuple(parameters)
        self.shape = (method, *("{}" if segment.startswith("{") else segment for segment in segments))

    @classmethod
    def parse(cls, text: str) -> Route:
        """A route from `GET /orders/{id}`.

        Raises:
            BadRequest: it is not of this form.
        """
        method, _, template = text.strip().partition(" ")
        if not template:
            raise BadRequest(f"'{text}' is no route; write a method and a path, as in GET /orders/{{id}}")
        return cls(method.upper(), template.strip())

    @property
    def template(self) -> str:
        """The path with its parameters in braces."""
        return "/" + "/".join(self.segments)

    @property
    def is_literal(self) -> bool:
        """Whether it matches one path only; such a route goes before endpoint names, the others after."""
        return not self.parameters

    @property
    def precedence(self) -> tuple[int, ...]:
        """Sorting by this puts first what is to be tried first: at the leftmost difference a literal wins."""
        return tuple(segment.startswith("{") for segment in self.segments)

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The parameters' values for the decoded segments of a path, or None where they do not match."""
        if len(segments) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for mine, given in zip(self.segments, segments, strict=True):
            if mine.startswith("{"):
                values[mine[1:-1]] = given
            elif mine != given:
                return None
        return values

    def lies_under(self, service: str) -> bool:
        """Whether the path begins with the service's own name (`v1.orders` owns `/v1/orders`)."""
        own = normalise(service).split(".")
        return list(self.segments[: len(own)]) == own

    def check_fields(self, request: Schema) -> None:
        """Check that each parameter is a field of the request, and of a type that can be written in a path.

        Raises:
            BadRequest: one is not.
        """
        fields: dict[str, Schema] = request.get("properties", {})
        for name in self.parameters:
            if name not in fields:
                known = ", ".join(fields) or "none"
                raise BadRequest(
                    f"the route '{self}' has {{{name}}}, but the function has no such parameter (it has {known})"
                )
            if not _is_text(fields[name], request):
                raise BadRequest(
                    f"the route '{self}': `{name}` cannot be written in a path; "
                    "give it a type such as str, int, UUID, date or an enum"
                )

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def __repr__(self) -> str:
        return f"Route({self.method!r}, {self.template!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Route) and (self.method, self.segments) == (other.method, other.segments)

    def __hash__(self) -> int:
        return hash((self.method, self.segments))


def _is_text(schema: Schema, root: Schema) -> bool:
    schema = dereference(schema, root)
    choices: Iterable[Any] = schema.get("anyOf", ())
    if choices:
        return any(_is_text(choice, root) for choice in choices if choice.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return True
    return schema.get("type") in _TEXT_TYPES
