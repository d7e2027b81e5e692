"""Passes requests on to HTTP programs: below a path, or at an origin of their own."""

from __future__ import annotations

import asyncio
import errno
import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.web.gateway.forwarded import answer_headers, request_headers
from microlite.web.gateway.leasing import with_lease
from microlite.web.gateway.tunnel import Tunnel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from microlite.web.gateway.edge import Edge, Lease
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.table import Target

_EVENTS: Final = "text/event-stream"
_VERSION: Final = re.compile(rb"[vV][0-9]+")
_AUTOMATIC: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Forwarder:
    """The gateway's client towards HTTP programs.

    Each request has a connection of its own, so that none ever meets one which the program is just closing; and nothing
    is tried again but a refused connection, behind which the request was not seen.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def forward_to_origin(self, exchange: Exchange, target: Target) -> None:
        """Pass a request on that came to the program's own origin, its path as it is."""
        await self._forward(exchange, target, exchange.path, prefix=b"")

    async def forward_below_path(self, exchange: Exchange, target: Target) -> None:
        """Pass a request on whose path begins with the program's name, without that beginning."""
        prefix = _prefix(exchange.path)
        path = exchange.path[len(prefix) :]
        query = b"?" + exchange.query if exchange.query else b""
        if not path and exchange.method in ("GET", "HEAD") and not exchange.wants_websocket:
            # Relative links of the page would else miss the prefix.
            await exchange.respond(308, headers=[(b"location", prefix + b"/" + query)])
            return
        await self._forward(exchange, target, path or b"/", prefix=prefix)

    async def _forward(self, exchange: Exchange, target: Target, path: bytes, *, prefix: bytes) -> None:
        whole = path + b"?" + exchange.query if exchange.query else path
        if exchange.wants_websocket:
            await Tunnel(self._edge, exchange, target, whole, prefix).run()
            return
        relay = _Relay(self._edge, exchange, whole.decode("latin-1"), prefix)
        self._session = self._session or self._open_session()
        answer = asyncio.create_task(relay.run(target, self._session), name="gateway forward")
        gone = asyncio.create_task(relay.watch(), name="gateway client")
        try:
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                gone.result()
                raise errors.Canceled("the client went away", id="gateway")
            answer.result()
        finally:
            for task in (answer, gone):
                task.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    def _open_session(self) -> aiohttp.ClientSession:
        import aiohttp  # costs 0.3 s, and most platforms run no HTTP program

        options = self._edge.options
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout),
            max_line_size=options.max_head,
            max_field_size=options.max_head,
        )
        session._retry_connection = False  # noqa: SLF001 - it would send a GET again that may have been seen; no public way
        return session


class _Relay:
    """One request on its way to a program, and the answer on its way back."""

    def __init__(self, edge: Edge, exchange: Exchange, path: str, prefix: bytes) -> None:
        self._edge = edge
        self._exchange = exchange
        self._path = path
        self._prefix = prefix
        self._sent = asyncio.Event()
        """The body of the request has been read to its end."""
        self._error: errors.Error | None = None
        self._deadline: asyncio.Timeout | None = None

    async def watch(self) -> None:
        """Return when the client is gone.

        Raises:
            Error: its body did not arrive in full.
        """
        await self._sent.wait()
        if self._error is not None:
            raise self._error
        await self._exchange.until_gone()

    async def run(self, target: Target, session: aiohttp.ClientSession) -> None:
        """Send the request, and the answer back.

        Raises:
            BadGateway: the program does not answer, or not in HTTP.
            GatewayTimeout: it does not do so in time.
        """
        exchange = self._exchange
        if not exchange.has_body:
            await exchange.body()
            self._sent.set()

        async def use(lease: Lease) -> bool:
            response = await self._request(target, session, lease)
            if response is None:
                return False
            async with response:
                await self._answer(target, lease, response)
            return True

        await with_lease(self._edge, target, use)

    async def _request(
        self, target: Target, session: aiohttp.ClientSession, lease: Lease
    ) -> aiohttp.ClientResponse | None:
        """The head of the program's answer; None where it refused the connection, and so did not see the request."""
        import aiohttp
        from multidict import CIMultiDict
        from yarl import URL

        exchange = self._exchange
        headers = request_headers(exchange, self._prefix)
        try:
            async with asyncio.timeout(None) as self._deadline:
                self._arm()
                return await session.request(
                    exchange.method,
                    URL(lease.base_url + self._path, encoded=True),
                    headers=CIMultiDict(headers),
                    data=self._body() if exchange.has_body else None,
                    allow_redirects=False,
                )
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == errno.ECONNREFUSED:
                return None
            raise errors.BadGateway(f'the program "{target.service}" cannot be reached', id="gateway") from error
        except (TimeoutError, aiohttp.ServerTimeoutError):
            raise errors.GatewayTimeout(
                f'the program "{target.service}" did not answer in time', id="gateway"
            ) from None
        except aiohttp.ClientError as error:
            if self._error is not None:
                raise self._error from error
            raise errors.BadGateway(f'the program "{target.service}" gave no answer: {error}', id="gateway") from error
        finally:
            self._deadline = None

    def _arm(self) -> None:
        """Begin to count the time that the program has, once it has got the whole request."""
        if self._sent.is_set() and self._deadline is not None:
            now = asyncio.get_running_loop().time()
            self._deadline.reschedule(now + self._edge.options.program_timeout)

    async def _body(self) -> AsyncIterator[bytes]:
        """The client's body, read as fast as the program takes it."""
        try:
            while piece := await self._exchange.next_piece(self._edge.options.body_timeout):
                yield piece
        except errors.Error as error:
            self._error = error
            raise
        finally:
            self._sent.set()
        self._arm()

    async def _answer(self, target: Target, lease: Lease, response: aiohttp.ClientResponse) -> None:
        import aiohttp

        exchange = self._exchange
        headers = answer_headers(exchange, response.raw_headers, self._prefix, lease.base_url.encode())
        if response.content_type == _EVENTS:
            lease.begin_stream()
        await exchange.start(response.status, headers, own=False)
        try:
            async for piece in response.content.iter_any():
                await exchange.write(piece)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.BadGateway(f'the program "{target.service}" broke off its answer', id="gateway") from error
        await exchange.write(b"", more=False)


def _prefix(path: bytes) -> bytes:
    """The beginning of a path that names the program: `/docs`, `/api/docs`, `/v1/docs`."""
    segments = path.split(b"/")
    last = 1
    if segments[last].lower() == b"api":
        last += 1
    if _VERSION.fullmatch(segments[last]):
        last += 1
    return b"/".join(segments[: last + 1])
