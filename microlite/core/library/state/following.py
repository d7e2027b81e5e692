"""Streams that outlive their connection: the one loop that opens them again, for all services that have some."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from microlite.core.library.caller import Caller

AGAIN: Final = 0.1
"""Seconds after which a stream that broke is opened again; each further time it is twice as long."""

LONGEST: Final = 5.0
"""The longest such wait."""


class Resumable(Protocol):
    """An item that says where to go on behind it."""

    @property
    def resume(self) -> int:
        """What to pass as `since`."""
        ...


Item = TypeVar("Item")
Change = TypeVar("Change", bound=Resumable)


async def keep_open(
    caller: Caller,
    service: str,
    endpoint: str,
    fields: dict[str, object],
    decode: Callable[[bytes], Item],
    *,
    behind: Callable[[Item], dict[str, object]] | None = None,
    after_break: bool = True,
    after_end: bool = True,
) -> AsyncGenerator[Item, None]:
    """The items of a stream that is opened again when it breaks, as often as it takes.

    Args:
        caller: makes the calls.
        service: which has the endpoint.
        endpoint: streams.
        fields: of the first request.
        decode: makes an item of a payload.
        behind: the fields of the request that goes on behind an item; without it the first request is repeated.
        after_break: whether a stream that breaks is opened again.
        after_end: whether one is that ends.

    Raises:
        Error: any but that the service cannot be reached just now. Whoever will never reach it again gets that too: its
            caller is closed.
    """
    delay = AGAIN
    while True:
        stream = caller.stream_raw(service, endpoint, encode_msgpack(fields), decode=decode)
        try:
            async with aclosing(stream):
                async for item in stream:
                    delay = AGAIN
                    if behind is not None:
                        fields = behind(item)
                    yield item
            if not after_end:
                return
        except errors.ServiceUnavailable:
            if not after_break or not caller.renew():
                raise
        await asyncio.sleep(delay)
        caller.renew()
        delay = min(2 * delay, LONGEST)


def follow(
    caller: Caller,
    service: str,
    endpoint: str,
    fields: dict[str, object],
    since: int | None,
    decode: Callable[[bytes], Change],
) -> AsyncGenerator[Change, None]:
    """The items of a stream, which is opened again behind the last of them when it breaks; see `keep_open`.

    Args:
        caller: makes the calls.
        service: which has the endpoint.
        endpoint: takes a field `since`, and streams.
        fields: of the request, `since` aside.
        since: where to begin; None for now.
        decode: makes an item of a payload.
    """

    def behind(item: Any) -> dict[str, object]:
        return {**fields, "since": item.resume}

    first = fields if since is None else {**fields, "since": since}
    return keep_open(caller, service, endpoint, first, decode, behind=behind)
