"""`/openapi.json`: what the caller may call, as an OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from microlite.core import errors
from microlite.core.description.naming import BUILT_IN_SERVICES, normalise
from microlite.web.gateway.exchange import NO_CACHE
from microlite.web.openapi import document

if TYPE_CHECKING:
    from microlite.core.description.structs import ServiceDescription
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.exchange import Exchange

MAX_KEPT: Final = 64
"""Documents that are kept, by what was asked and by whom."""

VARY: Final = (b"vary", b"Authorization, Host, Micro-Namespace")
"""What the answer depends on."""

_encode = msgspec.json.encode


class OpenApiPage:
    """Answers with the document of all services, or of those that `?service=` names.

    A document is made once and kept until the path table changes.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._kept: dict[tuple[str, bool, tuple[str, ...]], dict[str, msgspec.Raw]] = {}
        self._version = edge.table.version
        self._making = asyncio.Lock()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            BadRequest: the query says something else than `service`.
            ServiceNotFound: there is no service of a name.
            Unauthorized: one is built in, and the caller is no admin.
        """
        access = self._edge.access
        namespace = access.namespace(exchange.head)
        is_admin = access.is_admin(exchange.head.fields.get(b"authorization"))
        parts = await self._parts(namespace, asked(exchange.query), is_admin=is_admin)
        body = _encode(
            {"openapi": parts["openapi"], "info": parts["info"], "servers": [{"url": own_url(exchange)}], **parts}
        )
        await exchange.reply(body, headers=[NO_CACHE, VARY])

    async def _parts(self, namespace: str, names: tuple[str, ...], *, is_admin: bool) -> dict[str, msgspec.Raw]:
        """The members of a document, encoded."""
        key = (namespace, is_admin, names)
        async with self._making:  # many ask when a service has changed, and one makes it
            if self._version != self._edge.table.version or len(self._kept) >= MAX_KEPT:
                self._version = self._edge.table.version
                self._kept.clear()
            parts = self._kept.get(key)
            if parts is None:
                version = self._version
                parts = await asyncio.to_thread(_make, services_for(self._edge, namespace, names, is_admin=is_admin))
                if version == self._edge.table.version:
                    self._kept[key] = parts
            return parts


def services_for(edge: Edge, namespace: str, names: tuple[str, ...], *, is_admin: bool) -> list[ServiceDescription]:
    """The services that a caller may read about: all, or those of these names.

    Raises:
        ServiceNotFound: there is no service of a name.
        Unauthorized: one is built in, and the caller is no admin.
    """
    known = {service.name: service for service in edge.table.services(namespace)}
    if not names:
        return [service for name, service in known.items() if is_admin or name not in BUILT_IN_SERVICES]
    for name in names:
        if name in BUILT_IN_SERVICES and not is_admin:
            raise errors.Unauthorized(
                f'"{name}" is a service of the platform: send Authorization: Bearer with the admin\'s token',
                id="gateway",
            )
        if name not in known:
            raise errors.ServiceNotFound(f'Service "{name}" not found', id="gateway")
    return [known[name] for name in names]


def _make(services: list[ServiceDescription]) -> dict[str, msgspec.Raw]:
    return {member: msgspec.Raw(_encode(value)) for member, value in document(services).items()}


def asked(query: bytes) -> tuple[str, ...]:
    """The names of the services that a query asks for, sorted; none for all."""
    names = set()
    for key, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if key != "service":
            raise errors.BadRequest(
                f"{key}: unknown; write ?service=name, as often as needed, or nothing", id="gateway"
            )
        names.add(normalise(value))
    return tuple(sorted(names))


def own_url(exchange: Exchange) -> str:
    """Where the client has found the gateway: that is where the paths are."""
    host = exchange.head.fields.get(b"host")
    if host is None:
        return "/"
    trusted = exchange.client in exchange.edge.options.trusted_proxies
    forwarded = exchange.head.metadata.get("x-forwarded-proto") if trusted else None
    scheme = "https" if forwarded == "https" else exchange.scope["scheme"]
    return f"{scheme}://{host.decode('latin-1')}"
