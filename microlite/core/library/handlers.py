"""Handler classes: objects whose public methods are endpoints."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from microlite.core.description import DeclarationError, Options, Place, Role
from microlite.core.description.annotations import Annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

F = TypeVar("F", bound="Callable[..., Any]")

_MARK: Final = "__microlite_endpoint__"


@overload
def endpoint(function: F, /) -> F: ...


@overload
def endpoint(
    *,
    name: str | None = None,
    route: str | None = None,
    idempotent: bool = False,
    reads: bool = False,
    role: Role = Role.PUBLIC,
    scopes: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    deprecated: bool = False,
    produces: str = "",
    event_id: str = "",
    consumes: str = "",
    etag: str = "",
) -> Callable[[F], F]: ...


def endpoint(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    route: str | None = None,
    idempotent: bool = False,
    reads: bool = False,
    role: Role = Role.PUBLIC,
    scopes: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    deprecated: bool = False,
    produces: str = "",
    event_id: str = "",
    consumes: str = "",
    etag: str = "",
) -> Any:
    """Declare more of a handler class's method than its signature says. A method without this is an endpoint too.

    Args:
        function: the method, where nothing more is said.
        name: in place of the method's name, after the class's.
        route: as in `Service.endpoint`, and so the others.
        idempotent: running it twice is as good as once.
        reads: it changes nothing.
        role: the least role of a caller, for built-in services.
        scopes: all of which the account of the caller must carry.
        metadata: what the author says about it.
        deprecated: callers should turn away from it.
        produces: the media type of what it returns, as bytes or text.
        event_id: the field of each streamed item that says where it stands.
        consumes: the media type of the body that is the caller's stream.
        etag: the field of the reply that is its entity tag on HTTP.
    """
    options = Options(
        name=name,
        route=route,
        idempotent=idempotent,
        reads=reads,
        role=role,
        scopes=scopes_of(scopes),
        metadata=dict(metadata or {}),
        deprecated=deprecated,
        produces=produces,
        event_id=event_id,
        consumes=consumes,
        etag=etag,
    )

    def mark(method: F) -> F:
        setattr(method, _MARK, options)
        return method

    return mark if function is None else mark(function)


def scopes_of(names: Sequence[str]) -> tuple[str, ...]:
    """What an author says about scopes; a single name counts as one. What they may be is checked with the endpoint."""
    return (names,) if isinstance(names, str) else tuple(names)


def options_of(function: Callable[..., Any]) -> Options:
    """What `endpoint` declared about a method; the defaults where it was not used."""
    options = getattr(function, _MARK, None)
    return options if isinstance(options, Options) else Options()


def public_methods(handler: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Name and bound method of each endpoint of a handler object, in the order of definition, base classes first.

    Raises:
        DeclarationError: the object is a class, has no public method, or has one that does not say what it returns.
    """
    kind = type(handler)
    if isinstance(handler, type):
        raise DeclarationError(f"service.handle wants an object; write `service.handle({handler.__name__}())`")
    names: dict[str, None] = {}
    for base in reversed(kind.__mro__):
        for name, member in vars(base).items():
            if not name.startswith("_") and isinstance(member, staticmethod | FunctionType):
                names[name] = None
    if not names:
        raise DeclarationError(f"service.handle({kind.__name__}(...)): the class has no public method")
    for name in names:
        method = getattr(handler, name)
        if "return" not in Annotations(method):
            raise Place.of(method).error(
                "a public method of a handler class is an endpoint: annotate what it returns (`-> None` for nothing), "
                f"or call it `_{name}` to keep it to yourself"
            )
        yield name, method
