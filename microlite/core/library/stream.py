"""An open stream, as its caller holds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from microlite.core import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

    from microlite.core.rpc.call import Call, StreamCall


class Transport(Protocol):
    """What takes a call to its service."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which calls are sent and their outcomes arrive."""
        ...

    def send(self, call: Call) -> None:
        """Send a call. Never raises: the outcome comes through the call's own methods."""
        ...


class Stream:
    """Both directions of one streaming call.

    Iterate over it for what the service sends; use it as an asynchronous context manager to send as well. The call starts
    with the first use, and is canceled when the iteration is left early or the context ends.
    """

    __slots__ = ("_call", "_decode", "_encode", "_items", "_started", "_transport")

    def __init__(
        self,
        call: StreamCall,
        transport: Transport,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        self._call = call
        self._transport = transport
        self._encode = encode
        self._decode = decode
        self._started = False
        self._items = call.items()

    async def __aenter__(self) -> Stream:
        self._start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Stream:
        self._start()
        return self

    async def __anext__(self) -> Any:
        self._start()
        return self._decode(await self._items.__anext__())

    async def send(self, item: object) -> None:
        """Send an item, as soon as the service has room for it.

        Raises:
            Error: the call has ended.
        """
        self._start()
        await self._call.send(self._encode(item))

    async def close_send(self) -> None:
        """Say that no further item comes."""
        self._start()
        self._call.close_send()

    def feed(self, items: AsyncIterable[object] | Iterable[object]) -> asyncio.Task[None]:
        """Send all of `items` from a task of its own, then end the own stream.

        Cancel the task to stop early. If `items` fails, the call is canceled, and the task has the exception.
        """

        async def feeding() -> None:
            try:
                async for item in each(items):
                    await self.send(item)
                await self.close_send()
            except BaseException as error:
                if isinstance(error, errors.Canceled) and self._call.ended:
                    return  # the service has read enough
                self._call.cancel()  # whoever reads must not wait for answers to what never comes
                raise

        return self._transport.loop.create_task(feeding(), name="microlite: feed a stream")

    async def reply(self) -> Any:
        """End the own stream, if it is open, and return the one answer of a client-streaming endpoint."""
        self._start()
        self._call.close_send()
        return self._decode(await self._call.reply())

    async def aclose(self) -> None:
        """Cancel what has not ended."""
        if self._started:
            await self._call.__aexit__()

    def __del__(self) -> None:
        if self._started and not self._call.ended:
            self._call.ended = True
            # The last reference may fall in any thread.
            if not self._transport.loop.is_closed():
                self._transport.loop.call_soon_threadsafe(self._call.cancel)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._transport.send(self._call)


async def each(items: AsyncIterable[object] | Iterable[object]) -> AsyncIterator[object]:
    """The elements of any iterable. One that blocks does so in a thread; lists and tuples do not."""
    if isinstance(items, list | tuple):
        for item in items:
            yield item
    elif hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        iterator = iter(items)
        while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield item


_END: Final = object()
