"""A call that is held up on its way to a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core import errors
    from microlite.core.rpc.call import Acceptor, Inbound
    from microlite.core.rpc.callee import Receiver


class Holding:
    """The receiver of such a call: keeps what the caller says meanwhile, and says it when the call goes on."""

    def __init__(self, inbound: Inbound, target: Acceptor) -> None:
        self._inbound = inbound
        self._target = target
        self._heard: list[Callable[[Receiver], None]] = []
        inbound.receiver = self

    def release(self) -> None:
        """Let the call go on, if somebody still waits for it."""
        inbound = self._inbound
        if inbound.done:
            return
        inbound.receiver = None
        self._target.accept(inbound)
        receiver = self._inbound.receiver  # whoever serves it has set this
        if receiver is not None:
            for said in self._heard:
                said(receiver)

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""
        self._heard.append(lambda receiver: receiver.on_item(payload))

    def on_end(self) -> None:
        """See `Receiver`."""
        self._heard.append(lambda receiver: receiver.on_end())

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""
        self._heard.append(lambda receiver: receiver.on_credit(size))

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self._heard.clear()
