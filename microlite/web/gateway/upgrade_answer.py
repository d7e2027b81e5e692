"""What a program answers to a request for a WebSocket: that it agrees, or any other answer of HTTP."""

from __future__ import annotations

from typing import Final

import httptools

SWITCHING: Final = 101
BODILESS: Final = (204, 304)


class UpgradeAnswer:
    """The answer as far as it has arrived.

    Attributes:
        status: 0 before it is known; answers that only announce another one (1xx) are passed over.
        headers: names as they were written.
        is_head_done: status and headers are complete.
        is_done: so is the body. Where it has no length of its own, it ends with the connection.
        rest: what came after a granted upgrade, and belongs to the WebSocket.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_head_done = False
        self.is_done = False
        self.rest = b""
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what the program sent.

        Raises:
            httptools.HttpParserError: it is no HTTP.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]

    def take_body(self) -> bytes:
        """What has arrived of the body since it was last taken."""
        body, self._pieces = b"".join(self._pieces), []
        return body

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection says where the body ends."""
        return not {b"content-length", b"transfer-encoding"} & {name.lower() for name, _ in self.headers}

    # -- the parser's callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which nobody asked for."""
        if not self.is_head_done:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head of an answer."""
        status = self._parser.get_status_code()
        if status >= 200 or status == SWITCHING:
            self.status = status
            self.is_head_done = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The end of an answer."""
        self.is_done = self.is_head_done
