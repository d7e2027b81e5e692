"""Calls to other services, from wherever they are made."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.naming import parse_target
from microlite.core.library.bridge import Bridge
from microlite.core.library.client import typed_client
from microlite.core.library.stream import Stream
from microlite.core.rpc.call import DEFAULT_TIMEOUT, StreamCall, UnaryCall
from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from microlite.core.library.state.broker import Broker
    from microlite.core.library.state.config import Config
    from microlite.core.library.state.events import Events
    from microlite.core.library.state.schedules import Schedules
    from microlite.core.library.state.store import Store
    from microlite.core.library.state.transaction import Transaction
    from microlite.core.library.stream import Transport
    from microlite.core.rpc.call import Call

Api = TypeVar("Api")
Result = TypeVar("Result")

_decode = msgspec.msgpack.Decoder().decode
_parse_target = functools.lru_cache(maxsize=4096)(parse_target)


class Caller:
    """Makes calls. A handler has one in its `Context`, a script gets one from `microlite.connect()`.

    Args:
        transport: takes each call to its service.
        namespace: whose services are called.
        metadata: travels along with each call.
        expires: loop time by which each call has to be answered, infinity for none of its own.
        timeout: seconds that each call may take.
        stream_timeout: seconds that each stream may take.
        token: shows for whom the calls are made; empty for whoever holds the connection.
    """

    BRIDGED = True

    __slots__ = ("_expires", "_metadata", "_namespace", "_stream_timeout", "_timeout", "_token", "_transport")

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str = "",
        metadata: dict[str, str] | None = None,
        expires: float = math.inf,
        timeout: float = DEFAULT_TIMEOUT,
        stream_timeout: float | None = None,
        token: str = "",
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._metadata = metadata
        self._expires = expires
        self._timeout = timeout
        self._stream_timeout = stream_timeout
        self._token = token

    async def call(self, target: str, request: object = None, /, **fields: object) -> Any:
        """Call an endpoint and return its answer as plain Python values (dict, list, str, …).

        Args:
            target: `service.endpoint`, or `service` for its default endpoint.
            request: all fields at once, as a dict or any object with fields, in place of `fields`.
            fields: the fields of the request.

        Raises:
            Error: as the service raised it; `ServiceNotFound`, `EndpointNotFound`, `Timeout`, or
                `OutcomeUnknown` when the connection broke in between.
        """
        service, endpoint = _parse_target(target)
        payload = encode_msgpack(fields if request is None else request)
        return _decode(await self.call_raw(service, endpoint, payload))

    def call_raw(
        self, service: str, endpoint: str, payload: bytes, *, idempotent: bool = False
    ) -> Coroutine[Any, Any, bytes]:
        """Call with an encoded request (MessagePack); to be awaited for the encoded answer."""
        call = UnaryCall(
            service,
            endpoint,
            payload,
            namespace=self._namespace,
            timeout=self._timeout,
            metadata=self._outgoing(),
            token=self._token,
            idempotent=idempotent,
        )
        if self._expires != math.inf:
            self._bound(call)
        return call.run(self._transport.send)  # not awaited here: a coroutine less on the way of every answer

    def stream(self, target: str, request: object = None, /, **fields: object) -> Stream:
        """Call an endpoint that streams, in either direction or both.

        `async for item in ctx.stream("prices.watch", symbol="X")` reads a stream. To send one, open it:
        `async with ctx.stream("chat.join", room="a") as chat: await chat.send(message)`.
        """
        service, endpoint = _parse_target(target)
        return self.stream_raw(service, endpoint, encode_msgpack(fields if request is None else request))

    def stream_raw(
        self,
        service: str,
        endpoint: str,
        payload: bytes,
        *,
        encode: Callable[[object], bytes] = encode_msgpack,
        decode: Callable[[bytes], Any] = _decode,
    ) -> Stream:
        """Call with an encoded request; `encode` and `decode` are for the items."""
        call = StreamCall(
            service,
            endpoint,
            payload,
            namespace=self._namespace,
            timeout=getattr(self, "_stream_timeout", None),  # a context leaves it unset
            credit=INITIAL_CREDIT,
            metadata=self._outgoing(),
            token=self._token,
        )
        if self._expires != math.inf:
            self._bound(call)
        return Stream(call, self._transport, encode, decode)

    def client(self, api: Callable[..., Api], service: str | None = None) -> Api:
        """A typed client: an object with the methods of `api`, each of which calls the endpoint of its name.

        Args:
            api: a class (usually a `Protocol`) whose methods are annotated as the endpoints are.
            service: the name of the service; without it the name of the class, less a final `API` or `Service`.
        """
        return typed_client(self, api, service)

    def options(
        self, *, timeout: float | None = None, metadata: Mapping[str, str] | None = None, namespace: str | None = None
    ) -> Caller:
        """The same caller with other settings for its calls.

        Args:
            timeout: seconds that each call may take, a stream from its first to its last item; without it 30 for calls
                and no limit for streams. A deadline that is already set still holds.
            metadata: travels along in addition.
            namespace: whose services are called, where the account may do that.

        Raises:
            BadRequest: the timeout is not above 0.
        """
        if timeout is not None and timeout <= 0:
            raise errors.BadRequest(f"a timeout is a number of seconds above 0, not {timeout}; `math.inf` sets none")
        merged = dict(self._outgoing() or {})
        merged.update({key.lower(): value for key, value in (metadata or {}).items()})
        return Caller(
            self._transport,
            namespace=self._namespace if namespace is None else namespace,
            metadata=merged or None,
            expires=self._expires,
            timeout=self._timeout if timeout is None else timeout,
            stream_timeout=getattr(self, "_stream_timeout", None) if timeout is None else timeout,
            token=self._token,
        )

    @property
    def broker(self) -> Broker:
        """Ephemeral messages by topic: `await ctx.broker.publish("prices.eur", price)`."""
        from microlite.core.library.state.broker import Broker  # whoever does not use it does not load it

        return Broker(self._itself())

    @property
    def events(self) -> Events:
        """Durable topics: `await ctx.events.publish("orders.created", order)`; see `Events`."""
        from microlite.core.library.state.events import Events  # loaded by those who use it

        return Events(self._itself())

    @property
    def schedules(self) -> Schedules:
        """Calls at their time: `await ctx.schedules.call("orders.expire", {"id": 1}, delay=60)`."""
        from microlite.core.library.state.schedules import Schedules  # few nodes use it

        return Schedules(self._itself())

    @property
    def store(self) -> Store:
        """The records of the service: `await ctx.store.write("a", value)`; see `Store`."""
        from microlite.core.library.state.store import Store  # loaded by those who use it

        return Store(self._itself())

    def transaction(self, id: str = "") -> Transaction:
        """Changes that take place together, or not at all: `async with ctx.transaction() as tx:`; see `Transaction`.

        Args:
            id: of several transactions of this caller with the same one, only the first takes place.
        """
        from microlite.core.library.state.transaction import Transaction  # as above

        return Transaction(self._itself(), id, self._outgoing())

    @overload
    async def transact(
        self, change: Callable[[Transaction], Coroutine[Any, Any, Result]], *, tries: int = 10
    ) -> Result: ...

    @overload
    async def transact(self, change: Callable[[Any], Result], *, tries: int = 10) -> Result: ...

    async def transact(self, change: Callable[[Any], Any], *, tries: int = 10) -> Any:
        """Run a function with a transaction and commit it; if that conflicts, run it again with a new one, a little later.

        Args:
            change: takes the transaction. A plain function runs in a thread, and is given the blocking form.
            tries: how often it is run at most.

        Returns:
            what the function returned in the run that was committed.

        Raises:
            Conflict: others were faster each time. One that the function raises itself is not tried again.
        """
        from microlite.core.library.state.transaction import transact  # as above

        return await transact(self._itself(), change, tries, self._outgoing())

    @property
    def config(self) -> Config:
        """The configuration of the namespace: `ctx.config.get("limits.max", int, default=10)`; see `Config`."""
        from microlite.core.library.state.config import Config  # loaded by those who use it

        return Config(self._itself())

    def terms(self) -> tuple[Transport, asyncio.AbstractEventLoop, tuple[object, ...], object]:
        """On what terms calls are made here: transport, loop, and what is the same for callers whose calls may be joined.

        The last is what the terms name by its identity, so that it has to be kept for as long as they are.
        """
        metadata = self._outgoing()
        terms = (id(metadata), self._namespace, self._expires, self._timeout, self._token)
        return self._transport, self._transport.loop, terms, metadata

    @property
    def sync(self) -> Any:
        """The same, blocking, for use in a thread: `ctx.sync.call(…)`, `for item in ctx.sync.stream(…)`."""
        return Bridge(self, self._transport.loop)

    def renew(self) -> bool:
        """Use the connection that is there now, where another was lost. False if none will come."""
        return not getattr(self._transport, "lost", False)

    def _itself(self) -> Caller:
        """Whose calls those are that are about the caller's own state: not of whoever it was called by."""
        return self

    def _outgoing(self) -> dict[str, str] | None:
        return self._metadata

    def _bound(self, call: Call) -> None:
        own = self._transport.loop.time() + call.timeout if call.timeout else math.inf
        call.expires = min(own, self._expires)
