"""What an endpoint's function takes and gives, read from its annotations and checked."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, Final, NamedTuple

from microlite.core.description.annotations import Annotations, format_type, unwrap
from microlite.core.description.declaration import DeclarationError, Place
from microlite.core.description.docstrings import parse_docstring
from microlite.core.description.structs import Streaming

NONE_GIVEN: Final = inspect.Parameter.empty
"""Stands for "no default" and "no stream", where None has a meaning of its own."""

_CONTEXT: Final = ("microlite.core.library.context", "Context")
_ASYNC_STREAMS: Final = (AsyncIterator, AsyncIterable, AsyncGenerator)
_SYNC_STREAMS: Final = (Iterator, Generator)


class Field(NamedTuple):
    """One field of the request: a parameter of the function that is neither the context nor a stream."""

    name: str
    annotation: Any
    default: Any = NONE_GIVEN
    doc: str = ""
    keyword_only: bool = False


class Signature(NamedTuple):
    """An endpoint's function, read."""

    place: Place
    doc: str
    fields: tuple[Field, ...]
    response: Any
    """The type of the reply, or of each streamed item; `Any` where nothing is said."""
    items: Any
    """The type of each item that the caller streams, or `NONE_GIVEN`."""
    items_index: int
    """How many fields stand before the stream's parameter; -1 without one."""
    items_name: str
    streaming: Streaming
    takes_context: bool
    is_async: bool
    """Whether calling it on the loop gives a coroutine or an asynchronous iterator; else it belongs in a thread."""
    is_awaited: bool
    """Whether the call gives a coroutine, of the reply or (seldom) of an asynchronous iterator."""


def read_signature(function: Callable[..., Any], *, unbound: bool = False) -> Signature:
    """Read a function that is to be an endpoint.

    Args:
        function: a plain or asynchronous function, a generator of either kind, or a bound method.
        unbound: whether its first parameter is a `self` that no caller gives.

    Raises:
        DeclarationError: it is no function, or a parameter or result cannot travel in a request or reply.
    """
    place = Place.of(function)
    if not inspect.isroutine(function):
        raise place.error("an endpoint is a function or a method; wrap what is none in a `def`")
    annotations = Annotations(function)
    parameters = list(_parameters(function))[1 if unbound else 0 :]
    takes_context = bool(parameters) and _is_context(parameters[0], annotations)
    is_coroutine = _is(inspect.iscoroutinefunction, function)
    returns = _read_return(function, annotations, place, is_coroutine=is_coroutine)
    doc = parse_docstring(inspect.getdoc(function))

    fields: list[Field] = []
    items: Any = NONE_GIVEN
    items_index, items_name = -1, ""
    for parameter in parameters[1 if takes_context else 0 :]:
        annotation = _read_parameter(parameter, annotations, place)
        element = _stream_item(parameter.name, annotation, place, is_async=returns.is_async)
        if element is NONE_GIVEN:
            only = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            text = doc.parameters.get(parameter.name, "")
            fields.append(Field(parameter.name, annotation, parameter.default, text, only))
        elif items is not NONE_GIVEN:
            raise place.error(
                f"parameter `{parameter.name}`: `{items_name}` is a stream already, and there is only one"
            )
        else:
            items, items_index, items_name = element, len(fields), parameter.name
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                raise place.error(f"parameter `{items_name}`: put the stream before the `*`")
    return Signature(
        place=place,
        doc=doc.text,
        fields=tuple(fields),
        response=returns.annotation,
        items=items,
        items_index=items_index,
        items_name=items_name,
        streaming=_STREAMING[items_index >= 0, returns.is_stream],
        takes_context=takes_context,
        is_async=returns.is_async,
        is_awaited=is_coroutine,
    )


class _Return(NamedTuple):
    annotation: Any
    is_stream: bool
    is_async: bool


_STREAMING: Final = {
    (False, False): Streaming.UNARY,
    (False, True): Streaming.SERVER,
    (True, False): Streaming.CLIENT,
    (True, True): Streaming.BIDIRECTIONAL,
}


def _parameters(function: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    if sys.version_info >= (3, 14):
        import annotationlib  # from Python 3.14 on, where annotations are evaluated on demand

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF).parameters.values()
    return inspect.signature(function).parameters.values()


def _is(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether `test` holds for the function, or for what a decorator wrapped in it."""
    return test(function) or test(inspect.unwrap(function))


def is_context(annotation: Any) -> bool:
    """Whether a type is the library's `Context`, known by name: this layer stands below the library."""
    annotation = unwrap(annotation)
    return isinstance(annotation, type) and any((c.__module__, c.__name__) == _CONTEXT for c in annotation.__mro__)


def _is_context(parameter: inspect.Parameter, annotations: Annotations) -> bool:
    if parameter.name == "ctx":
        return True
    if parameter.name not in annotations:
        return False
    try:
        return is_context(annotations.resolve(parameter.name))
    except DeclarationError:
        if annotations.text(parameter.name).rpartition(".")[2] == "Context":
            return True  # imported for the type checker only, which does no harm here
        raise


def _read_parameter(parameter: inspect.Parameter, annotations: Annotations, place: Place) -> Any:
    name = parameter.name
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
        instead = f"{name}: list[str]" if stars == "*" else f"{name}: dict[str, str]"
        raise place.error(f"parameter `{stars}{name}`: a request has named fields; write `{instead}`")
    if name not in annotations:
        if name == "self":
            raise place.error("parameter `self`: register the object that has this method, with `service.handle(obj)`")
        example = "str" if parameter.default in (NONE_GIVEN, None) else type(parameter.default).__name__
        raise place.error(
            f"parameter `{name}` has no annotation; write its type, for example `{name}: {example}`, "
            "so that requests can be checked"
        )
    annotation = annotations.resolve(name)
    if is_context(annotation):
        raise place.error(f"parameter `{name}`: the context comes first; move it to the front")
    return annotation


def _stream_item(name: str, annotation: Any, place: Place, *, is_async: bool) -> Any:
    """The type of a streamed parameter's items; `NONE_GIVEN` for a field."""
    origin, item = _take_apart(annotation)
    if origin is Iterable:
        item = "..." if item is NONE_GIVEN else format_type(item)
        stream = "AsyncIterator" if is_async else "Iterator"
        raise place.error(
            f"parameter `{name}`: `Iterable[{item}]` may mean two things; write `list[{item}]` for a field that holds "
            f"a list, or `{stream}[{item}]` for a stream from the caller"
        )
    if origin not in (*_ASYNC_STREAMS, *_SYNC_STREAMS):
        return NONE_GIVEN
    if item is NONE_GIVEN:
        raise place.error(f"parameter `{name}`: say what is streamed, for example `{origin.__name__}[str]`")
    if (origin in _ASYNC_STREAMS) is not is_async:
        kind, right = ("an `async def`", "AsyncIterator") if is_async else ("a plain `def`", "Iterator")
        raise place.error(f"parameter `{name}`: {kind} takes a stream as `{right}[{format_type(item)}]`")
    return item


def _read_return(
    function: Callable[..., Any], annotations: Annotations, place: Place, *, is_coroutine: bool
) -> _Return:
    async_generator = _is(inspect.isasyncgenfunction, function)
    generator = _is(inspect.isgeneratorfunction, function)
    is_async = is_coroutine or async_generator
    if "return" not in annotations:
        return _Return(Any, async_generator or generator, is_async)
    annotation = annotations.resolve("return")
    origin, item = _take_apart(annotation)
    if origin in (Awaitable, Coroutine) and not is_async and not generator:
        annotation = typing.get_args(unwrap(annotation))[-1:] or (Any,)
        return _Return(annotation[0], is_stream=False, is_async=True)
    if origin in _ASYNC_STREAMS and not generator:
        return _Return(Any if item is NONE_GIVEN else item, is_stream=True, is_async=True)
    if origin in _SYNC_STREAMS and not is_async:
        return _Return(Any if item is NONE_GIVEN else item, is_stream=True, is_async=False)
    shown = format_type(annotation)
    if origin in (*_ASYNC_STREAMS, *_SYNC_STREAMS):
        right = "AsyncIterator" if is_async else "Iterator"
        inner = "..." if item is NONE_GIVEN else format_type(item)
        raise place.error(f"the return annotation `{shown}` does not fit this function; write `-> {right}[{inner}]`")
    if async_generator or generator:
        right = "AsyncIterator" if async_generator else "Iterator"
        raise place.error(f"it yields, so it streams; write `-> {right}[{shown}]` where `{shown}` is one item")
    if origin is Iterable:
        inner = "..." if item is NONE_GIVEN else format_type(item)
        right = "AsyncIterator" if is_async else "Iterator"
        raise place.error(
            f"the return annotation: write `list[{inner}]` for a list, or `{right}[{inner}]` for a stream"
        )
    return _Return(annotation, is_stream=False, is_async=is_async)


def _take_apart(annotation: Any) -> tuple[Any, Any]:
    """The generic type of an annotation, and its first argument or `NONE_GIVEN`."""
    annotation = unwrap(annotation)
    origin = typing.get_origin(annotation)
    if origin is None:
        return annotation, NONE_GIVEN
    arguments = typing.get_args(annotation)
    return origin, arguments[0] if arguments else NONE_GIVEN
