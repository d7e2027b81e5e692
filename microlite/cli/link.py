"""The way to the platform: its socket, spoken to without an event loop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.cli.failure import NOT_FOUND, CommandError
from microlite.cli.identity import Identity, find_identity
from microlite.core import errors
from microlite.core.rpc.blocking import BlockingClient
from microlite.core.rpc.frames import INITIAL_CREDIT
from microlite.core.rpc.paths import platform_socket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from microlite.cli.options import Options

TIMEOUT = 30.0
"""Seconds for an answer, where the command has no `--timeout`."""

JSON = 1
"""The encoding of payloads that people type and read."""


@contextlib.contextmanager
def connect(options: Options, *, session: str = "", identity: Identity | None = None) -> Iterator[Link]:
    """Open a connection to the platform of the chosen home, for as long as the `with` lasts.

    Args:
        options: the global ones.
        session: what this connection is for, if it is to keep a session's platform alive.
        identity: for whom calls are made; None for the account that the options and the log-ins name.

    Raises:
        CommandError: no platform runs there, or the options name an account that has not logged in.
    """
    identity = identity or find_identity(options)
    try:
        client = BlockingClient(platform_socket(options.home), {"session": session} if session else None)
    except errors.ServiceUnavailable:
        raise CommandError(
            f"failed to connect to the microlite server at {options.home}; start one with: microlite server", NOT_FOUND
        ) from None
    with client:
        yield Link(client, options.namespace, identity)


class Link:
    """An open connection, in one namespace.

    Args:
        client: what carries the calls, one at a time.
        namespace: of each call.
        identity: for whom they are made.
    """

    def __init__(self, client: BlockingClient, namespace: str, identity: Identity) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity

    @property
    def token(self) -> str:
        """A token that says for whom calls are made and holds for a minute; empty for the admin of this machine."""
        return self._identity.token(self._client)

    @property
    def gateway(self) -> str:
        """The URL of the platform's gateway, without a slash at the end; empty where it has none."""
        return self._client.peer.properties.get("gateway", "").rstrip("/")

    @property
    def dashboard(self) -> str:
        """The URL of the platform's dashboard, without a slash at the end; empty where it has none."""
        return self._client.peer.properties.get("dashboard", "").rstrip("/")

    @property
    def version(self) -> str:
        """The version of the platform."""
        return self._client.peer.properties.get("version", "")

    def ask(
        self, service: str, endpoint: str, type: Any = Any, /, *, timeout: float | None = TIMEOUT, **fields: object
    ) -> Any:
        """Call an endpoint of the platform with these fields, and return its answer as this type.

        Raises:
            Error: what the platform says.
        """
        payload = msgspec.msgpack.encode(fields)
        answer = self._call(service, endpoint, payload, timeout=timeout)
        return msgspec.msgpack.decode(answer, type=type)

    def follow(
        self, service: str, endpoint: str, type: Any, /, *, timeout: float | None = None, **fields: object
    ) -> Iterator[Any]:
        """Call an endpoint that answers with a stream, and yield each item as this type.

        Raises:
            Error: what the platform says; `ServiceUnavailable` when it stops.
        """
        decode = msgspec.msgpack.Decoder(type).decode
        payload = msgspec.msgpack.encode(fields)
        items = self._stream(service, endpoint, payload, timeout=timeout)
        return (decode(item) for item in _reading(items))

    def follow_json(self, service: str, endpoint: str, request: bytes) -> Iterator[bytes]:
        """The same with a JSON document, and for JSON documents."""
        return _reading(self.stream_json(service, endpoint, request))

    def send(self, service: str, endpoint: str, type: Any, items: Iterable[bytes], /, **fields: object) -> Any:
        """Call an endpoint that takes a stream, and return its answer as this type.

        Args:
            items: of the stream, encoded; they are asked for as the service has room.

        Raises:
            Error: what the platform says.
        """
        payload = msgspec.msgpack.encode(fields)
        answer = self._call(service, endpoint, payload, timeout=None, items=items)
        return msgspec.msgpack.decode(answer, type=type)

    def ask_json(
        self, service: str, endpoint: str, request: bytes = b"{}", *, timeout: float | None = TIMEOUT
    ) -> bytes:
        """Call an endpoint with a JSON document and return the one that it answers.

        Raises:
            Error: what the service says.
        """
        return self._call(service, endpoint, request, encoding=JSON, timeout=timeout)

    def stream_json(
        self,
        service: str,
        endpoint: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: dict[str, str] | None = None,
        items: Iterable[bytes] = (),
        takes_stream: bool = True,
    ) -> Iterator[bytes]:
        """Call any endpoint with a JSON document and yield what it answers: one document, or each of a stream.

        Args:
            items: the documents of the caller's own stream.
            takes_stream: whether the answer may be a stream. A call for a single answer has more time when its node
                drains, and is sent again where that is safe.

        Raises:
            Error: what the service says.
        """
        return self._stream(
            service,
            endpoint,
            request,
            encoding=JSON,
            timeout=timeout,
            metadata=metadata,
            items=items,
            credit=INITIAL_CREDIT if takes_stream else 0,
        )

    @property
    def is_machine_admin(self) -> bool:
        """Whether calls are made for whoever runs the platform here, and not for an account."""
        return type(self._identity) is Identity

    def explain(self, error: errors.Unauthorized) -> Exception:
        """What to raise where a call was refused for want of an account: it may be that the log-in has ended."""
        return self._identity.explain(self._client, error)

    def _call(self, service: str, endpoint: str, payload: bytes, **more: Any) -> bytes:
        try:
            return self._client.call(service, endpoint, payload, namespace=self._namespace, token=self.token, **more)
        except errors.Unauthorized as error:
            raise self.explain(error) from None

    def _stream(self, service: str, endpoint: str, payload: bytes, **more: Any) -> Iterator[bytes]:
        try:
            yield from self._client.stream(
                service, endpoint, payload, namespace=self._namespace, token=self.token, **more
            )
        except errors.Unauthorized as error:
            raise self.explain(error) from None


def _reading(items: Iterator[bytes]) -> Iterator[bytes]:
    """The items of a stream that only tells something: nothing is in doubt where the platform stops."""
    try:
        yield from items
    except errors.OutcomeUnknown:
        raise errors.ServiceUnavailable("the platform has stopped: ask again when it is back") from None
