"""Streams of changes that outlive their connection."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


Item = TypeVar("Item", bound=Resumable)


async def follow(
    caller: Caller,
    service: str,
    endpoint: str,
    fields: dict[str, object],
    since: int | None,
    decode: Callable[[bytes], Item],
) -> AsyncIterator[Item]:
    """The items of a stream, which is opened again behind the last of them when it breaks.

    Args:
        caller: makes the calls.
        service: which has the endpoint.
        endpoint: takes a field `since`, and streams.
        fields: of the request, `since` aside.
        since: where to begin; None for now.
        decode: makes an item of a payload.

    Raises:
        Error: any but that the service cannot be reached just now. Whose connection to the platform is gone for good, as a
            script's is, gets that too.
    """
    delay = AGAIN
    while True:
        request = fields if since is None else {**fields, "since": since}
        stream = caller.stream_raw(service, endpoint, encode_msgpack(request), decode=decode)
        try:
            async with aclosing(stream):
                async for item in stream:
                    delay = AGAIN
                    since = item.resume
                    yield item
        except errors.ServiceUnavailable:
            if not caller.renew():
                raise
        await asyncio.sleep(delay)
        caller.renew()
        delay = min(2 * delay, LONGEST)
