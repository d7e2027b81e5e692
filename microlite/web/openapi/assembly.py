"""The whole document: services as tags, endpoints as operations, types as named schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.version import __version__
from microlite.web.openapi.components import RESERVED, Components, list_parts
from microlite.web.openapi.errors import ERROR_SCHEMA, HEADERS, error_components
from microlite.web.openapi.operations import SCHEME, list_operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from microlite.core.description.structs import ServiceDescription

VERSION: Final = "3.1.0"
"""Of the OpenAPI specification (https://spec.openapis.org/oas/v3.1.0.html)."""

_PARAMETERS: Final = {
    "Timeout": {
        "name": "Timeout",
        "in": "header",
        "description": "How long the call may take: seconds, or a number with a unit, as in `500ms` or `2m`.",
        "schema": {"type": "string", "pattern": r"^((?=.*[1-9])[0-9]+(\.[0-9]+)?(ms|s|m|h|d)?)?$", "default": "30s"},
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "The trace to which the call belongs (https://www.w3.org/TR/trace-context/).",
        "schema": {"type": "string"},
    },
}
_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token (`auth.token` gives one for an account and its secret), a personal access token, or "
    "the token of the platform's admin.",
}


def document(
    services: Iterable[ServiceDescription],
    *,
    title: str = "",
    version: str = "",
    servers: Sequence[str] = (),
) -> dict[str, Any]:
    """The OpenAPI document of these services. It depends on nothing but them, and not on their order.

    Args:
        services: what the reader may call; built-in ones are known by their names.
        title: of the document; without it that of the only service, or of the platform.
        version: of what is described; without it that of the only service, or of the platform.
        servers: URLs under which the paths lie.
    """
    ordered = sorted(
        (_offered(service) for service in services),
        key=lambda service: (service.name in BUILT_IN_SERVICES, service.name),
    )
    only = ordered[0] if len(ordered) == 1 else None
    info = {
        "title": title or (only.name if only else "microlite"),
        "version": version or (only.version if only else __version__),
    }
    if only is not None and only.doc:
        info["description"] = only.doc
    components = Components(
        part for service in ordered for endpoint in service.endpoints for part in list_parts(service, endpoint).values()
    )
    return {
        "openapi": VERSION,
        "info": info,
        **({"servers": [{"url": url} for url in servers]} if servers else {}),
        "tags": [_tag(service) for service in ordered],
        "paths": _paths(ordered, components),
        "components": {
            "schemas": {RESERVED: ERROR_SCHEMA, **components.schemas},
            "responses": error_components(),
            "parameters": _PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {SCHEME: _SCHEME},
        },
    }


def _offered(service: ServiceDescription) -> ServiceDescription:
    """The service without what only the platform calls, see `EndpointDescription.triggers`."""
    if not any(endpoint.triggers for endpoint in service.endpoints):
        return service
    return msgspec.structs.replace(
        service, endpoints=tuple(endpoint for endpoint in service.endpoints if not endpoint.triggers)
    )


def _tag(service: ServiceDescription) -> dict[str, Any]:
    """A service, with what it says about itself. An HTTP program has no endpoints, and is only named."""
    doc = service.doc
    if service.metadata.get("protocol") == "http":
        own = f"An HTTP program: it answers below `/{service.name}/`, in its own way."
        doc = f"{doc}\n\n{own}" if doc else own
    tag: dict[str, Any] = {"name": service.name}
    if doc:
        tag["description"] = doc
    tag["x-version"] = service.version
    if service.metadata:
        tag["x-metadata"] = service.metadata
    return tag


def _paths(services: Iterable[ServiceDescription], components: Components) -> dict[str, Any]:
    """All operations by path and method. Of two for the same requests the first is kept."""
    paths: dict[str, dict[str, Any]] = {}
    templates: dict[tuple[str, ...], tuple[str, ...]] = {}
    for service in services:
        for endpoint in service.endpoints:
            for operation in list_operations(service, endpoint, components):
                # paths that differ in the names of their parameters only are one path, with one set of names
                shape = tuple("{}" if segment.startswith("{") else segment for segment in operation.segments)
                named = operation._replace(segments=templates.setdefault(shape, operation.segments))
                item = paths.setdefault(named.path, _path_item())
                if named.method not in item:
                    item[named.method] = _rename(operation.content, operation.segments, named.segments)
    return paths


def _path_item() -> dict[str, Any]:
    """A path with the headers that each request may have."""
    return {"parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]}


def _rename(content: dict[str, Any], segments: Sequence[str], named: Sequence[str]) -> dict[str, Any]:
    """An operation with the names that the path has for its parameters."""
    names = {mine[1:-1]: other[1:-1] for mine, other in zip(segments, named, strict=True) if mine != other}
    if not names:
        return content
    parameters = [
        {**one, "name": names.get(one["name"], one["name"])} if one["in"] == "path" else one
        for one in content["parameters"]
    ]
    return {**content, "parameters": parameters}
