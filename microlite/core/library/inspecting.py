"""Asks the platform whom a token or a ticket stands for: nodes check no signature themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.policy.identity import Identity, Peer
from microlite.core.rpc.call import UnaryCall

if TYPE_CHECKING:
    from microlite.core.rpc.call import Call

PATIENCE: Final = 5.0
"""Seconds that the platform has to answer."""


class Platform(Protocol):
    """What takes calls to the platform."""

    def start(self, call: Call) -> None:
        """Send a call."""
        ...


_decode_identity = msgspec.msgpack.Decoder(Identity).decode
_decode_peer = msgspec.msgpack.Decoder(Peer).decode


async def inspect_token(platform: Platform, token: str) -> Identity:
    """Whom a token of a call stands for.

    Raises:
        Unauthorized: it is none of the platform's, or holds no more.
        Error: the platform cannot be asked.
    """
    return _decode_identity(await _ask(platform, "inspect", {"token": token}))


async def inspect_ticket(platform: Platform, ticket: str, *, called: bool) -> Peer:
    """Which node has shown a ticket here.

    Args:
        called: whether by it this node was called; else it is the one that this node calls.

    Raises:
        Unauthorized: it is none of the platform's, holds no more, or was meant for another node.
        Error: the platform cannot be asked.
    """
    if not ticket:
        raise errors.Unauthorized("no ticket was shown")
    return _decode_peer(await _ask(platform, "tickets.inspect", {"ticket": ticket, "called": called}))


async def _ask(platform: Platform, endpoint: str, fields: dict[str, object]) -> bytes:
    return await UnaryCall("auth", endpoint, encode_msgpack(fields), timeout=PATIENCE).run(platform.start)
