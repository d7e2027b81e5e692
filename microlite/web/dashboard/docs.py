"""The API docs: Swagger UI over the OpenAPI document, from files of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import Request, Response, get

from microlite.core import errors
from microlite.core.description.structs import ServiceDescription
from microlite.core.events.api import TopicStatus
from microlite.core.registry.api import ServiceRecord
from microlite.web.asyncapi import document as asyncapi_document
from microlite.web.dashboard.frame import session_of
from microlite.web.dashboard.policy import policy
from microlite.web.openapi import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
        services = await chosen(request)
        return await answer(lambda: document(services, servers=(frame.gateway,)))

    @get("/docs/asyncapi.json")
    async def asyncapi(request: Request[Any, Any, Any]) -> Response[bytes]:
        services = await chosen(request)
        statuses = await frame.calls.ask(session_of(request), "events.topics", list[TopicStatus])
        topics = {} if request.query_params.get("service") else {one.name: one.settings.schema for one in statuses}
        return await answer(lambda: asyncapi_document(services, gateway=frame.gateway, topics=topics))

    async def chosen(request: Request[Any, Any, Any]) -> list[ServiceDescription]:
        records = await frame.calls.ask(session_of(request), "registry.list", list[ServiceRecord], built_in=True)
        wanted = request.query_params.get("service", "")
        found = {record.name: record for record in records if wanted in ("", record.name)}
        if wanted and not found:
            raise errors.ServiceNotFound(f'Service "{wanted}" not found')
        return _describe(found.values())

    async def answer(make: Callable[[], dict[str, Any]]) -> Response[bytes]:
        made = await asyncio.to_thread(lambda: msgspec.json.encode(make()))
        return Response(made, media_type=JSON, headers={"cache-control": "no-store"})

    return [docs, openapi, asyncapi]


def _describe(records: Iterable[ServiceRecord]) -> list[ServiceDescription]:
    return [
        ServiceDescription(
            name=record.name,
            version=record.version,
            doc=record.doc,
            metadata=record.metadata,
            endpoints=record.endpoints,
            publishes=record.publishes,
        )
        for record in records
    ]
