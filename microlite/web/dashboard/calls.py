"""Calls of the dashboard's pages: in this process, as whoever is logged in, in the namespace of the session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core import errors
from microlite.core.description.codec import encode_msgpack
from microlite.core.description.naming import parse_target
from microlite.core.rpc.call import DEFAULT_TIMEOUT, StreamCall, UnaryCall
from microlite.core.rpc.frames import INITIAL_CREDIT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from microlite.core.auth.web_sessions import WebSession
    from microlite.core.rpc.call import Call


class Calls:
    """Calls built-in services through their public contract, and any other as a user's browser would.

    Args:
        send: takes a call; never raises.
    """

    def __init__(self, send: Callable[[Call], None]) -> None:
        self._send = send

    async def ask(
        self,
        session: WebSession,
        target: str,
        type: Any = Any,
        /,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        **fields: object,
    ) -> Any:
        """Call an endpoint and return its answer as this type.

        Raises:
            Error: what the service says.
        """
        service, endpoint = parse_target(target)
        call = UnaryCall(service, endpoint, encode_msgpack(fields), timeout=timeout, **_terms(session))
        return msgspec.msgpack.decode(await call.run(self._send), type=type)

    async def follow(
        self, session: WebSession, target: str, type: Any, /, **fields: object
    ) -> AsyncGenerator[Any, None]:
        """Call an endpoint that answers with a stream, and yield each item as this type.

        Raises:
            Error: what the service says.
        """
        service, endpoint = parse_target(target)
        decode = msgspec.msgpack.Decoder(type).decode
        call = StreamCall(
            service, endpoint, encode_msgpack(fields), timeout=None, credit=INITIAL_CREDIT, **_terms(session)
        )
        async with call:
            self._send(call)
            async for payload in call.items():
                yield decode(payload)

    async def send(
        self, session: WebSession, target: str, type: Any, items: AsyncIterator[bytes], /, **fields: object
    ) -> Any:
        """Call an endpoint that takes a stream of bytes, and return its answer as this type.

        Args:
            items: are sent as the service has room; when they break off, the call is canceled.

        Raises:
            Error: what the service says.
        """
        service, endpoint = parse_target(target)
        call = StreamCall(service, endpoint, encode_msgpack(fields), timeout=None, **_terms(session))
        async with call:
            self._send(call)
            try:
                async for item in items:
                    await call.send(encode_msgpack(item))
            except errors.Canceled:
                if not call.ended:
                    raise
            call.close_send()
            return msgspec.msgpack.decode(await call.reply(), type=type)

    async def ask_raw(
        self, session: WebSession, service: str, endpoint: str, document: bytes, *, timeout: float = DEFAULT_TIMEOUT
    ) -> bytes:
        """Call an endpoint with a JSON document as it is, and return the one that it answers.

        Raises:
            Error: what the service says.
        """
        call = UnaryCall(service, endpoint, document, encoding=1, timeout=timeout, **_terms(session))
        return await call.run(self._send)

    def open_raw(self, session: WebSession, service: str, endpoint: str, document: bytes, *, takes: bool) -> StreamCall:
        """Start a call with streams of JSON documents. Whoever asks for it ends it (`async with`).

        Args:
            takes: whether the answer is a stream too.
        """
        credit = INITIAL_CREDIT if takes else 0
        call = StreamCall(service, endpoint, document, encoding=1, timeout=None, credit=credit, **_terms(session))
        self._send(call)
        return call


def _terms(session: WebSession) -> dict[str, Any]:
    return {"account": session.account, "namespace": session.namespace}
