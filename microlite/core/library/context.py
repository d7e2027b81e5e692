"""What a handler knows of the call it serves, and the way from there to everything else."""

from __future__ import annotations

import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from microlite.core import errors
from microlite.core.context import (
    NOBODY,
    TRACEPARENT,
    Account,
    Origin,
    Trace,
    new_traceparent,
    parse_traceparent,
    service_account,
)
from microlite.core.description.structs import ANSWERED, ASKED, Encoding
from microlite.core.library.bridge import Bridge, Waits
from microlite.core.library.caller import Caller
from microlite.core.rpc.call import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from microlite.core.clock import Clock
    from microlite.core.library.attachments import Attachment
    from microlite.core.library.stream import Transport
    from microlite.core.rpc.call import Inbound

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


class Scope:
    """What all calls of one node share: its transport, clock and name."""

    __slots__ = ("account", "adopt", "clock", "log", "namespace", "node", "serve", "service", "states", "transport")

    def __init__(self, service: str, *, node: str, namespace: str, transport: Transport, clock: Clock) -> None:
        self.service = service
        self.node = node
        self.namespace = namespace
        self.transport = transport
        self.clock = clock
        self.log = logging.getLogger(service)
        self.account = service_account(service, namespace)
        """Who the service is where it acts as itself."""
        self.serve: Callable[[Inbound], None] | None = None
        """Takes calls for this very node; None where there is none."""
        self.adopt: Callable[[Attachment], None] | None = None
        """Has the node do something more besides serving calls; None where there is no node."""
        self.states: dict[str, Any] = {}
        """What the node knows of the state of the platform, by what it is."""


class Context(Caller):
    """The context of one call: who asks, until when, under which trace; and calls to others.

    Calls made through it carry the caller's identity, metadata, trace and remaining time: what the caller may not do, its
    calls may not do either. What is about the service's own state (`store`, `config`, `events`, `broker`, `schedules`,
    `transaction`) it does as itself, and so does `as_service`. It belongs to the handler's call and must not be used after
    that has ended.
    """

    __slots__ = ("_as_service", "_inbound", "_onward", "_scope", "_trace", "_waits")

    def __init__(self, scope: Scope, inbound: Inbound | None) -> None:
        self._scope = scope
        self._inbound = inbound
        self._trace: Trace | None = None
        self._onward: dict[str, str] | None = None
        self._transport = scope.transport
        self._timeout = DEFAULT_TIMEOUT
        if inbound is None:
            self._namespace = scope.namespace
            self._metadata = None
            self._expires = math.inf
            self._token = ""
        else:
            token = inbound.token
            self._token = token if token or inbound.account == scope.account else NOBODY
            self._namespace = inbound.namespace or scope.namespace
            self._metadata = inbound.metadata
            self._expires = inbound.expires

    @property
    def service(self) -> str:
        """The name of the service that runs this handler."""
        return self._scope.service

    @property
    def node(self) -> str:
        """The id of this running instance of the service."""
        return self._scope.node

    @property
    def endpoint(self) -> str:
        """The name of the endpoint that was called; empty in hooks."""
        return self._inbound.endpoint if self._inbound is not None else ""

    @property
    def namespace(self) -> str:
        """The namespace of the call."""
        return self._namespace

    @property
    def account(self) -> Account | None:
        """Who makes the call, as far as it is known for sure; None for nobody.

        In hooks, and where the platform calls by itself (`every`, `consume`, `subscribe`), that is the service.
        """
        return self._inbound.account if self._inbound is not None else self._scope.account

    @property
    def as_service(self) -> Context:
        """The same, but for whom its calls are made: the service itself, with the rights of the service.

        `await ctx.as_service.call("billing.charge", …)` works for callers who may not call `billing` themselves. Whoever may
        call this endpoint makes the service do it, so decide here who may.
        """
        found: Context | None = getattr(self, "_as_service", None)  # not set with the others: few calls need it
        if found is None:
            if self._token == "":
                return self
            found = self._as_service = Context(self._scope, self._inbound)
            found._token = ""
            found._transport = self._transport
            found._trace = self.trace
            found._onward = self._outgoing()
        return found

    @property
    def transport(self) -> Transport:
        """What takes calls to their services."""
        return self._transport

    def serve_here(self, inbound: Inbound) -> None:
        """Have this very node serve a call, whoever else could."""
        if self._scope.serve is None:
            inbound.fail(errors.ServiceUnavailable("the node serves no calls yet"))
        else:
            self._scope.serve(inbound)

    @property
    def peer(self) -> object | None:
        """The connection that the call came over; None within the process."""
        return self._inbound.peer if self._inbound is not None else None

    @property
    def calling_service(self) -> str:
        """The service whose node makes this call, as far as the platform knows for sure; empty for anybody else."""
        return getattr(self.peer, "service", "")

    @property
    def shown(self) -> str:
        """The signed token that travels with the call; empty where it is made for nobody."""
        return self._inbound.token if self._inbound is not None else ""

    @property
    def origin(self) -> Origin:
        """Namespace, calling service and account in one."""
        account, node = self.account, getattr(self.peer, "node", "")
        if account is None:
            return Origin(self.namespace, self.calling_service, node=node)
        return Origin(self.namespace, self.calling_service, account.id, account.namespace, node)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the caller sent along: lower-case names, as HTTP headers have them."""
        return self._metadata if self._metadata is not None else _NO_METADATA

    @property
    def asked(self) -> Encoding:
        """How the request is written, plainly MSGPACK or JSON: for what is passed on without being decoded."""
        return ASKED[self._inbound.encoding] if self._inbound is not None else Encoding.MSGPACK

    @property
    def answered(self) -> Encoding:
        """How the answer is written, plainly MSGPACK or JSON."""
        return ANSWERED[self._inbound.encoding] if self._inbound is not None else Encoding.MSGPACK

    @property
    def deadline(self) -> float | None:
        """Seconds that are left for the answer; None without a limit."""
        if self._expires == math.inf:
            return None
        return max(0.0, self._expires - self._transport.loop.time())

    @property
    def trace(self) -> Trace:
        """The span of this call, a child of the caller's."""
        if self._trace is None:
            parent = parse_traceparent(self.metadata.get(TRACEPARENT)) or parse_traceparent(new_traceparent())
            assert parent is not None
            self._trace = parent.child()
        return self._trace

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines say to which trace they belong."""
        return _TraceLog(self._scope.log, {"trace": self.trace.trace_id, "endpoint": self.endpoint})

    @property
    def sync(self) -> Any:
        """See `Caller.sync`. What waits there ends with `Canceled` when the caller of this handler goes away."""
        return Bridge(self, self._transport.loop, self._blocked())

    def renew(self) -> bool:
        """See `Caller.renew`: a node that has lost its connection finds the platform again."""
        self._transport = self._scope.transport
        return True

    def give_up(self) -> None:
        """Let what the handler waits for in a thread end: nobody wants its answer any more."""
        self._blocked().cancel()

    def _blocked(self) -> Waits:
        waits: Waits | None = getattr(self, "_waits", None)  # not set with the others: few calls need it
        if waits is None:
            waits = self._waits = Waits()
        return waits

    def new_id(self) -> str:
        """A new unique id: 26 characters that sort by the time of their making."""
        return self._scope.clock.new_id()

    async def sleep(self, seconds: float) -> None:
        """Return after a time, or when the call is given up."""
        await self._scope.clock.sleep(seconds)

    def _itself(self) -> Context:
        return self.as_service

    def _outgoing(self) -> dict[str, str] | None:
        onward = self._onward
        if onward is None:
            # The same for all calls of this handler: nobody changes it after this.
            onward = self._onward = dict(self._metadata) if self._metadata is not None else {}
            onward[TRACEPARENT] = str(self.trace)
        return onward


class _TraceLog(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic only for type checkers until Python 3.11
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the trace to what the line carries; the standard adapter would put it in place of that."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
