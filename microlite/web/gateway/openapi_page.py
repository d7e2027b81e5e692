"""`/openapi.json`: what the caller may call, as an OpenAPI document."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from microlite.core import errors
from microlite.core.description.naming import normalise
from microlite.web.gateway.exchange import NO_CACHE
from microlite.web.openapi import document

if TYPE_CHECKING:
    from microlite.core.context import Account
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
        self._kept: dict[tuple[object, ...], dict[str, msgspec.Raw]] = {}
        self._version = edge.table.version
        self._making = asyncio.Lock()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request.

        Raises:
            BadRequest: the query says something else than `service`.
            ServiceNotFound: there is no service of a name.
            Unauthorized: nothing of one may be called without an account.
            Forbidden: nothing of one may be called by this one.
        """
        namespace = self._edge.access.namespace(exchange.head, exchange.caller)
        parts = await self._parts(namespace, asked(exchange.query), exchange.caller.account)
        body = _encode(
            {"openapi": parts["openapi"], "info": parts["info"], "servers": [{"url": own_url(exchange)}], **parts}
        )
        await exchange.reply(body, headers=[NO_CACHE, VARY])

    async def _parts(self, namespace: str, names: tuple[str, ...], account: Account | None) -> dict[str, msgspec.Raw]:
        """The members of a document, encoded."""
        key = (namespace, self._edge.access.rules(namespace), rights(account), names)
        async with self._making:  # many ask when a service has changed, and one makes it
            if self._version != self._edge.table.version or len(self._kept) >= MAX_KEPT:
                self._version = self._edge.table.version
                self._kept.clear()
            parts = self._kept.get(key)
            if parts is None:
                version = self._version
                parts = await asyncio.to_thread(_make, services_for(self._edge, namespace, names, account))
                if version == self._edge.table.version:
                    self._kept[key] = parts
            return parts


def rights(account: Account | None) -> tuple[object, ...]:
    """On what it depends what somebody may call."""
    return () if account is None else (account.namespace, account.type, account.scopes)


def services_for(
    edge: Edge, namespace: str, names: tuple[str, ...], account: Account | None
) -> list[ServiceDescription]:
    """The services of which a caller may call something, with what he may: all, or those of these names.

    Raises:
        ServiceNotFound: there is no service of a name.
        Unauthorized: nothing of one may be called without an account.
        Forbidden: nothing of one may be called by this one.
    """
    known = {service.name: service for service in edge.table.services(namespace)}
    for name in names:
        if name not in known:
            raise errors.ServiceNotFound(f'Service "{name}" not found', id="gateway")
    found = [edge.access.callable_of(account, namespace, known[name]) for name in names or known]
    for service in found if names else ():
        if known[service.name].endpoints and not service.endpoints:
            if account is None:
                raise errors.Unauthorized(
                    f'"{service.name}" is not open to all: send Authorization: Bearer with a token', id="gateway"
                )
            raise errors.Forbidden(f'nothing of "{service.name}" may be called by {account.id}', id="gateway")
    return [service for service in found if service.endpoints or not known[service.name].endpoints]


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
