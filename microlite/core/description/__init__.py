"""Descriptions: from a typed function to its schemas and codecs.

Whoever offers an endpoint on some face works from an `EndpointDescription`; whoever runs or calls one, from an
`Endpoint`. Names, targets and routes are read here too, so that every face reads them alike.

The names below are imported when they are first asked for: a client command reads targets and needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from microlite.core.description.declaration import DeclarationError, Place
    from microlite.core.description.endpoint import Endpoint, Options, compile_endpoint
    from microlite.core.description.routes import Route
    from microlite.core.description.structs import (
        Consume,
        Encoding,
        EndpointDescription,
        Every,
        Missed,
        Overlap,
        Role,
        Schema,
        ServiceDescription,
        Streaming,
        Subscribe,
        Trigger,
    )

__all__ = [
    "Consume",
    "DeclarationError",
    "Encoding",
    "Endpoint",
    "EndpointDescription",
    "Every",
    "Missed",
    "Options",
    "Overlap",
    "Place",
    "Role",
    "Route",
    "Schema",
    "ServiceDescription",
    "Streaming",
    "Subscribe",
    "Trigger",
    "compile_endpoint",
]

_HOMES: Final = {
    "declaration": ("DeclarationError", "Place"),
    "endpoint": ("Endpoint", "Options", "compile_endpoint"),
    "routes": ("Route",),
    "structs": (
        "Consume",
        "Encoding",
        "EndpointDescription",
        "Every",
        "Missed",
        "Overlap",
        "Role",
        "Schema",
        "ServiceDescription",
        "Streaming",
        "Subscribe",
        "Trigger",
    ),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
