"""Functions that are called for each message of a topic: what `@service.subscribe` declares."""

from __future__ import annotations

import asyncio
import contextlib
import typing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.broker.api import Message, Overflow
from microlite.core.description import Encoding, Place, Streaming, Subscribe
from microlite.core.description.annotations import unwrap
from microlite.core.description.codec import encode_json, encode_msgpack
from microlite.core.description.signature import NONE_GIVEN, read_signature
from microlite.core.rpc.call import Call, LocalInbound, StreamCall
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.topics import check_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.library.context import Context

MAX_CONCURRENCY: Final = 1_000
"""Most messages that one subscription of a node may handle at a time."""

AGAIN: Final = 0.5
"""Seconds after which a node that still takes calls subscribes again, when its subscription was ended."""

PARTING: Final = 10.0
"""Seconds that a leaving node waits for the rest of its messages."""

_NEVER: Final = float("inf")


class _Item(msgspec.Struct, frozen=True, gc=False):
    """A message with its value as it came, for the endpoint to read."""

    topic: str
    value: msgspec.Raw
    headers: dict[str, str] = {}
    dropped: int = 0
    json: bool = False


_decode_value = msgspec.msgpack.Decoder().decode
_decode_item = msgspec.msgpack.Decoder(_Item).decode


def trigger_of(
    function: Callable[..., Any], topic: str, *, queue: str, concurrency: int, limit: int, overflow: str
) -> Subscribe:
    """What a function declares by `@service.subscribe`.

    Raises:
        DeclarationError: topic, options or signature cannot be.
    """
    place = Place.of(function)
    try:
        check_pattern(topic)
        policy = Overflow(overflow)
    except errors.BadRequest as error:
        raise place.error(error.detail) from None
    except ValueError:
        raise place.error(f"`overflow={overflow!r}`: write 'drop_oldest' or 'drop_newest'") from None
    if policy is Overflow.DISCONNECT:
        raise place.error(
            "`overflow='disconnect'` is for those who read a stream; write 'drop_oldest' or 'drop_newest'"
        )
    if not 1 <= concurrency <= MAX_CONCURRENCY:
        raise place.error(f"`concurrency` is between 1 and {MAX_CONCURRENCY:,}, not {concurrency}")
    if not 1 <= limit <= 100_000:
        raise place.error(f"`limit` is between 1 and 100,000, not {limit}")
    signature = read_signature(function)
    if signature.streaming is not Streaming.UNARY:
        raise place.error("it is called for one message at a time, so it cannot stream; return nothing")
    required = [field for field in signature.fields if field.default is NONE_GIVEN]
    if len(required) > 1:
        raise place.error(
            f"it is called with the message only, so `{required[1].name}` would never be given; "
            f"write one parameter, as in `{required[0].name}: Price`, or `message: Message[Price]` for topic and headers"
        )
    field = next(iter((*required, *signature.fields)), None)
    return Subscribe(
        topic=topic,
        queue=queue,
        limit=limit,
        overflow=policy.value,
        concurrency=concurrency,
        field=field.name if field is not None else "",
        whole=field is not None and _is_message(field.annotation),
    )


def _is_message(annotation: Any) -> bool:
    annotation = unwrap(annotation)
    return (typing.get_origin(annotation) or annotation) is Message


class Subscriber:
    """Has an endpoint of its own node called for each message of a topic (see `attachments.Attachment`).

    What the endpoint raises is logged, and the next message has its turn. A node that is replaced still handles what was
    given to it.

    Args:
        endpoint: its name.
        trigger: which messages, and how many at a time.
    """

    def __init__(self, endpoint: str, trigger: Subscribe) -> None:
        self._endpoint = endpoint
        self._trigger = trigger

    @property
    def name(self) -> str:
        """See `Attachment`."""
        return f"subscribe {self._trigger.topic}"

    async def run(self, context: Context) -> None:
        """See `Attachment`."""
        reader = _Reader(self._endpoint, self._trigger, context)
        reader.subscribe()
        reading = asyncio.get_running_loop().create_task(reader.read(), name=f"microlite: {self.name}")
        try:
            await asyncio.shield(reading)
        except asyncio.CancelledError:
            # Whoever replaces this node, or stops it, has the platform end the stream behind the last message.
            reader.leaving.set()
            await asyncio.wait([reading], timeout=PARTING)
            raise
        finally:
            reading.cancel()


class _Reader:
    """One subscription while its stream lasts, and the stream after that."""

    def __init__(self, endpoint: str, trigger: Subscribe, context: Context) -> None:
        self.leaving = asyncio.Event()
        self._endpoint = endpoint
        self._trigger = trigger
        self._context = context
        self._slots = asyncio.Semaphore(trigger.concurrency)
        self._request = encode_msgpack(
            {
                "topic": trigger.topic,
                "queue": trigger.queue,
                "limit": trigger.limit,
                "overflow": trigger.overflow,
                "while_serving": True,
            }
        )
        self._call: StreamCall | None = None

    def subscribe(self) -> None:
        """Send the call that subscribes."""
        # A member of a queue group has nothing in hand that another could do meanwhile.
        credit = 1 if self._trigger.queue else INITIAL_CREDIT
        self._call = StreamCall(
            "broker", "subscribe", self._request, namespace=self._context.namespace, timeout=None, credit=credit
        )
        self._context.transport.send(self._call)

    async def read(self) -> None:
        """Hand each message to the endpoint, until the node leaves."""
        try:
            while not self.leaving.is_set():
                if self._call is None:
                    self.subscribe()
                assert self._call is not None
                async with self._call as call:
                    async for payload in call.items():
                        await self._slots.acquire()
                        self._deliver(_decode_item(payload))
                self._call = None
                # The node is being replaced, and is told so next; or somebody has ended the subscription.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.leaving.wait(), AGAIN)
        except errors.Error:
            if not self.leaving.is_set():
                raise
        finally:
            for _ in range(self._trigger.concurrency):
                await self._slots.acquire()  # each is given back by a message that is handled

    def _deliver(self, item: _Item) -> None:
        trigger, context = self._trigger, self._context
        if item.dropped:
            context.log.warning(
                "%s: %d messages of %s were dropped, since they came faster than they are handled",
                self._endpoint,
                item.dropped,
                trigger.topic,
            )
        if item.json and trigger.field:
            # As its publisher wrote it, for JSON has other ways to say bytes and keys.
            item = msgspec.structs.replace(item, value=msgspec.Raw(encode_json(_decode_value(item.value))))
        encode = encode_json if item.json else encode_msgpack
        value: object = item if trigger.whole else item.value
        payload = encode({trigger.field: value}) if trigger.field else b""
        delivery = _Delivery(
            context.service,
            self._endpoint,
            payload,
            encoding=Encoding.JSON_TO_MSGPACK if item.json else Encoding.MSGPACK,
            namespace=context.namespace,
            timeout=None,
            metadata=item.headers,
            account=context.account,
        )
        delivery.topic, delivery.context, delivery.release = item.topic, context, self._slots.release
        context.serve_here(LocalInbound(delivery, _NEVER))


class _Delivery(Call):
    """One message on its way through the endpoint. Nobody waits for the answer, so an error goes into the log."""

    __slots__ = ("context", "release", "topic")

    context: Context
    release: Callable[[], None]
    topic: str

    def on_reply(self, payload: bytes) -> None:
        """See `Call`."""
        self.release()

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        self.release()
        # What the endpoint did not mean to raise is in the log already, under an id of its own.
        if type(error) is not errors.InternalServerError or error.id == f"{self.service}.{self.endpoint}":
            self.context.log.error("a message of %s was not handled by %s: %s", self.topic, self.endpoint, error.detail)
