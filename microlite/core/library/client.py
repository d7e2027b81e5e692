"""Typed clients: an object that calls a service by the methods of a class."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from microlite.core import errors
from microlite.core.description import Streaming, compile_endpoint
from microlite.core.description.naming import normalise, normalise_endpoint
from microlite.core.library.handlers import options_of
from microlite.core.library.stream import each

if TYPE_CHECKING:
    from collections.abc import Callable

    from microlite.core.description import Endpoint
    from microlite.core.library.caller import Caller

Api = TypeVar("Api")


def typed_client(caller: Caller, api: Callable[..., Api], service: str | None = None) -> Api:
    """An object with the public methods of `api`, a class; see `Caller.client`.

    (It is typed as what makes its objects, since type checkers take no `Protocol` for a `type[…]`.)

    Unary and client-streaming methods are to be awaited, server-streaming ones to be iterated over; a bidirectional one is
    called with its iterable of items, asynchronous or not, and iterated over.

    Raises:
        DeclarationError: a method could not be an endpoint.
    """
    return cast("Api", _Client(caller, service or _service_of(cast("Any", api)), _endpoints_of(cast("Any", api))))


class _Client:
    BRIDGED = True

    __slots__ = ("_caller", "_endpoints", "_service")

    def __init__(self, caller: Caller, service: str, endpoints: dict[str, Endpoint]) -> None:
        self._caller = caller
        self._service = service
        self._endpoints = endpoints

    def __getattr__(self, name: str) -> Callable[..., Any]:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            known = ", ".join(self._endpoints)
            raise AttributeError(f"the client of {self._service!r} has no method {name!r}; there are: {known}")
        return _method(self._caller, self._service, endpoint)

    def __repr__(self) -> str:
        return f"<client of {self._service}: {', '.join(self._endpoints)}>"


@functools.lru_cache(maxsize=256)
def _endpoints_of(api: type) -> dict[str, Endpoint]:
    found = {}
    for name, method in inspect.getmembers(api, inspect.isfunction):
        if not name.startswith("_"):
            options = options_of(method)
            found[name] = compile_endpoint(method, options.name or normalise_endpoint(name), options, unbound=True)
    return found


def _service_of(api: type) -> str:
    name = api.__name__
    for ending in ("API", "Api", "Service", "Client"):
        if name.endswith(ending) and name != ending:
            name = name.removesuffix(ending)
            break
    return normalise(normalise_endpoint(name))


def _method(caller: Caller, service: str, endpoint: Endpoint) -> Callable[..., Any]:
    signature = _call_signature(endpoint.function, endpoint.takes_context)
    stream_name = next(
        (name for name in signature.parameters if name not in endpoint.description.request.get("properties", {})), None
    )

    def split(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, Any]:
        bound = signature.bind(*args, **kwargs)
        fields = dict(bound.arguments)
        items = fields.pop(stream_name, None) if stream_name is not None else None
        return endpoint.encode_request(fields), items

    async def unary(*args: Any, **kwargs: Any) -> Any:
        payload, _ = split(args, kwargs)
        reply = await caller.call_raw(service, endpoint.name, payload, idempotent=endpoint.description.idempotent)
        return endpoint.decode_response(reply)

    async def collect(*args: Any, **kwargs: Any) -> Any:
        payload, items = split(args, kwargs)
        stream = caller.stream_raw(
            service, endpoint.name, payload, encode=endpoint.encode_item, decode=endpoint.decode_response
        )
        async with stream:
            async for item in each(items):
                try:
                    await stream.send(item)
                except errors.Canceled:
                    break  # the service has read enough: it has answered, or failed
            return await stream.reply()

    async def streaming(*args: Any, **kwargs: Any) -> Any:
        payload, items = split(args, kwargs)
        stream = caller.stream_raw(
            service, endpoint.name, payload, encode=endpoint.encode_item, decode=endpoint.decode_response
        )
        async with stream:
            feeding = stream.feed(items) if items is not None else None
            try:
                async for item in stream:
                    yield item
            except errors.Canceled:
                if feeding is not None and feeding.done():
                    feeding.result()  # what went wrong with the items says more
                raise
            finally:
                if feeding is not None:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)

    if endpoint.streaming is Streaming.UNARY:
        return unary
    return collect if endpoint.streaming is Streaming.CLIENT else streaming


def _call_signature(function: Callable[..., Any], takes_context: bool) -> inspect.Signature:
    parameters = list(inspect.signature(function).parameters.values())
    return inspect.Signature(parameters[2 if takes_context else 1 :])
