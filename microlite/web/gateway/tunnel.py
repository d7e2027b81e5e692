"""WebSockets of HTTP programs: the upgrade is passed on, and what follows goes both ways as it is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools

from microlite.core import errors
from microlite.web.gateway.channel import PIECE
from microlite.web.gateway.forwarded import answer_headers, request_headers
from microlite.web.gateway.leasing import with_lease
from microlite.web.gateway.upgrade_answer import SWITCHING, UpgradeAnswer

if TYPE_CHECKING:
    from microlite.web.gateway.channel import Channel
    from microlite.web.gateway.edge import Edge, Lease
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.table import Target


class Tunnel:
    """A client's WebSocket to a program.

    Client and program agree by themselves on subprotocols and extensions; the gateway looks at no frame. The program is
    held while the tunnel is open, as by any stream: one that is replaced meanwhile goes on with it for some seconds, and
    says good-bye through it when it is ended.
    """

    def __init__(self, edge: Edge, exchange: Exchange, target: Target, path: bytes, prefix: bytes) -> None:
        self._edge = edge
        self._exchange = exchange
        self._target = target
        self._path = path
        self._prefix = prefix
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Connect, and carry until one side ends.

        Raises:
            BadGateway: the program does not answer, or not in HTTP.
            GatewayTimeout: it does not do so in time.
            Canceled: the client went away before.
        """
        work = asyncio.create_task(with_lease(self._edge, self._target, self._use), name="gateway tunnel")

        def give_up() -> None:
            work.cancel()

        with self._exchange.giving_up(give_up):
            try:
                await work
            except asyncio.CancelledError:
                if self._exchange.gone:
                    raise errors.Canceled("the client went away", id="gateway") from None
                raise

    def cut(self) -> None:
        """End it at once. The client sees the connection break, and connects again."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _use(self, lease: Lease) -> bool:
        name = self._target.service
        try:
            async with asyncio.timeout(self._edge.options.connect_timeout):
                address = urlsplit(lease.base_url)
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
        except ConnectionRefusedError:
            return False
        except (OSError, TimeoutError) as error:
            raise errors.BadGateway(f'the program "{name}" cannot be reached', id="gateway") from error
        self._writer = writer
        self._edge.tunnels.add(self)
        try:
            writer.write(self._request())
            answer = await self._head(reader)
            base_url = lease.base_url.encode()
            if answer.status == SWITCHING:
                headers = answer_headers(self._exchange, answer.headers, self._prefix, base_url)
                lease.begin_stream()
                channel = self._exchange.switch([(b"upgrade", b"websocket"), *headers])
                channel.write(answer.rest)
                await self._carry(channel, reader, writer)
            else:
                headers = answer_headers(self._exchange, answer.headers, self._prefix, base_url)
                await self._exchange.start(answer.status, headers, own=False)
                await self._pass_on(answer, reader)
        finally:
            self._edge.tunnels.discard(self)
            writer.close()  # what the client sent still leaves, if the program takes it soon
            asyncio.get_running_loop().call_later(self._edge.options.linger, writer.transport.abort)
        return True

    def _request(self) -> bytes:
        lines = [b"GET %b HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" % self._path]
        for name, value in request_headers(self._exchange, self._prefix):
            lines.append(b"%b: %b\r\n" % (name.encode("latin-1"), value.encode()))
        return b"".join((*lines, b"\r\n"))

    async def _head(self, reader: asyncio.StreamReader) -> UpgradeAnswer:
        """The head of the program's answer, and what came with it."""
        name = self._target.service
        answer = UpgradeAnswer()
        size = 0
        try:
            async with asyncio.timeout(self._edge.options.program_timeout):
                while not answer.is_head_done:
                    data = await reader.read(PIECE)
                    size += len(data)
                    if not data or size > self._edge.options.max_head + PIECE:
                        raise errors.BadGateway(f'the program "{name}" gave no answer', id="gateway")
                    answer.feed(data)
        except TimeoutError:
            raise errors.GatewayTimeout(f'the program "{name}" did not answer in time', id="gateway") from None
        except (OSError, httptools.HttpParserError) as error:
            raise errors.BadGateway(f'the program "{name}" gave no answer: {error}', id="gateway") from error
        return answer

    async def _pass_on(self, answer: UpgradeAnswer, reader: asyncio.StreamReader) -> None:
        """The body of an answer that is no upgrade."""
        try:
            while True:
                if body := answer.take_body():
                    await self._exchange.write(body)
                if answer.is_done:
                    break
                data = await reader.read(PIECE)
                if not data and answer.ends_with_connection:
                    break
                if not data:
                    raise ConnectionResetError("the connection ended within the answer")
                answer.feed(data)
        except (OSError, httptools.HttpParserError) as error:
            name = self._target.service
            raise errors.BadGateway(f'the program "{name}" broke off its answer', id="gateway") from error
        await self._exchange.write(b"", more=False)

    async def _carry(self, channel: Channel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both ways, each at the pace of who reads, until the program has closed its side or the client is gone."""
        up = asyncio.create_task(_copy_up(channel, writer), name="gateway tunnel up")
        down = asyncio.create_task(_copy_down(reader, channel), name="gateway tunnel down")
        gone = asyncio.create_task(channel.until_end(), name="gateway client")
        try:
            await asyncio.wait((down, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                await asyncio.wait((up,), timeout=self._edge.options.linger)  # it may have said good-bye
        finally:
            for task in (up, down, gone):
                task.cancel()
            await asyncio.gather(up, down, gone, return_exceptions=True)


async def _copy_up(channel: Channel, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await channel.read():
            writer.write(data)
            await writer.drain()


async def _copy_down(reader: asyncio.StreamReader, channel: Channel) -> None:
    with suppress(OSError):  # the program died: the client learns it by the end, as it would from the program itself
        while data := await reader.read(PIECE):
            await channel.drain()
            channel.write(data)
