"""The live part of a page: one event stream, whose events carry fragments that htmx swaps in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response
from litestar.response import Stream

from microlite.core import errors
from microlite.web.dashboard.frame import secret_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from microlite.web.dashboard.frame import Frame

PING: Final = b": ping\n\n"
"""A comment: it tells browser and proxies that the stream is alive."""

CALM: Final = 0.1
"""Seconds between two fragments for the same place: a burst of changes is one."""


def event(name: str, text: str) -> bytes:
    """One event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    lines = "\n".join(f"data: {line}" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n\n".encode()


def live(frame: Frame, request: Request[Any, Any, Any], fragments: AsyncIterator[tuple[str, str]]) -> Stream:
    """The response that streams fragments for as long as the session lasts and the platform runs.

    Args:
        frame: has the settings.
        request: whose session it is.
        fragments: the name of each event and its text. Closed when the browser goes away.
    """
    chunks = _with_pings(frame, secret_of(request), fragments)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(chunks, media_type="text/event-stream", headers=headers)


async def _with_pings(frame: Frame, secret: str, fragments: AsyncIterator[tuple[str, str]]) -> AsyncIterator[bytes]:
    stopping = asyncio.create_task(frame.stopping.wait(), name="microlite: dashboard stops")
    coming: asyncio.Task[tuple[str, str]] | None = None
    try:
        yield PING  # the head goes out at once, and the page is connected
        while True:
            if coming is None:
                coming = asyncio.create_task(anext(fragments), name="microlite: dashboard fragment")  # type: ignore[arg-type]  # a coroutine, where typeshed says awaitable
            await asyncio.wait({coming, stopping}, timeout=frame.options.ping, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            if not coming.done():
                if not await frame.parts.sessions.lasts(secret):
                    return
                yield PING
                continue
            done, coming = coming, None
            try:
                name, text = done.result()
            except StopAsyncIteration:
                return
            except errors.Error as error:
                yield event("trouble", error.detail)
                return  # the browser connects again by itself
            yield event(name, text)
    finally:
        stopping.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        close = getattr(fragments, "aclose", None)
        if close is not None:
            with contextlib.suppress(RuntimeError):
                await close()


def plain_error(error: errors.Error) -> Response[str]:
    """An error for a script, which shows it where it belongs."""
    return Response(error.detail, media_type="text/plain; charset=utf-8", status_code=error.code)
