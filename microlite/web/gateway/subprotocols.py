"""What a WebSocket's client offers as subprotocols, among them perhaps its token: a page cannot set `Authorization`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from microlite.web.gateway.head import Head

OWN: Final = "microlite"
"""The subprotocol that is chosen where it is offered. It means nothing but that, and carries no secret."""

_INLINE: Final = "bearer."
_BEFORE: Final = ("bearer", "token")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Subprotocols:
    """The header `Sec-WebSocket-Protocol`, taken apart.

    A token comes as `bearer.<token>`, as the one that follows `bearer` or `token`, or alone, as clients of micro send it.

    Attributes:
        offered: all of them, in the client's order.
        token: the token among them, empty where there is none.
    """

    def __init__(self, header: bytes | None) -> None:
        words = [word.strip() for word in (header or b"").decode("latin-1").split(",")]
        self.offered = [word for word in words if _TOKEN.fullmatch(word)]
        self.token, self._carrier = _find_token(self.offered)

    @property
    def selected(self) -> str:
        """The one for the answer, empty for none: no secret is repeated unless nothing else is offered.

        Browsers give up a connection for which none of their offers was chosen.
        """
        others = self.without_token()
        if OWN in others:
            return OWN
        return others[0] if others else self._carrier

    def without_token(self) -> list[str]:
        """All that do not carry the token."""
        return [word for word in self.offered if not self.token or word != self._carrier]


def adopt_token(head: Head) -> None:
    """Take the token from the subprotocols where the request has no `Authorization`."""
    if b"authorization" not in head.fields:
        token = Subprotocols(head.fields.get(b"sec-websocket-protocol")).token
        if token:
            head.fields[b"authorization"] = b"Bearer " + token.encode()


def _find_token(offered: list[str]) -> tuple[str, str]:
    """The token, and the subprotocol that carries it."""
    for word, following in zip(offered, [*offered, ""][1:], strict=True):
        if word.lower().startswith(_INLINE):
            return word[len(_INLINE) :], word
        if word.lower() in _BEFORE and following:
            return following, following
    if len(offered) == 1 and offered[0] != OWN:
        return offered[0], offered[0]
    return "", ""
