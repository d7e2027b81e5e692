"""What a service may say of itself. The library checks what it declares; a node need not be written with the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.description.media_type import ANY, is_media_type
from microlite.core.description.naming import check_endpoint_name
from microlite.core.description.routes import Route
from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from microlite.core.description.structs import ServiceDescription

MOST_ENDPOINTS: Final = 2000
"""Endpoints that one service may have."""


def check_claims(description: ServiceDescription) -> None:
    """See that a service claims no path but those under its own name, and nothing that the faces could not say.

    Raises:
        BadRequest: it does; the detail says what.
    """
    if len(description.endpoints) > MOST_ENDPOINTS:
        raise BadRequest(f"a service has {MOST_ENDPOINTS} endpoints at most, and this one {len(description.endpoints)}")
    names = set()
    for endpoint in description.endpoints:
        if check_endpoint_name(endpoint.name) != endpoint.name or endpoint.name in names:
            raise BadRequest(f"{endpoint.name!r}: endpoints have names that are normalised, and each its own")
        names.add(endpoint.name)
        if endpoint.route and not Route.parse(endpoint.route).lies_under(description.name):
            raise BadRequest(
                f"the route {endpoint.route!r} lies outside /{description.name}: routes lie under the own name"
            )
        if endpoint.produces not in ("", ANY) and not is_media_type(endpoint.produces):
            raise BadRequest(f"{endpoint.name!r} produces {endpoint.produces!r}, which is no media type")
