"""An endpoint, compiled: the description of a function together with what decodes, calls and encodes."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from microlite.core.description.annotations import format_type
from microlite.core.description.codec import Codec, encode_json, encode_msgpack
from microlite.core.description.entity_tag import check_etag
from microlite.core.description.event_id import check_event_id
from microlite.core.description.media_type import check_consumed, check_media_type
from microlite.core.description.rejection import bad_payload
from microlite.core.description.reply_check import misfits, unsendable, wrong_reply
from microlite.core.description.schema import no_schema, request_schema, type_schema
from microlite.core.description.signature import NONE_GIVEN, Signature, read_signature
from microlite.core.description.structs import EndpointDescription, Role, Streaming, Trigger
from microlite.core.errors import BadGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import CodeType

    from microlite.core.description.codec import Payload
    from microlite.core.description.declaration import Place
    from microlite.core.description.signature import Field
    from microlite.core.description.structs import Schema

_EMPTY: Final = (b"\x80", b"{}")
"""A request without arguments, by encoding."""

_REFUSALS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises for a payload that does not fit."""

_NO_ITEMS: Final = Codec(Any)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an author declares about an endpoint beside its function. See `EndpointDescription` for the meanings."""

    name: str | None = None
    route: str | None = None
    idempotent: bool = False
    reads: bool = False
    role: Role = Role.PUBLIC
    scopes: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    deprecated: bool = False
    produces: str = ""
    event_id: str = ""
    consumes: str = ""
    etag: str = ""
    triggers: tuple[Trigger, ...] = ()


class Endpoint:
    """A function that can be called by payload.

    A unary call is `encode_response(await invoke(context, decode_request(payload, encoding)), encoding)`, without
    `await` where `is_async` is false. All methods may be called from any thread.

    Attributes:
        description: what the faces see.
        name: the description's, at hand.
        streaming: the description's, at hand.
        function: what the author wrote.
        is_async: whether `invoke` belongs on the loop and gives a coroutine or an asynchronous iterator. Where it is
            false, `invoke` blocks and belongs in a thread, and a stream is an iterator there.
        takes_context: whether `invoke` passes its context on.
        invoke: `invoke(context, arguments, items=None)` calls the function; `arguments` come from `decode_request`,
            `items` is the iterator of a client's stream. A server's stream is returned as the iterator, not awaited.
        place: where the function was written.
    """

    __slots__ = (
        "_items",
        "_misfits",
        "_request",
        "_response",
        "_response_type",
        "description",
        "function",
        "invoke",
        "is_async",
        "name",
        "place",
        "streaming",
        "takes_context",
    )

    _response: Codec | None

    def __init__(self, function: Callable[..., Any], compiled: _Compiled) -> None:
        description, signature = compiled.description, compiled.signature
        self.description = description
        self.name: str = description.name
        self.streaming: Streaming = description.streaming
        self.function: Callable[..., Any] = function
        self.is_async: bool = signature.is_async
        self.takes_context: bool = signature.takes_context
        self.place: Place = signature.place
        self.invoke: Callable[..., Any] = _invoker(function, signature)
        self._request = compiled.request
        self._items = compiled.items
        self._response_type = signature.response
        self._response = None
        self._misfits = misfits(description.response)

    def decode_request(self, payload: Payload, encoding: int) -> tuple[Any, ...]:
        """The arguments of a call, in the order of the function's parameters, defaults filled in.

        Args:
            payload: one object with a property for each field. An empty payload stands for one without any.
            encoding: how it is written, an `Encoding`.

        Raises:
            BadRequest: it is malformed, or a field does not fit; the detail names the field.
        """
        codec = self._request
        try:
            if encoding:
                return _astuple(codec.decode_json(payload or b"{}"))
            return _astuple(codec.decode_msgpack(payload or b"\x80"))
        except _REFUSALS as error:
            raise bad_payload(error, payload or _EMPTY[encoding], encoding, self.description.request) from None

    def decode_item(self, payload: Payload, encoding: int) -> Any:
        """One item of the caller's stream.

        Raises:
            BadRequest: it is malformed or does not fit.
        """
        try:
            return self._items.decode_json(payload) if encoding else self._items.decode_msgpack(payload)
        except _REFUSALS as error:
            raise bad_payload(error, payload, encoding, self.description.items or {}, "item") from None

    def encode_response(self, value: Any, encoding: int) -> bytes:
        """The payload of a reply, or of one item of the server's stream.

        Raises:
            ReplyError: the value is of another kind than the function declares, was not awaited, or holds something that
                cannot be sent.
        """
        if type(value) in self._misfits:
            raise wrong_reply(value, format_type(self._response_type))
        try:
            return encode_json(value) if encoding else encode_msgpack(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise unsendable(value, error, is_async=self.is_async) from None

    def encode_request(self, arguments: Mapping[str, Any], encoding: int = 0) -> bytes:
        """The caller's side of `decode_request`: the payload of a call with these fields, unchecked."""
        if not arguments:
            return b""
        return encode_json(arguments) if encoding else encode_msgpack(arguments)

    def encode_item(self, value: Any, encoding: int = 0) -> bytes:
        """The caller's side of `decode_item`."""
        return encode_json(value) if encoding else encode_msgpack(value)

    def decode_response(self, payload: Payload, encoding: int = 0) -> Any:
        """The caller's side of `encode_response`: the reply, or one item, as the type that the function declares.

        Raises:
            BadGateway: what the service answered is not of that type.
        """
        codec = self._response
        if codec is None:  # compiled for callers only
            codec = self._response = Codec(self._response_type)
        try:
            return codec.decode_json(payload) if encoding else codec.decode_msgpack(payload)
        except _REFUSALS as error:
            reason = bad_payload(error, payload, encoding, self.description.response, "reply").detail
            raise BadGateway(f"the reply of {self.name} is not of its declared type: {reason}") from None

    def answer_otherwise(self, invoke: Callable[..., Any], reply: Any, description: EndpointDescription) -> None:
        """Call the function in another way, whose result is the reply in place of its own.

        Args:
            invoke: in place of `invoke`.
            reply: the type of what that gives.
            description: in place of the one that the function's own result made.
        """
        self.invoke = invoke
        self.description = description
        self._response_type = reply
        self._response = None
        self._misfits = misfits(description.response)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} of {self.place}>"


def compile_endpoint(
    function: Callable[..., Any], name: str, options: Options | None = None, *, unbound: bool = False
) -> Endpoint:
    """Make an endpoint from a typed function.

    Args:
        function: async or plain, a generator of either kind, or a bound method.
        name: the endpoint's normalised name.
        options: what else the author declares; its `name` is not looked at.
        unbound: whether the first parameter is a `self` that no caller gives, as in a `Protocol` of endpoints. Such
            an endpoint is good for the caller's side.

    Raises:
        DeclarationError: the signature cannot be served; the text says where and what to write instead.
    """
    options = options or Options()
    code = getattr(function, "__code__", None)
    if code is None or unbound or not function.__module__.startswith("microlite."):
        return Endpoint(function, _compile(function, name, options, unbound=unbound))
    declared = (function.__module__, name, options, function.__defaults__, function.__kwdefaults__)
    known = _OWN.get(code)
    if known is None or known[0] != declared:
        known = _OWN[code] = (declared, _compile(function, name, options, unbound=False))
    return Endpoint(function, known[1])


class _Compiled(NamedTuple):
    """All of an endpoint that does not depend on which of the functions with the same code it calls."""

    description: EndpointDescription
    signature: Signature
    request: Codec
    items: Codec


_OWN: Final[dict[CodeType, tuple[object, _Compiled]]] = {}
"""The endpoints of the built-in services, by their code and with what was declared: these services are made anew for each
platform of a process, as tests have many, and name the same types each time."""


def _compile(function: Callable[..., Any], name: str, options: Options, *, unbound: bool) -> _Compiled:
    signature = read_signature(function, unbound=unbound)
    place = signature.place
    items: Schema | None = None
    if signature.items is not NONE_GIVEN:
        items = type_schema(signature.items, place, f"parameter `{signature.items_name}`")
    response = type_schema(signature.response, place, "the return annotation", "serialization")
    description = EndpointDescription(
        name=name,
        doc=signature.doc,
        request=request_schema(signature.fields, place),
        response=response,
        items=items,
        streaming=signature.streaming,
        route=options.route,
        idempotent=options.idempotent,
        reads=options.reads,
        role=options.role,
        scopes=options.scopes,
        metadata=dict(options.metadata),
        deprecated=options.deprecated,
        produces=check_media_type(options.produces, signature),
        event_id=check_event_id(options.event_id, response, signature),
        consumes=check_consumed(options.consumes, signature),
        etag=check_etag(options.etag, signature, response),
        triggers=options.triggers,
    )
    item = _NO_ITEMS if signature.items is NONE_GIVEN else Codec(signature.items)
    return _Compiled(description, signature, _request_codec(signature), item)


_astuple: Final = msgspec.structs.astuple


def _request_codec(signature: Signature) -> Codec:
    """A struct of the fields: msgspec checks and fills it in C, and a tuple of it is a call's arguments."""
    fields = signature.fields
    try:
        return Codec(_request_struct(fields))
    except (TypeError, ValueError) as error:
        for field in fields:
            try:
                Codec(_request_struct((field,)))
            except (TypeError, ValueError) as reason:
                raise no_schema(field.annotation, reason, signature.place, f"parameter `{field.name}`") from reason
        raise signature.place.error(str(error)) from error


def _request_struct(fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Request",
        [
            (field.name, field.annotation)
            if field.default is NONE_GIVEN
            else (field.name, field.annotation, _default(field.default))
            for field in fields
        ],
        kw_only=True,  # so that a field without a default may follow one with
        forbid_unknown_fields=True,
        gc=False,  # it lives for one call and is part of no cycle
    )


def _default(value: Any) -> Any:
    """A default for msgspec: what can be changed is copied for each call, so that no call sees another's changes."""
    try:
        hash(value)
    except TypeError:
        return msgspec.field(default_factory=lambda: copy.deepcopy(value))
    return value


def _invoker(function: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """The quickest way to call the function with a context, a tuple of fields and an iterator of items."""
    keywords = [field.name for field in signature.fields if field.keyword_only]
    if signature.is_awaited and signature.streaming.from_server:
        function = _generator(function)  # `async def f() -> AsyncIterator[T]` without a `yield` of its own
    if not keywords and signature.items_index < 0:
        if signature.takes_context:
            return lambda context, arguments, items=None: function(context, *arguments)  # noqa: ARG005 - one signature
        return lambda context, arguments, items=None: function(*arguments)  # noqa: ARG005 - one signature
    positional = len(signature.fields) - len(keywords)

    def invoke(context: Any, arguments: tuple[Any, ...], items: Any = None) -> Any:
        given = list(arguments[:positional])
        if signature.items_index >= 0:
            given.insert(signature.items_index, items)
        if signature.takes_context:
            given.insert(0, context)
        return function(*given, **dict(zip(keywords, arguments[positional:], strict=True)))

    return invoke


def _generator(function: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    async def stream(*arguments: Any, **keywords: Any) -> AsyncIterator[Any]:
        iterator = await function(*arguments, **keywords)
        try:
            async for item in iterator:
                yield item
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()

    return stream
