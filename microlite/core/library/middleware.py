"""Functions around the handlers of a service."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from microlite.core.description import Endpoint, Place

if TYPE_CHECKING:
    from microlite.core.library.context import Context


class Invocation(msgspec.Struct, frozen=True):
    """A call that is about to reach its function, as middleware sees it.

    Args:
        endpoint: which is called; `endpoint.name`, `endpoint.description`.
        arguments: the decoded and checked fields, in the order of the function's parameters.
        items: the iterator of the caller's stream, asynchronous if the endpoint is; None without one.
    """

    endpoint: Endpoint
    arguments: tuple[Any, ...] = ()
    items: Any = None

    @property
    def fields(self) -> dict[str, Any]:
        """The arguments by name."""
        return dict(zip(self.endpoint.description.request.get("properties", ()), self.arguments, strict=True))


Proceed: TypeAlias = Callable[[], Awaitable[Any]]
"""Goes on to the next middleware, or to the function; gives the reply, or the iterator of a server's stream."""

Handler: TypeAlias = "Callable[[Context, Invocation], Awaitable[Any]]"
"""What runs a call: gives the reply, or the iterator of a server's stream."""

Middleware: TypeAlias = "Callable[[Context, Invocation, Proceed], Awaitable[object]]"
"""What stands around a handler: it may look, refuse by raising, answer by itself, or change the reply."""


def check_middleware(function: Callable[..., Any]) -> None:
    """Check that a function can stand around handlers.

    Raises:
        DeclarationError: it is not asynchronous, or does not take context, call and proceed.
    """
    fits = inspect.iscoroutinefunction(function)
    try:
        inspect.Signature.from_callable(function).bind(None, None, None)
    except TypeError:
        fits = False
    if not fits:
        raise Place.of(function).error(
            "write middleware as `async def name(ctx: Context, call: Invocation, proceed: Proceed) -> object`, "
            "with `return await proceed()` in it"
        )


def chain(middlewares: Sequence[Middleware], handler: Handler) -> Handler:
    """A handler with middleware around it, the first outermost; the very handler where there is none."""
    for outer in reversed(middlewares):
        handler = _around(outer, handler)
    return handler


def _around(outer: Middleware, inner: Handler) -> Handler:
    def handle(context: Context, call: Invocation) -> Awaitable[Any]:
        return outer(context, call, functools.partial(inner, context, call))

    return handle
