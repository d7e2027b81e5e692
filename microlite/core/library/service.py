"""A service, as its author writes it: typed functions under one name."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from microlite.core.description import Options, Place, Role, ServiceDescription
from microlite.core.description.naming import check_service_name, normalise_endpoint
from microlite.core.errors import BadRequest
from microlite.core.library import made
from microlite.core.library.declarations import Declarations
from microlite.core.library.endpoints import Endpoints, check_metadata
from microlite.core.library.handlers import options_of, public_methods, scopes_of
from microlite.core.library.hooks import Hook
from microlite.core.library.middleware import Handler, Middleware, chain, check_middleware
from microlite.core.library.triggers import Triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from microlite.core.description import Endpoint, Route
    from microlite.core.library.attachments import Attachment

F = TypeVar("F", bound="Callable[..., Any]")
M = TypeVar("M", bound=Middleware)

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Service(Triggers, Declarations):
    """Collects the endpoints, middleware and hooks of a service. Making one starts nothing.

    Args:
        name: letters, digits and hyphens; normalised, so `Order_Desk` is `order-desk`. The platform's names are refused.
        version: of the service's code, for those who look; letters, digits and `._+-`.
        metadata: what the author says about the service, for whoever looks for it.
        doc: what it is for; the first line sums it up.
        built_in: whether this is a part of the platform, which alone may use its names and declare roles.

    Attributes:
        middlewares: what `middleware` declared, the outermost first.
        place: where it was made.

    Raises:
        DeclarationError: name, version or metadata cannot be.
    """

    def __init__(
        self,
        name: str,
        version: str = "latest",
        metadata: Mapping[str, str] | None = None,
        doc: str = "",
        *,
        built_in: bool = False,
    ) -> None:
        frame = sys._getframe(1)  # noqa: SLF001 - the author's line, for the text of errors
        self.place = Place(f"Service({name!r})", frame.f_code.co_filename, frame.f_lineno)
        try:
            self.name = check_service_name(name, built_in=built_in, versioned=True)
        except BadRequest as error:
            raise self.place.error(error.detail) from None
        if not _VERSION.fullmatch(version):
            raise self.place.error(f"'{version}' is no version; use letters, digits and '._+-', as in 1.4.0")
        self.version = version
        self.metadata = check_metadata(metadata, self.place)
        self.doc = doc.strip()
        self.built_in = built_in
        self.middlewares: tuple[Middleware, ...] = ()
        self._endpoints = Endpoints(self.name, built_in=built_in)
        self._start_hooks: list[Hook] = []
        self._stop_hooks: list[Hook] = []
        self._attachments = []
        self._publishes = []
        if not built_in:
            made.remember(self)

    @overload
    def endpoint(self, function: F, /) -> F: ...

    @overload
    def endpoint(
        self,
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
    ) -> Callable[[F], F]: ...

    def endpoint(
        self,
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
        """Make a typed function an endpoint; it stays callable as it is. A decorator, bare or with options.

        The first parameter may be the context; each other one is a field of the request, or, annotated
        `AsyncIterator[T]` (`Iterator[T]` in a plain `def`), the caller's stream. What is returned as
        `AsyncIterator[T]` or `Iterator[T]` is a stream to the caller.

        Args:
            function: the function, where there are no options.
            name: in place of the function's name.
            route: a path of HTTP beside the one of the name, `GET /orders/{id}`; each `{parameter}` is a field.
            idempotent: running it twice is as good as once, so a call whose outcome is unknown is sent again.
            reads: it changes nothing, so a built-in service answers GET.
            role: the least role of a caller, for built-in services.
            scopes: all of which the account of the caller must carry, `["orders:write"]`.
            metadata: what the author says about it.
            deprecated: callers should turn away from it.
            produces: the media type of what it returns, as in `image/png`. It returns bytes or text (or a stream of
                them), which HTTP hands on as they are; callers in Python get them as ever. `*/*` is for a stream that
                begins with a `FileHead`, which says what it is.
            event_id: the field of each item of its stream that says where that stands. Over HTTP it is the id of the
                server-sent event, and a client that comes back sends the last one: `ctx.metadata["last-event-id"]`.
            consumes: `*/*` takes the body of a request, of any media type, as the caller's stream of bytes.
            etag: the field of the reply, text or a whole number, that says which version it is: HTTP sends it as the
                `ETag`, where else the content makes one of a GET.

        Raises:
            DeclarationError: signature, name or route cannot be served; the text says where and what to write instead.
        """

        def declare(target: F) -> F:
            place = Place.of(target)
            options = Options(
                name=name,
                route=route,
                idempotent=idempotent,
                reads=reads,
                role=role,
                scopes=scopes_of(scopes),
                metadata=check_metadata(metadata, place),
                deprecated=deprecated,
                produces=produces,
                event_id=event_id,
                consumes=consumes,
                etag=etag,
            )
            self._endpoints.add(target, name or str(getattr(target, "__name__", "")), options)
            return target

        return declare if function is None else declare(function)

    def handle(self, handler: object, name: str | None = None) -> None:
        """Make each public method of an object an endpoint.

        For the service `notes`, the methods of `Notes` become `create`, `read` …, those of `Comments`
        `comments.create` … Together with the service's name that reads `notes.create`, `notes.comments.create`.

        Args:
            handler: an object; its class may use `endpoint` of this package to say more about a method.
            name: in place of the class's name; dots nest, and an empty one adds nothing in front.

        Raises:
            DeclarationError: a method cannot be served.
        """
        prefix = normalise_endpoint(type(handler).__name__.strip("_") if name is None else name)
        own = self.name.rpartition(".")[2]
        prefix = "" if prefix == own else prefix
        for method_name, method in public_methods(handler):
            options = options_of(method)
            inner = options.name or method_name
            self._endpoints.add(method, f"{prefix}.{inner}" if prefix else inner, options)

    def middleware(self, function: M) -> M:
        """Put a function around every handler of this service; the first declared is the outermost.

        It is an `async def name(ctx: Context, call: Invocation, proceed: Proceed) -> object` and returns
        `await proceed()`, or something else, or raises. A stream's reply is its iterator.

        Raises:
            DeclarationError: it has another form.
        """
        check_middleware(function)
        self.middlewares = (*self.middlewares, function)
        return function

    def on_start(self, function: F) -> F:
        """Run a function, plain or async, with the context or nothing, before the first call; in the order declared."""
        self._start_hooks.append(Hook.of(function))
        return function

    def on_stop(self, function: F) -> F:
        """Run a function, plain or async, with the context or nothing, after the last call; in reverse order.

        All of them together have ten seconds.
        """
        self._stop_hooks.append(Hook.of(function))
        return function

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints by normalised name, in the order of declaration."""
        return self._endpoints.by_name

    @property
    def routes(self) -> Mapping[str, Route]:
        """The declared routes by the endpoint's name."""
        return self._endpoints.routes

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """What each node does besides serving calls, in the order declared."""
        return tuple(self._attachments)

    @property
    def start_hooks(self) -> tuple[Hook, ...]:
        """What `on_start` declared, in the order in which to run it."""
        return tuple(self._start_hooks)

    @property
    def stop_hooks(self) -> tuple[Hook, ...]:
        """What `on_stop` declared, in the order in which to run it."""
        return tuple(reversed(self._stop_hooks))

    def wrap(self, handler: Handler) -> Handler:
        """A handler with this service's middleware around it; the very handler where there is none."""
        return chain(self.middlewares, handler)

    def describe(self) -> ServiceDescription:
        """The service as every face sees it."""
        return ServiceDescription(
            name=self.name,
            version=self.version,
            doc=self.doc,
            metadata=self.metadata,
            endpoints=tuple(endpoint.description for endpoint in self.endpoints.values()),
            config=self.configuration,
            publishes=tuple(self._publishes),
        )

    def run(self) -> None:
        """Serve until asked to stop: what `python main.py` does."""
        from microlite.core.library import node  # importing a service must not need what runs one

        node.run(self)

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.version}: {', '.join(self.endpoints) or 'no endpoints'}>"
