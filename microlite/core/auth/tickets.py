"""Node tickets: what the platform signs for a node, so that others can know which node of which service it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.auth.api import Identity, Ticket
from microlite.core.context import SERVICE, SERVICE_SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.clock import Clock

LIFETIME: Final = 600.0
"""Seconds for which a ticket holds. A node has it renewed after half of them, over its connection."""

USE: Final = "ticket"
"""What stands in the claim `use`: no other token of the platform is taken for a ticket, and no ticket for another."""


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
        found = (
            node_mark(self.namespace, self.node, self.generation),
            f"account:{self.namespace}/{self.service}",
        )
        return (*found, join_mark(self.namespace, self.join)) if self.join else found


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
        revoke: is told a mark, and until when tickets with it could still be shown, in seconds since the Unix epoch.
    """

    def __init__(self, signer: Signer, clock: Clock, revoke: Callable[[str, float], None] | None = None) -> None:
        self._signer = signer
        self._clock = clock
        self._revoke = revoke
        self._started: dict[tuple[str, str], dict[int, Bearer]] = {}  # the generations that run, by node

    # -- nodes of the runtime ------------------------------------------------------------------------------------------

    def start(self, namespace: str, service: str, node: str, generation: int) -> str:
        """The first ticket of a node that the runtime is about to start. It holds until `end`, and not after it."""
        bearer = Bearer(namespace=namespace, service=service, node=node, generation=generation)
        self._started.setdefault((namespace, node), {})[generation] = bearer
        return self.issue(bearer).token

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

    def issue(self, bearer: Bearer) -> Ticket:
        """A ticket for a node whose identity was proven."""
        now = self._clock.now()
        expires = now + LIFETIME
        claims: dict[str, object] = {
            "use": USE,
            "sub": bearer.service,
            "ns": bearer.namespace,
            "node": bearer.node,
            "gen": bearer.generation,
            "jti": self._clock.new_id(),
            "iat": int(now),
            "exp": int(expires),
        }
        if bearer.join:
            claims["join"] = bearer.join
        return Ticket(token=self._signer.sign(claims), expires=float(int(expires)))

    def prove(self, token: str) -> tuple[Bearer, float]:
        """Whose ticket it is, and until when it holds.

        Raises:
            Unauthorized: it is none of this platform's, has expired, or is that of a node that has ended.
        """
        claims = self._signer.verify(token)
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
        if claims.get("use") != USE:
            raise errors.Unauthorized("this token is no ticket of a node")
        if expires <= self._clock.now():
            raise errors.Unauthorized("the ticket of the node has expired")
        if bearer.generation and self._started.get((bearer.namespace, bearer.node), {}).get(bearer.generation) != bearer:
            raise errors.Unauthorized(
                f"the ticket is that of generation {bearer.generation} of {bearer.node}, which has ended"
            )
        return bearer, expires

    def inspect(self, token: str) -> Identity:
        """Whose ticket it is, for the other end of a direct connection.

        Raises:
            Unauthorized: see `prove`.
        """
        bearer, expires = self.prove(token)
        return Identity(
            account=bearer.service,
            type=SERVICE,
            namespace=bearer.namespace,
            scopes=(SERVICE_SCOPE,),
            expires=expires,
            marks=bearer.marks,
            service=bearer.service,
            node=bearer.node,
            generation=bearer.generation,
        )

    def revoke(self, mark: str) -> None:
        """Have all that carries a mark be believed no more."""
        if self._revoke is not None:
            self._revoke(mark, self._clock.now() + LIFETIME)
