"""The API docs: Swagger UI over the OpenAPI document, from files of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get

from microlite.core import errors
from microlite.core.description.structs import ServiceDescription
from microlite.core.registry.api import ServiceRecord
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.policy import policy
from microlite.web.openapi import document

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from microlite.web.dashboard.frame import Frame

JSON: Final = "application/json"


def docs_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The page, and the document that it shows."""

    @get("/docs")
    async def docs(request: Request[Any, Any, Any]) -> Response[str]:
        records = await frame.calls.ask(session_of(request), "registry.list", list[ServiceRecord], built_in=True)
        answer = frame.page(
            request,
            "docs/index.html",
            names=sorted({record.name for record in records if not record.built_in}),
            built_in=sorted({record.name for record in records if record.built_in}),
            service=request.query_params.get("service", ""),
        )
        # What is tried out there goes to the gateway, as anybody's request does.
        answer.headers["content-security-policy"] = policy(connect=frame.gateway)
        return answer

    @get("/docs/openapi.json")
    async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
        records = await frame.calls.ask(session_of(request), "registry.list", list[ServiceRecord], built_in=True)
        wanted = request.query_params.get("service", "")
        chosen = {record.name: record for record in records if wanted in ("", record.name)}
        if wanted and not chosen:
            raise errors.ServiceNotFound(f'Service "{wanted}" not found')
        made = await asyncio.to_thread(_make, list(chosen.values()), frame.gateway)
        return Response(made, media_type=JSON, headers={"cache-control": "no-store"})

    return [docs, openapi]


def _make(records: list[ServiceRecord], gateway: str) -> bytes:
    services = [
        ServiceDescription(
            name=record.name,
            version=record.version,
            doc=record.doc,
            metadata=record.metadata,
            endpoints=record.endpoints,
        )
        for record in records
    ]
    return msgspec.json.encode(document(services, servers=(gateway,)))
