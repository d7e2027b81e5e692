"""Descriptions: from a typed function to its schemas and codecs.

Whoever offers an endpoint on some face works from an `EndpointDescription`; whoever runs or calls one, from an
`Endpoint`. Names, targets and routes are read here too, so that every face reads them alike.
"""

from microlite.core.description.declaration import DeclarationError, Place
from microlite.core.description.endpoint import Endpoint, Options, compile_endpoint
from microlite.core.description.routes import Route
from microlite.core.description.structs import (
    Encoding,
    EndpointDescription,
    Role,
    Schema,
    ServiceDescription,
    Streaming,
)

__all__ = [
    "DeclarationError",
    "Encoding",
    "Endpoint",
    "EndpointDescription",
    "Options",
    "Place",
    "Role",
    "Route",
    "Schema",
    "ServiceDescription",
    "Streaming",
    "compile_endpoint",
]
