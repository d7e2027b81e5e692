"""A call that comes over one connection and goes out over another: nothing is decoded, nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microlite.core import errors
from microlite.core.rpc.call import Call

if TYPE_CHECKING:
    from microlite.core.rpc.call import Inbound


class Relay(Call):
    """The outgoing half. Credit is the caller's own, passed through, so that neither half ever buffers."""

    __slots__ = ("_inbound",)

    def __init__(self, inbound: Inbound, namespace: str) -> None:
        super().__init__(
            inbound.service,
            inbound.endpoint,
            inbound.payload,
            encoding=inbound.encoding,
            namespace=namespace,
            timeout=None,
            credit=inbound.credit,
            metadata=inbound.metadata,
            account=inbound.account,
            token=inbound.token,
        )
        self.expires = inbound.expires
        self._inbound = inbound
        inbound.receiver = _Incoming(self)

    def on_reply(self, payload: bytes) -> None:
        """See `Call`."""
        self._inbound.reply(payload)

    def on_error(self, error: errors.Error) -> None:
        """See `Call`."""
        self._inbound.fail(error)

    def on_item(self, payload: bytes) -> None:
        """See `Call`."""
        self._inbound.item(payload)

    def on_end(self) -> None:
        """See `Call`."""
        self._inbound.end()

    def on_credit(self, size: int) -> None:
        """See `Call`."""
        self._inbound.grant(size)


class _Incoming:
    """The incoming half: what the caller says after the call has started."""

    __slots__ = ("_relay",)

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def on_item(self, payload: bytes) -> None:
        """See `Receiver`."""
        channel = self._relay.channel
        if channel is not None:
            self._relay.streamed = True
            try:
                channel.send_item(self._relay, payload)
            except errors.Error as error:  # just within the limit of a frame there, just beyond it here
                self._relay.cancel()
                self._relay.on_error(error)

    def on_end(self) -> None:
        """See `Receiver`."""
        channel = self._relay.channel
        if channel is not None:
            self._relay.streamed = True
            channel.send_end(self._relay)

    def on_credit(self, size: int) -> None:
        """See `Receiver`."""
        channel = self._relay.channel
        if channel is not None:
            channel.send_credit(self._relay, size)

    def on_cancel(self, error: errors.Error) -> None:
        """See `Receiver`."""
        self._relay.cancel()
