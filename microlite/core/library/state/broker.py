"""`ctx.broker`: ephemeral messages by topic."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import msgspec

from microlite.core import errors
from microlite.core.broker.api import Message, Overflow, Published
from microlite.core.description.codec import Codec, encode_json, encode_msgpack
from microlite.core.description.rejection import bad_payload
from microlite.core.library.state.following import keep_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from microlite.core.library.caller import Caller

T = TypeVar("T")

_decode_message = msgspec.msgpack.Decoder(Message[Any]).decode
_decode_published = msgspec.msgpack.Decoder(Published).decode


class Broker:
    """Publishes and subscribes. A message goes to whoever is subscribed at that moment, and is kept nowhere.

    Args:
        caller: makes the calls; its metadata becomes headers of the messages.
    """

    BRIDGED = True

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def publish(self, topic: str, value: object = None, *, headers: Mapping[str, str] | None = None) -> int:
        """Publish a message, and return how many took it: each subscriber, and one of each queue group.

        It succeeds also where nobody is subscribed.

        Args:
            topic: words between dots, as in `prices.eur`.
            value: anything that an endpoint could return.
            headers: said along with it, beside the metadata of this call.

        Raises:
            BadRequest: the topic is none, or the headers are too many.
            PayloadTooLarge: the value has more than 1 MiB.
        """
        request = {"topic": topic, "value": value, "headers": headers or {}}
        return _decode_published(await self._caller.call_raw("broker", "publish", encode_msgpack(request))).subscribers

    @overload
    def subscribe(
        self, topic: str, *, queue: str = "", limit: int = 1_000, overflow: Overflow | str = Overflow.DROP_OLDEST
    ) -> AsyncIterator[Message[Any]]: ...

    @overload
    def subscribe(
        self,
        topic: str,
        kind: type[T],
        *,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
    ) -> AsyncIterator[Message[T]]: ...

    async def subscribe(
        self,
        topic: str,
        kind: Any = Any,
        *,
        queue: str = "",
        limit: int = 1_000,
        overflow: Overflow | str = Overflow.DROP_OLDEST,
    ) -> AsyncIterator[Message[Any]]:
        """Receive what is published from the first step of the iteration on.

        `async for message in ctx.broker.subscribe("prices.>", Price): …`. To have a function called for each message of a
        topic, for as long as the service runs, declare it with `@service.subscribe`. A platform that is restarted meanwhile
        is waited for; what is published before this is subscribed again is missed. It ends when somebody ends the
        subscription.

        Args:
            topic: which; `*` stands for one word, `>` at the end for one or more.
            kind: the type of the values. Plain Python values without it.
            queue: a queue group: of all who name it, one gets each message.
            limit: how many messages may wait at the platform while this is read too slowly.
            overflow: what happens to more; see `Overflow`.

        Raises:
            BadRequest: pattern, queue or limit cannot be, or a message is not of that type.
            ServiceUnavailable: under `disconnect`, the platform ended, or this was read too slowly.
        """
        request: dict[str, object] = {
            "topic": topic,
            "queue": queue,
            "limit": limit,
            "overflow": Overflow(overflow).value,
        }
        codec = Codec(Message[kind])

        def decode(payload: bytes) -> Message[Any]:
            plain = _decode_message(payload)
            try:
                if plain.json:  # JSON has other ways to say bytes and keys
                    payload = encode_json(plain)
                    return cast("Message[Any]", codec.decode_json(payload))
                return cast("Message[Any]", codec.decode_msgpack(payload))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                reason = bad_payload(error, payload, int(plain.json), {}, "message").detail
                raise errors.BadRequest(
                    f"a message of {topic} is not of the type that is asked for: {reason}"
                ) from None

        # Who is to hear that it was too slow is told by the same error as of a break.
        again = request["overflow"] != Overflow.DISCONNECT.value
        opened = keep_open(self._caller, "broker", "subscribe", request, decode, after_break=again, after_end=False)
        async with aclosing(opened) as stream:
            async for message in stream:
                yield message
