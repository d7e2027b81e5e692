"""What comes of a call before it is decided whether it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from microlite.core.rpc.frames import INITIAL_CREDIT, ITEM_OVERHEAD

if TYPE_CHECKING:
    from microlite.core import errors
    from microlite.core.rpc.call import Inbound


MOST: Final = 8_192
"""Items, and what else is said, that are kept of one call."""


class Early:
    """Keeps what a caller says after a call whose token is still being looked at. Its credit bounds that."""

    __slots__ = ("_said", "_size", "canceled")

    def __init__(self) -> None:
        self._said: list[tuple[str, bytes | int]] = []
        self._size = 0
        self.canceled = False

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""
        self._size += len(payload) + ITEM_OVERHEAD
        if self._size <= 2 * INITIAL_CREDIT:
            self._note("item", payload)
        else:
            self.canceled = True  # it minds no credit

    def _note(self, kind: str, what: bytes | int) -> None:
        if len(self._said) < MOST:
            self._said.append((kind, what))
        else:
            self.canceled = True

    def on_end(self) -> None:
        """See `Receiver`."""
        self._note("end", b"")

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""
        self._note("credit", size)

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self.canceled = True

    def hand_on(self, inbound: Inbound) -> None:
        """Say it to whoever serves the call now."""
        receiver = inbound.receiver
        if receiver is None or inbound.done:
            return
        for kind, what in self._said:
            if kind == "item" and isinstance(what, bytes):
                receiver.on_item(what)
            elif kind == "credit" and isinstance(what, int):
                receiver.on_credit(what)
            else:
                receiver.on_end()
