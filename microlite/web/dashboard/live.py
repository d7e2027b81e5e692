"""What stays open: the event stream of a page, whose events carry fragments that htmx swaps in, and other long answers."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from litestar import Request
from litestar.response import Stream

from microlite.core import errors
from microlite.web.dashboard.frame import secret_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from microlite.web.dashboard.frame import Frame

PING: Final = b": ping\n\n"
"""A comment: it tells browser and proxies that the stream is alive."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")

CALM: Final = 0.1
"""Seconds between two fragments for the same place: a burst of changes is one."""


def event(name: str, text: str) -> bytes:
    """One event (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    A carriage return ends a line there too: one in the text must not begin a field, or another event.
    """
    lines = "\n".join(f"data: {line}" for line in _LINE_END.split(text))
    return f"event: {name}\n{lines}\n\n".encode()


def live(frame: Frame, request: Request[Any, Any, Any], fragments: AsyncGenerator[tuple[str, str], None]) -> Stream:
    """The event stream of a page.

    Args:
        frame: has the settings.
        request: whose session it is.
        fragments: the name of each event and its text. Closed when the browser goes away. What it raises ends the stream,
            and the browser connects again by itself.
    """
    return hold(frame, request, _events(fragments), kind="text/event-stream", ping=PING)


def hold(
    frame: Frame, request: Request[Any, Any, Any], chunks: AsyncGenerator[bytes, None], *, kind: str, ping: bytes
) -> Stream:
    """An answer that goes on for as long as there are chunks, the session lasts and the platform runs.

    Args:
        frame: has the settings.
        request: whose session it is.
        chunks: what is sent, as it comes. Closed when the browser goes away.
        kind: the content type.
        ping: is sent at first, and whenever nothing was for a while.
    """
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return Stream(_holding(frame, secret_of(request), chunks, ping), media_type=kind, headers=headers)


async def _events(fragments: AsyncGenerator[tuple[str, str], None]) -> AsyncGenerator[bytes, None]:
    try:
        async for name, text in fragments:
            yield event(name, text)
    except errors.Error as error:
        yield event("trouble", error.detail)
    finally:
        await fragments.aclose()


async def _holding(
    frame: Frame, secret: str, chunks: AsyncGenerator[bytes, None], ping: bytes
) -> AsyncGenerator[bytes, None]:
    stopping = asyncio.create_task(frame.stopping.wait(), name="microlite: dashboard stops")
    ending = asyncio.create_task(frame.ends.wait(), name="microlite: a log-in ends")
    coming: asyncio.Task[bytes] | None = None
    try:
        yield ping  # the head goes out at once, and the page is connected
        while True:
            if coming is None:
                coming = asyncio.create_task(_next(chunks), name="microlite: dashboard chunk")
            happening = {coming, stopping, ending}
            await asyncio.wait(happening, timeout=frame.options.ping, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            if ending.done():  # somebody's, perhaps this one: nothing more is sent before that is known
                ending = asyncio.create_task(frame.ends.wait(), name="microlite: a log-in ends")
                if not await frame.parts.sessions.lasts(secret):
                    return
            elif coming.done():
                done, coming = coming, None
                chunk = done.result()
                if not chunk:
                    return
                yield chunk
            elif await frame.parts.sessions.lasts(secret):
                yield ping
            else:
                return
    finally:
        stopping.cancel()
        ending.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await chunks.aclose()


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes:
    """The next chunk; an empty one at the end, which no task could say by `StopAsyncIteration`."""
    return await anext(chunks, b"")
