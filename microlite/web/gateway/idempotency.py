"""`Idempotency-Key`: a call that is sent again is answered what the first one was, and done once.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/ says what clients may expect.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

import msgspec

from microlite.core import errors
from microlite.core.rpc.call import DEFAULT_TIMEOUT
from microlite.web.gateway.kept_answers import Outcome, fingerprint, name_call, proves_unstarted

if TYPE_CHECKING:
    from microlite.core.rpc.call import UnaryCall
    from microlite.web.gateway.edge import Edge
    from microlite.web.gateway.exchange import Exchange
    from microlite.web.gateway.kept_answers import KeptAnswers

HEADER: Final = "idempotency-key"

REPEATED: Final = (b"idempotent-replayed", b"true")
"""The header of an answer that an earlier call was given."""

METHODS: Final = ("POST", "PATCH")
"""Those that are not idempotent by themselves (RFC 9110, section 9.2.2)."""

MAX_KEY: Final = 255
MAX_WAITERS: Final = 64
"""Requests that may wait for the same call."""

MAX_FLIGHTS: Final = 4_096
"""Calls with a key that may be under way at a time."""

GRACE: Final = 1.0
"""Seconds that a call has beyond its own time: it knows best why it takes so long."""

_OTHER_REQUEST: Final = Outcome(
    error=errors.Unprocessable(
        "this Idempotency-Key came with another request before; use a new key for a new request", id="gateway"
    )
)

_KEY: Final = re.compile(r"[\x21-\x7e]+")


class _Flight:
    """A call under way, and those who wait for its end.

    Attributes:
        is_bound: whether it is sure that the key belongs to this request.
    """

    __slots__ = ("fingerprint", "future", "is_bound", "waiters")

    def __init__(self, print_: bytes) -> None:
        self.fingerprint = print_
        self.future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.is_bound = False
        self.waiters = 0


class Idempotency:
    """Makes calls with a key.

    The call goes on when its client goes away, since the client comes again to hear the answer.

    Args:
        edge: takes the calls to their services.
        answers: on disk.
    """

    def __init__(self, edge: Edge, answers: KeptAnswers) -> None:
        self._edge = edge
        self._answers = answers
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up the calls under way; their outcome is unknown then."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self, exchange: Exchange, key: str, call: UnaryCall) -> Outcome:
        """Make a call, or find out how an earlier one with the same key ended.

        Raises:
            BadRequest: the key is none.
            TooManyRequests: too many wait.
            Conflict: the first call has not ended in time.
            Canceled: the client went away.
        """
        account = f"{call.account.namespace}/{call.account.id}" if call.account is not None else ""
        name = name_call(call.namespace, account, call.service, call.endpoint, _read_key(key))
        print_ = fingerprint(call.payload, call.encoding)
        patience = call.timeout or DEFAULT_TIMEOUT
        while True:
            flight = self._flights.get(name)
            if flight is None:
                return await self._wait(exchange, self._launch(name, print_, call), patience)
            if flight.fingerprint == print_:
                return msgspec.structs.replace(await self._wait(exchange, flight, patience), repeated=True)
            if flight.is_bound:
                return _OTHER_REQUEST
            await self._wait(exchange, flight, patience)  # it may be the one that came with a foreign key

    def _launch(self, name: str, print_: bytes, call: UnaryCall) -> _Flight:
        if len(self._flights) >= MAX_FLIGHTS:
            raise errors.TooManyRequests("too many calls with an Idempotency-Key are under way", id="gateway")
        self._edge.room.change(0, len(call.payload))
        flight = self._flights[name] = _Flight(print_)
        task = asyncio.create_task(self._fly(name, flight, call), name="microlite: a call with an Idempotency-Key")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def _wait(self, exchange: Exchange, flight: _Flight, patience: float) -> Outcome:
        if flight.waiters >= MAX_WAITERS:
            raise errors.TooManyRequests("too many requests wait for the call with this Idempotency-Key", id="gateway")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        flight.waiters += 1
        flight.future.add_done_callback(wake)
        try:
            with exchange.giving_up(wake):
                async with asyncio.timeout(patience + GRACE):
                    await waiter
        except TimeoutError:
            raise errors.Conflict(
                "the call with this Idempotency-Key is still under way; ask again for its answer", id="gateway"
            ) from None
        finally:
            flight.waiters -= 1
            flight.future.remove_done_callback(wake)
        if not flight.future.done():
            raise errors.Canceled("the client went away", id="gateway")
        return flight.future.result()

    async def _fly(self, name: str, flight: _Flight, call: UnaryCall) -> None:
        """Make a call once, or recall it, and tell all who wait."""
        outcome = Outcome(error=errors.OutcomeUnknown("outcome unknown: the platform is stopping", id="gateway"))
        try:
            outcome = await self._outcome(name, flight, call)
        except errors.Error as error:
            outcome = Outcome(error=error)
        except Exception:  # noqa: BLE001 - an edge: it is logged and answered
            outcome = Outcome(error=self._edge.failed(f"{call.service}.{call.endpoint}"))
        finally:
            self._edge.room.change(len(call.payload), 0)
            del self._flights[name]
            flight.future.set_result(outcome)

    async def _outcome(self, name: str, flight: _Flight, call: UnaryCall) -> Outcome:
        answers = self._answers
        known = await answers.begin(name, flight.fingerprint)
        if known is not None:
            return await answers.recall(name, known) if known.fingerprint == flight.fingerprint else _OTHER_REQUEST
        flight.is_bound = True
        try:
            outcome = Outcome(await call.run(self._edge.send))
        except errors.Error as error:
            outcome = Outcome(error=error)
        try:
            if outcome.error is not None and proves_unstarted(outcome.error):
                await answers.forget(name)
            else:
                await answers.keep(name, flight.fingerprint, outcome)
        except errors.Error as error:
            # Who waits can have the answer all the same; who asks again hears that the outcome is unknown.
            self._edge.log.warning("the answer to a call with an Idempotency-Key could not be kept: %s", error)
        return outcome


def _read_key(text: str) -> str:
    """The key, without the quotes that the draft has around it.

    Raises:
        BadRequest: it is empty, too long, or has characters that cannot be in it.
    """
    key = text.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY:
        raise errors.BadRequest(
            f"Idempotency-Key: send 1 to {MAX_KEY} visible ASCII characters, such as a UUID", id="gateway"
        )
    return key
