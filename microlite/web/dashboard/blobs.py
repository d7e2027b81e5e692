"""The blobs: what there is, to download, to upload and to delete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Stream

from microlite.core import errors
from microlite.core.description.file_head import FileHead
from microlite.core.durations import parse_duration
from microlite.core.store.api import DEFAULT_DATABASE
from microlite.core.store.blob_api import Blob, BlobNews, BlobPage
from microlite.web.dashboard.frame import HTML, csrf_token, secret_of, session_of
from microlite.web.dashboard.live import CALM, live

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAGE: Final = 50
"""Blobs on one page."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which blobs, as the address says.

    Attributes:
        cursor: of the page before; empty for the first.
    """

    database: str = DEFAULT_DATABASE
    prefix: str = ""
    cursor: str = ""

    def page(self, cursor: str) -> str:
        """The address of a page of these blobs."""
        fields = {"database": self.database, "prefix": self.prefix, "cursor": cursor}
        return f"/store/blobs?{urlencode({name: value for name, value in fields.items() if value})}"

    def content(self, name: str) -> str:
        """Where the content of a blob is downloaded."""
        return f"/store/blobs/content?{urlencode({'database': self.database, 'name': name})}"


def blob_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list of blobs, and what it leads to."""

    async def find(session: WebSession, place: Place) -> dict[str, Any]:
        page: BlobPage = await frame.calls.ask(
            session,
            "store.blobs.list",
            BlobPage,
            prefix=place.prefix,
            cursor=place.cursor,
            limit=PAGE,
            database=place.database,
        )
        following = place.page(page.cursor) if page.cursor is not None else ""
        return {"place": place, "blobs": page.blobs, "following": following}

    async def show(request: Request[Any, Any, Any], place: Place, trouble: str = "") -> Response[str]:
        session = session_of(request)
        databases: list[str] = await frame.calls.ask(session, "store.blobs.databases", list[str])
        context = await find(session, place)
        databases = sorted({*databases, place.database})
        return frame.page(request, "blobs/index.html", databases=databases, trouble=trouble, **context)

    async def fragments(session: WebSession, place: Place, csrf: str) -> AsyncGenerator[tuple[str, str], None]:
        """The list anew whenever something in it has changed, a burst of changes at once."""
        changed = asyncio.Event()

        async def follow() -> None:
            fields = {"prefix": place.prefix, "database": place.database}
            async for _ in frame.calls.follow(session, "store.blobs.watch", BlobNews, **fields):
                changed.set()

        following = asyncio.create_task(follow(), name="microlite: dashboard blobs")
        following.add_done_callback(lambda _: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if following.done():
                    await following
                    return
                yield "blobs", frame.render("blobs/_blobs.html", csrf=csrf, **await find(session, place))
                await asyncio.sleep(CALM)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    @get("/store/blobs")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        told = request.query_params
        databases: list[str] = await frame.calls.ask(session_of(request), "store.blobs.databases", list[str])
        database = told.get("database") or (databases[0] if databases else DEFAULT_DATABASE)
        place = Place(database=database, prefix=told.get("prefix", ""), cursor=told.get("cursor", ""))
        return await show(request, place)

    @get("/store/blobs/live")
    async def index_live(request: Request[Any, Any, Any]) -> Stream:
        told = request.query_params
        database = told.get("database") or DEFAULT_DATABASE
        place = Place(database=database, prefix=told.get("prefix", ""), cursor=told.get("cursor", ""))
        csrf = csrf_token(secret_of(request))
        return live(frame, request, fragments(session_of(request), place, csrf))

    @get("/store/blobs/content")
    async def content(request: Request[Any, Any, Any]) -> Stream:
        told = request.query_params
        name = told.get("name", "")
        pieces = frame.calls.follow(
            session_of(request),
            "store.blobs.read",
            FileHead | bytes,
            name=name,
            database=told.get("database", ""),
        )
        head: FileHead = await anext(pieces)
        headers = {
            "content-length": str(head.size),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}",
            "cache-control": "no-store",
        }
        return Stream(_whole(pieces), media_type="application/octet-stream", headers=headers)

    @post("/store/blobs/upload", status_code=200, request_max_body_size=None)
    async def upload(request: Request[Any, Any, Any]) -> Response[str]:
        told = request.query_params
        fields: dict[str, Any] = {"name": told.get("name", ""), "database": told.get("database", "")}
        fields["content_type"] = request.headers.get("content-type", "")
        if told.get("lives", "").strip():
            try:
                fields["ttl"] = parse_duration(told["lives"])
            except ValueError as error:
                raise errors.BadRequest(str(error)) from None
        await frame.calls.send(session_of(request), "store.blobs.write", Blob, request.stream(), **fields)
        return Response("", media_type=HTML)

    @post("/store/blobs/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        session, told = session_of(request), await request.form()
        place = Place(database=str(told.get("database", "")), prefix=str(told.get("prefix", "")))
        name, revision = str(told.get("name", "")), int(told.get("revision", "0"))
        try:
            await frame.calls.ask(
                session, "store.blobs.delete", None, name=name, expect=revision, database=place.database
            )
        except errors.Conflict as error:
            return await show(request, place, f"{error.detail}; it was not deleted.")
        if "hx-request" in request.headers:
            return await show(request, place)
        return Response("", media_type=HTML, status_code=303, headers={"location": place.page("")})

    return [index, index_live, content, upload, delete]


async def _whole(pieces: AsyncGenerator[Any, None]) -> AsyncGenerator[bytes, None]:
    """The bytes of a blob, behind its head."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()
