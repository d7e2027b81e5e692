"""The records: databases and tables to look through, records to change, and both live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Stream

from microlite.core import errors
from microlite.core.description.structs import Encoding
from microlite.core.store import values
from microlite.core.store.api import (
    DEFAULT_DATABASE,
    DEFAULT_TABLE,
    Change,
    ChangeKind,
    Page,
    Record,
    ValueEncoding,
    Written,
)
from microlite.web.dashboard.frame import HTML, session_of
from microlite.web.dashboard.live import CALM, live
from microlite.web.dashboard.store_forms import FORMS, form_of, read_form

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.handlers import HTTPRouteHandler

    from microlite.core.auth.web_sessions import WebSession
    from microlite.web.dashboard.frame import Frame

PAGE: Final = 50
"""Records on one page."""

SHORT: Final = 200
"""Characters of a value in the list."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which records, as the address says.

    Attributes:
        cursor: of the page before; empty for the first.
    """

    database: str = DEFAULT_DATABASE
    table: str = DEFAULT_TABLE
    prefix: str = ""
    suffix: str = ""
    order: str = "asc"
    cursor: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a request that name the table."""
        return {"database": self.database, "table": self.table}

    @property
    def query(self) -> str:
        """The query of the address of the table."""
        return urlencode(self.fields)

    def page(self, cursor: str) -> str:
        """The address of a page of these records."""
        fields = {**msgspec.structs.asdict(self), "cursor": cursor}
        return f"/store?{urlencode({name: value for name, value in fields.items() if value})}"

    def record(self, key: str) -> str:
        """The address of a record."""
        return f"/store/record?{urlencode({**self.fields, 'key': key})}"


class Row(msgspec.Struct, frozen=True):
    """A record in the list."""

    key: str
    address: str
    text: str
    kind: str
    size: int
    expires_at: float | None
    revision: int


def store_pages(frame: Frame) -> list[HTTPRouteHandler]:
    """The list of a table, the page of a record, and what changes it."""

    async def find(session: WebSession, place: Place) -> dict[str, Any]:
        page: Page = await frame.calls.ask(
            session,
            "store.scan",
            Page,
            prefix=place.prefix,
            suffix=place.suffix,
            order=place.order,
            cursor=place.cursor,
            limit=PAGE,
            **place.fields,
        )
        return {
            "rows": [_row(record, place) for record in page.records],
            "place": place,
            "following": place.page(page.cursor) if page.cursor is not None else "",
            "revision": page.revision,
        }

    async def fragments(session: WebSession, place: Place, since: int) -> AsyncGenerator[tuple[str, str], None]:
        async for _ in _bursts(frame, session, since, prefix=place.prefix, **place.fields):
            yield "records", frame.render("store/_records.html", **await find(session, place))

    async def news(session: WebSession, place: Place, key: str, since: int) -> AsyncGenerator[tuple[str, str], None]:
        async for change in _bursts(frame, session, since, key=key, **place.fields):
            yield "record", frame.render("store/_news.html", change=change, address=place.record(key))

    async def show_record(
        request: Request[Any, Any, Any], place: Place, key: str, record: Record | None, **more: Any
    ) -> Response[str]:
        form = form_of(record)
        context = {
            "place": place,
            "key": key,
            "record": record,
            "form": form,
            "forms": FORMS,
            "trouble": "",
            "theirs": "",
            **more,
        }
        return frame.page(request, "store/record.html", **context)

    async def read(session: WebSession, place: Place, key: str) -> Record | None:
        (record,) = await frame.calls.ask(session, "store.read-many", list[Record | None], keys=[key], **place.fields)
        return record  # type: ignore[no-any-return]  # as the type says that was asked for

    @get("/store")
    async def index(request: Request[Any, Any, Any]) -> Response[str]:
        session, told = session_of(request), request.query_params
        databases: list[str] = await frame.calls.ask(session, "store.databases", list[str])
        database = told.get("database") or (databases[0] if databases else DEFAULT_DATABASE)
        tables: list[str] = await frame.calls.ask(session, "store.tables", list[str], database=database)
        table = told.get("table") or (tables[0] if tables else DEFAULT_TABLE)
        place = _place(request, database, table)
        context = await find(session, place)
        known = sorted({*databases, database}) if told.get("database") else databases
        return frame.page(
            request,
            "store/index.html",
            databases=known,
            tables=sorted({*tables, table}) if known else [],
            **context,
        )

    @get("/store/live")
    async def index_live(request: Request[Any, Any, Any]) -> Stream:
        return live(frame, request, fragments(session_of(request), _place(request), _since(request)))

    @get("/store/record")
    async def show(request: Request[Any, Any, Any]) -> Response[str]:
        place, key = _place(request), request.query_params.get("key", "")
        record = await read(session_of(request), place, key) if key else None
        return await show_record(request, place, key, record)

    @get("/store/record/live")
    async def record_live(request: Request[Any, Any, Any]) -> Stream:
        key = request.query_params.get("key", "")
        return live(frame, request, news(session_of(request), _place(request), key, _since(request)))

    @get("/store/value")
    async def download(request: Request[Any, Any, Any]) -> Response[bytes]:
        place, key = _place(request), request.query_params.get("key", "")
        record = await read(session_of(request), place, key)
        if record is None:
            raise errors.NotFound(f"there is no record {key!r} any more")
        content, name = _file(record)
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    @post("/store/record", status_code=200)
    async def save(request: Request[Any, Any, Any]) -> Response[str]:
        session, told = session_of(request), await request.form()
        place = Place(database=told.get("database", ""), table=told.get("table", ""))
        form = read_form({name: str(value) for name, value in told.items()})
        try:
            fields = form.fields()
            await frame.calls.ask(session, "store.write", Written, **fields, **place.fields)
        except errors.Conflict:
            record = await read(session, place, form.key)
            trouble = (
                "It is gone meanwhile" if record is None else f"It was changed meanwhile, to revision {record.revision}"
            )
            trouble = "There is such a record already" if not form.revision else trouble
            more = {"theirs": values.text(bytes(record.value))} if record is not None else {}
            return await show_record(
                request,
                place,
                form.key,
                record,
                form=form.over(record),
                trouble=f"{trouble}; nothing was saved.",
                **more,
            )
        except errors.Error as error:
            record = await read(session, place, form.key) if form.revision else None
            return await show_record(request, place, form.key, record, form=form, trouble=error.detail)
        return _go(request, place.record(form.key))

    @post("/store/delete", status_code=200)
    async def delete(request: Request[Any, Any, Any]) -> Response[str]:
        session, told = session_of(request), await request.form()
        place = Place(database=told.get("database", ""), table=told.get("table", ""))
        key, revision = str(told.get("key", "")), int(told.get("revision", "0"))
        try:
            await frame.calls.ask(session, "store.delete", Written, key=key, expect=revision, **place.fields)
        except errors.Conflict:
            record = await read(session, place, key)
            if record is not None:
                trouble = f"It was changed meanwhile, to revision {record.revision}; it was not deleted."
                return await show_record(request, place, key, record, trouble=trouble)
        return _go(request, place.page(""))

    return [index, index_live, show, record_live, download, save, delete]


async def _bursts(frame: Frame, session: WebSession, since: int, **fields: str) -> AsyncGenerator[Change, None]:
    """The last of the changes that come together, again and again; what a page that is behind has missed is one of them."""
    latest: list[Change] = []
    changed = asyncio.Event()

    async def follow() -> None:
        async for change in frame.calls.follow(session, "store.watch", Change, since=since or None, **fields):
            if change.kind is not ChangeKind.SYNCED:
                latest[:] = [change]
                changed.set()

    following = asyncio.create_task(follow(), name="microlite: dashboard store")
    following.add_done_callback(lambda _: changed.set())
    try:
        while True:
            await changed.wait()
            changed.clear()
            if latest:
                yield latest.pop()
            if following.done():
                await following
                return
            await asyncio.sleep(CALM)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _place(request: Request[Any, Any, Any], database: str = "", table: str = "") -> Place:
    told = request.query_params
    return Place(
        database=database or told.get("database") or DEFAULT_DATABASE,
        table=table or told.get("table") or DEFAULT_TABLE,
        prefix=told.get("prefix", ""),
        suffix=told.get("suffix", ""),
        order="desc" if told.get("order") == "desc" else "asc",
        cursor=told.get("cursor", ""),
    )


def _since(request: Request[Any, Any, Any]) -> int:
    text = request.query_params.get("since", "")
    return int(text) if text.isdecimal() else 0


def _row(record: Record, place: Place) -> Row:
    kept = bytes(record.value)
    text = values.text(kept)
    short = text if len(text) <= SHORT else f"{text[:SHORT]}…"
    form = form_of(record)
    return Row(record.key, place.record(record.key), short, form.word, len(kept), record.expires_at, record.revision)


def _file(record: Record) -> tuple[bytes, str]:
    """What a record is as a file, and its name: bytes and text as they are, all else as JSON."""
    kept = bytes(record.value)
    value = msgspec.msgpack.decode(kept)
    base = (
        "".join(one if one.isascii() and (one.isalnum() or one in "._-") else "-" for one in record.key)[-80:]
        or "record"
    )
    if isinstance(value, bytes):
        return value, base
    if isinstance(value, str):
        return value.encode(), base if "." in base else f"{base}.txt"
    document, encoding = values.unpack(kept, Encoding.JSON)
    if encoding is ValueEncoding.PLAIN:
        return msgspec.json.format(bytes(document)), f"{base}.json"
    return kept, f"{base}.msgpack"


def _go(request: Request[Any, Any, Any], address: str) -> Response[str]:
    """Lead to another page: a script by a header of its own, a plain form by a redirect."""
    if "hx-request" in request.headers:
        return Response("", media_type=HTML, headers={"hx-redirect": address})
    return Response("", media_type=HTML, status_code=303, headers={"location": address})
