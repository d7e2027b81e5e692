"""Delivers the events of one group by calling endpoints, as many at a time as the group allows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core import errors
from microlite.core.context import service_account
from microlite.core.description.structs import Encoding
from microlite.core.events.api import Event, Outcome
from microlite.core.rpc.call import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.events.leader import Handed, Leader

PAUSE: Final = 0.1
"""Seconds after which an event is delivered that no node took."""

DENIED_PAUSE: Final = 1.0
"""Seconds after which it is looked again whether a rule still denies the events to all who want them."""

_NIL: Final = b"\xc0"
_ENCODINGS: Final = (int(Encoding.MSGPACK), int(Encoding.JSON_TO_MSGPACK))
_encode_json: Final = msgspec.json.Encoder().encode
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_outcome: Final = msgspec.msgpack.Decoder(Outcome | None).decode


class Target(msgspec.Struct, frozen=True):
    """An endpoint that consumes.

    Attributes:
        field: of its request, which takes the payload, or the whole event; empty where it takes nothing.
    """

    service: str
    endpoint: str
    field: str = ""
    whole: bool = False


class Pusher:
    """Delivers for one leader while it has targets.

    Args:
        send: takes each call to a node, as a router does.
        may: says whether a service may have the events, by its name; asked for each.

    Attributes:
        targets: the endpoints whose services have nodes now; they take turns.
    """

    def __init__(self, leader: Leader, send: Callable[[Call], None], may: Callable[[str], bool]) -> None:
        self.leader = leader
        self.targets: list[Target] = []
        self.under_way = 0
        self._send = send
        self._may = may
        self._turn = 0
        self._again: asyncio.TimerHandle | None = None

    def pump(self) -> None:
        """Deliver what is ready, as far as there is somebody to take it."""
        leader = self.leader
        concurrency = leader.group.settings.concurrency
        while self.targets and self.under_way < concurrency and not leader.closed:
            targets = [target for target in self.targets if self._may(target.service)]
            if not targets:
                self._pump_later()
                return
            handed = leader.take()
            if handed is None:
                return
            self._turn += 1
            target = targets[self._turn % len(targets)]
            push = Push(self, target, handed)
            self.under_way += 1
            leader.own(handed.delivery.number, push.landed)
            self._send(push)

    def _pump_later(self) -> None:
        """Look again: the rule that denies the events may go, and nobody tells of that here."""
        if self._again is None:
            self._again = asyncio.get_running_loop().call_later(DENIED_PAUSE, self._pump_again)

    def _pump_again(self) -> None:
        self._again = None
        if not self.leader.closed:
            self.pump()


class Push(Call):
    """One delivery."""

    __slots__ = ("_number", "_over", "_pusher")

    def __init__(self, pusher: Pusher, target: Target, handed: Handed) -> None:
        leader, delivery, envelope = pusher.leader, handed.delivery, handed.envelope
        number = delivery.number
        delivery_id = leader.delivery_id(number)
        metadata = {
            **envelope.metadata,
            "event-id": envelope.id,
            "event-topic": leader.topic,
            "event-group": leader.name,
            "event-position": str(delivery.position),
            "event-attempt": str(delivery.attempt),
            "event-delivery": delivery_id,
        }
        if envelope.key:
            metadata["event-key"] = envelope.key
        super().__init__(
            target.service,
            target.endpoint,
            _payload(target, leader, handed, delivery_id),
            encoding=_ENCODINGS[envelope.json],
            namespace=leader.namespace,
            timeout=None,  # the leader minds the time: it can be extended
            metadata=metadata,
            account=service_account(target.service, leader.namespace),
        )
        self._pusher = pusher
        self._number = number
        self._over = False

    def on_reply(self, payload: bytes) -> None:
        """See `Call`. It is the ack, unless the endpoint says otherwise."""
        if self._over:
            return
        self._over = True
        pusher = self._pusher
        if payload == _NIL:
            pusher.leader.settle(self._number)
        else:
            self._settle_otherwise(payload)
        pusher.pump()

    def on_end(self) -> None:
        """See `Call`."""
        self.on_error(errors.BadGateway(f"{self.service}.{self.endpoint} answered with a stream"))

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        if self._over:
            return
        self._over = True
        leader = self._pusher.leader
        if error.status == errors.ServiceUnavailable.status and not error.id:
            leader.release(self._number, PAUSE)  # no node took it, so it was no delivery
        else:
            leader.fail(self._number, str(error), self._node())
        self._pusher.pump()

    def landed(self, acked: bool) -> None:
        """The delivery is not under way any more. An endpoint that has acknowledged it by itself is not cut off for that."""
        self._pusher.under_way -= 1
        if not self._over:
            self._over = True
            if not acked:
                self.cancel()

    def _settle_otherwise(self, payload: bytes) -> None:
        leader, number, node = self._pusher.leader, self._number, self._node()
        try:
            outcome = _decode_outcome(payload)
        except msgspec.DecodeError:
            leader.fail(number, f"{self.service}.{self.endpoint} answered with something that is no outcome", node)
            return
        if outcome is None:
            leader.settle(number)
        else:
            leader.fail(number, outcome.error, node, delay=outcome.retry_after, dead=outcome.dead)

    def _node(self) -> str:
        node: str = getattr(self.channel, "node", "")
        return node


def _payload(target: Target, leader: Leader, handed: Handed, delivery_id: str) -> bytes:
    """The request: an object with one field, written as the event's publisher wrote its payload."""
    delivery, envelope = handed.delivery, handed.envelope
    if not target.field:
        return b""
    if not target.whole and envelope.json:
        return b"{" + _encode_json(target.field) + b":" + envelope.payload + b"}"
    if not target.whole:
        return b"\x81" + _encode(target.field) + envelope.payload
    event: Event[Any] = Event(
        id=envelope.id,
        topic=leader.topic,
        position=delivery.position,
        payload=msgspec.Raw(envelope.payload),
        key=envelope.key,
        metadata=envelope.metadata,
        timestamp=envelope.timestamp,
        published=handed.published,
        group=leader.name,
        attempt=delivery.attempt,
        delivery=delivery_id,
    )
    return _encode_json({target.field: event}) if envelope.json else _encode({target.field: event})
