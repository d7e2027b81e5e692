"""Node tickets: what the platform signs for a node, so that others can know which node of which service it is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.auth.api import Ticket
from microlite.core.context import service_account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.clock import Clock
    from microlite.core.context import Account
    from microlite.core.rpc.connection import Connection

LIFETIME: Final = 600.0
"""Seconds for which a ticket holds. A node has it renewed after half of them, over its connection."""


class Use(StrEnum):
    """What stands in the claim `use`: what a ticket is for, so that none can be shown in place of another."""

    NODE = "node"
    """It is shown to the platform, which takes the connection for that of this node. No other node ever sees it."""
    CALLEE = "callee"
    """A node shows it to whoever connects to its socket. It proves who answers there, and is good for nothing else."""
    CALLER = "caller"
    """A node shows it to one other node, which it names: that cannot show it anywhere itself."""


class Signer(Protocol):
    """Signs claims with the key of the platform, and proves what it has signed."""

    def sign(self, claims: Mapping[str, object]) -> str:
        """A token with these claims."""
        ...

    def verify(self, token: str) -> dict[str, object]:
        """The claims of a token that was signed here and has not expired.

        Raises:
            Unauthorized: it was not, or it has.
        """
        ...


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as the platform knows it.

    Attributes:
        service: whose node it is.
        generation: above 0 of those that the runtime has started, whose process it watches.
        join: the id of the join token by which it came from another machine; empty for one of this machine.
    """

    namespace: str
    service: str
    node: str
    generation: int = 0
    join: str = ""

    @property
    def marks(self) -> tuple[str, ...]:
        """What says, where it stands among the revoked, that this node is to be believed no more."""
        found = node_mark(self.namespace, self.node, self.generation)
        return (found, join_mark(self.namespace, self.join)) if self.join else (found,)


def node_mark(namespace: str, node: str, generation: int) -> str:
    """The mark of one generation of a node."""
    return f"node:{namespace}/{node}/{generation}"


def join_mark(namespace: str, token: str) -> str:
    """The mark of all nodes that have come by a join token, given its id."""
    return f"join:{namespace}/{token}"


class Tickets:
    """Issues tickets and proves them.

    Args:
        signer: has the key.
        clock: says when a ticket expires.
        account_of: the account of a service, given its namespace and name; without it one with no rights of its own.
        revoke: is told a mark that is to be believed no more.
    """

    def __init__(
        self,
        signer: Signer,
        clock: Clock,
        revoke: Callable[[str], None] | None = None,
        account_of: Callable[[str, str], Account] | None = None,
    ) -> None:
        self._signer = signer
        self._clock = clock
        self._revoke = revoke
        self.account_of = account_of or _plain
        self._started: dict[tuple[str, str], dict[int, Bearer]] = {}  # the generations that run, by node
        self._connected: dict[Bearer, set[Connection]] = {}

    # -- nodes of the runtime ------------------------------------------------------------------------------------------

    def start(self, namespace: str, service: str, node: str, generation: int) -> str:
        """The first ticket of a node that the runtime is about to start. It holds until `end`, and not after it."""
        bearer = Bearer(namespace=namespace, service=service, node=node, generation=generation)
        self._started.setdefault((namespace, node), {})[generation] = bearer
        return self._sign(bearer, Use.NODE, float(int(self._clock.now() + LIFETIME)))

    def end(self, namespace: str, node: str, generation: int) -> None:
        """The process of such a node is gone: whoever still shows its ticket is somebody else. May be called twice."""
        generations = self._started.get((namespace, node), {})
        if generations.pop(generation, None) is not None:
            if not generations:
                del self._started[namespace, node]
            self.revoke(node_mark(namespace, node, generation))

    def is_started(self, namespace: str, node: str) -> bool:
        """Whether the runtime has started a node of this id, which therefore has a ticket."""
        return (namespace, node) in self._started

    # -- all nodes -----------------------------------------------------------------------------------------------------

    def issue(self, bearer: Bearer, to: str = "") -> Ticket:
        """A ticket for a node whose identity was proven.

        Args:
            to: the node to which it is to be shown, and to no other; empty for what the node shows to the platform, and
                at its own socket.
        """
        expires = float(int(self._clock.now() + LIFETIME))
        if to:
            return Ticket(shown=self._sign(bearer, Use.CALLER, expires, to), expires=expires)
        token, shown = self._sign(bearer, Use.NODE, expires), self._sign(bearer, Use.CALLEE, expires)
        return Ticket(token=token, shown=shown, expires=expires)

    def _sign(self, bearer: Bearer, use: Use, expires: float, to: str = "") -> str:
        claims: dict[str, object] = {
            "use": use.value,
            "sub": bearer.service,
            "ns": bearer.namespace,
            "node": bearer.node,
            "gen": bearer.generation,
            "jti": self._clock.new_id(),
            "iat": int(self._clock.now()),
            "exp": int(expires),
        }
        if bearer.join:
            claims["join"] = bearer.join
        if to:
            claims["to"] = to
        return self._signer.sign(claims)

    def prove(self, token: str) -> Bearer:
        """Which node shows this ticket to the platform.

        Raises:
            Unauthorized: it is none of this platform's, is for another use, has expired, or is that of a node that has
                ended.
        """
        claims = self._signer.verify(token)
        return self._prove(claims, Use.NODE, late=False)

    def meet(self, token: str, by: str, use: Use) -> Bearer:
        """Which node shows this ticket to another one.

        One that has expired still says who it was shown by, for as long as that node is connected: a direct connection can
        last longer than a ticket.

        Args:
            by: the node that has been shown it.
            use: `CALLER` where it was shown by who has connected, `CALLEE` by whom the node has connected to.

        Raises:
            Unauthorized: see `prove`; or it was made for another node to see.
        """
        claims = self._signer.verify(token)
        bearer = self._prove(claims, use, late=True)
        if use is Use.CALLER and claims.get("to") != by:
            raise errors.Unauthorized(f"the ticket is for {claims.get('to')} to see, and was shown to {by}")
        return bearer

    def _prove(self, claims: dict[str, object], use: Use, *, late: bool) -> Bearer:
        try:
            bearer = msgspec.convert(
                {
                    "namespace": claims.get("ns"),
                    "service": claims.get("sub"),
                    "node": claims.get("node"),
                    "generation": claims.get("gen"),
                    "join": claims.get("join", ""),
                },
                Bearer,
            )
            expires = msgspec.convert(claims.get("exp"), float)
        except msgspec.ValidationError:
            raise errors.Unauthorized("this token is no ticket of a node") from None
        if claims.get("use") != use:
            raise errors.Unauthorized("this token is no ticket of a node, or one for another use")
        generations = self._started.get((bearer.namespace, bearer.node), {})
        if bearer.generation and generations.get(bearer.generation) != bearer:
            raise errors.Unauthorized(
                f"the ticket is that of generation {bearer.generation} of {bearer.node}, which has ended"
            )
        if expires <= self._clock.now() and not (late and self.is_connected(bearer)):
            raise errors.Unauthorized("the ticket of the node has expired")
        return bearer

    # -- who is there --------------------------------------------------------------------------------------------------

    def connected(self, bearer: Bearer, connection: Connection) -> None:
        """A node is connected, from now on and until its connection is lost."""
        self._connected.setdefault(bearer, set()).add(connection)
        connection.add_lost_callback(lambda lost: self._lost(bearer, lost))

    def is_connected(self, bearer: Bearer) -> bool:
        """Whether a node is."""
        return bearer in self._connected

    def account_now(self, bearer: Bearer) -> tuple[Account, tuple[str, ...]]:
        """Who a node is where it acts as itself, and the marks of that; as its connection says, where it has one."""
        for connection in self._connected.get(bearer, ()):
            if connection.account is not None:
                return connection.account, connection.marks
        return self.account_of(bearer.namespace, bearer.service), bearer.marks

    def _lost(self, bearer: Bearer, connection: Connection) -> None:
        held = self._connected.get(bearer, set())
        held.discard(connection)
        if not held:
            self._connected.pop(bearer, None)

    def revoke(self, mark: str) -> None:
        """Have all that carries a mark be believed no more."""
        if self._revoke is not None:
            self._revoke(mark)


def _plain(namespace: str, service: str) -> Account:
    return service_account(service, namespace)
