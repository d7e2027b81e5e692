"""A service, as its author writes it: typed functions under one name."""

from __future__ import annotations

import re
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import msgspec

from microlite.core.description import (
    DeclarationError,
    Endpoint,
    EndpointDescription,
    Options,
    Place,
    Role,
    Route,
    ServiceDescription,
    compile_endpoint,
)
from microlite.core.description.naming import (
    DEFAULT_ENDPOINT,
    check_endpoint_name,
    check_service_name,
    endpoint_of,
    normalise_endpoint,
)
from microlite.core.errors import BadRequest
from microlite.core.library import made
from microlite.core.library.handlers import options_of, public_methods
from microlite.core.library.hooks import Hook
from microlite.core.library.middleware import Handler, Middleware, chain, check_middleware

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.description import Trigger
    from microlite.core.description.structs import ConfigDeclaration, Publishes
    from microlite.core.library.attachments import Attachment
    from microlite.core.library.state.config_declaring import Configured

F = TypeVar("F", bound="Callable[..., Any]")
M = TypeVar("M", bound=Middleware)
T = TypeVar("T")

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Service:
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
        self.metadata = _check_metadata(metadata, self.place)
        self.doc = doc.strip()
        self.built_in = built_in
        self.middlewares: tuple[Middleware, ...] = ()
        self._endpoints: dict[str, Endpoint] = {}
        self._routes: dict[str, Route] = {}
        self._start_hooks: list[Hook] = []
        self._stop_hooks: list[Hook] = []
        self._attachments: list[Attachment] = []
        self._publishes: list[Publishes] = []
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
                metadata=_check_metadata(metadata, place),
                deprecated=deprecated,
                produces=produces,
                event_id=event_id,
                consumes=consumes,
                etag=etag,
            )
            self._add(target, name or str(getattr(target, "__name__", "")), options)
            return target

        return declare if function is None else declare(function)

    def every(
        self,
        interval: str | float | None = None,
        /,
        *,
        cron: str = "",
        zone: str = "UTC",
        missed: Literal["skip", "once", "all"] = "once",
        overlap: Literal["skip", "queue", "allow"] = "skip",
        timeout: str | float = "5m",
        retries: int = 0,
        backoff: str | float = "1s",
        idempotent: bool = False,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Callable[[F], F]:
        """Have a function called at its times, once each, however many nodes there are: a schedule. A decorator.

        The platform keeps the times: a reload neither resets them nor runs the function twice. It makes an endpoint too,
        for `microlite call` and other services, but not for HTTP. Besides the context, each parameter needs a default.

        Args:
            interval: the time between two runs, `"10m"` or seconds.
            cron: in its place, five fields: minute, hour, day of the month, month, day of the week. `"0 6 * * *"` is daily
                at six.
            zone: the time zone of `cron`, `"Europe/Berlin"`.
            missed: what becomes of times that passed while the platform, or all nodes, were down: `skip` lets them pass,
                `once` makes up for all of them with one run, `all` runs each, the latest hundred at most.
            overlap: what happens when the run before has not ended: `skip` leaves the new one out, `queue` lets it wait,
                `allow` runs both.
            timeout: how long a run may take.
            retries: how often a run that failed is tried again.
            backoff: the time before the first such try; each next one waits twice as long, an hour at most.
            idempotent: running it twice is as good as once, so a run that a crash interrupted is run again.
            name: in place of the function's name.
            metadata: what the author says about it.

        Raises:
            DeclarationError: the times cannot be, or it could not be called without a request.
        """

        def declare(target: F) -> F:
            from microlite.core.library.schedule import schedule_of  # most services have none

            place = Place.of(target)
            trigger = schedule_of(
                place,
                interval,
                cron=cron,
                zone=zone,
                missed=missed,
                overlap=overlap,
                timeout=timeout,
                retries=retries,
                backoff=backoff,
            )
            options = Options(
                name=name, idempotent=idempotent, metadata=_check_metadata(metadata, place), triggers=(trigger,)
            )
            self._add(target, name or str(getattr(target, "__name__", "")), options)
            return target

        return declare

    def consume(
        self,
        topic: str,
        *,
        group: str = "",
        name: str | None = None,
        retries: int = 5,
        ack_wait: float | str = 30.0,
        backoff: float | str = 1.0,
        max_backoff: float | str = 300.0,
        concurrency: int = 32,
        start: str | float = "beginning",
        misfits: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> Callable[[F], F]:
        """Have the platform call a function for each event of a topic; the event is acknowledged when it returns.

        Its first parameter after the context takes the payload, or, annotated `Event[T]`, the whole event. An exception
        makes the event come again later; `RetryLater` says when, `Reject` that it never need.

        Args:
            topic: which events, of the service's namespace.
            group: the name under which nodes share the events, each going to one of them; without it one of this service
                and function.
            name: of the endpoint, in place of the function's name.
            retries: how often an event that failed is delivered again before it becomes a dead letter; -1 for no limit.
            ack_wait: how long one delivery may take, until it counts as failed: seconds, or a text as in `"5m"`.
            backoff: how long to wait before the first retry; each further wait is twice as long.
            max_backoff: the longest such wait.
            concurrency: most events that are handled at the same time, all nodes together.
            start: where a new group begins: `"beginning"`, `"new"`, or a time in seconds since the Unix epoch.
            misfits: with it, the topic takes only payloads that fit the parameter: `"refuse"` tells the publisher,
                `"quarantine"` keeps others apart.
            metadata: what the author says about it.

        Raises:
            DeclarationError: signature, name or a setting cannot be; the text says where and what to write instead.
        """
        from microlite.core.library import consuming  # which few services need

        def decorate(target: F) -> F:
            place = Place.of(target)
            own = name or str(getattr(target, "__name__", ""))
            trigger = consuming.declare(
                place,
                topic=topic,
                group=group or f"{self.name}.{normalise_endpoint(own)}",
                retries=retries,
                ack_wait=ack_wait,
                backoff=backoff,
                max_backoff=max_backoff,
                concurrency=concurrency,
                start=start,
                misfits=misfits,
            )
            options = Options(name=name, metadata=_check_metadata(metadata, place), triggers=(trigger,))
            self._add(target, own, options, consuming.adapt)
            return target

        return decorate

    def publishes(self, topic: str, of: Any, *, misfits: str = "refuse") -> None:
        """Say what a topic takes that this service publishes to; the platform checks it from then on.

        Args:
            topic: its name.
            of: the type of the payloads.
            misfits: what happens to others: `"refuse"` tells their publisher, `"quarantine"` keeps them apart.

        Raises:
            DeclarationError: the name or the type cannot be.
        """
        from microlite.core.library.publishing import Declaration  # which few services need

        frame = sys._getframe(1)  # noqa: SLF001 - the author's line, for the text of errors
        place = Place(f"publishes({topic!r})", frame.f_code.co_filename, frame.f_lineno)
        declaration = Declaration(topic, of, misfits, place)
        self._attachments.append(declaration)
        self._publishes.append(declaration.described)

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
            self._add(method, f"{prefix}.{inner}" if prefix else inner, options)

    def subscribe(
        self,
        topic: str,
        *,
        queue: str = "",
        concurrency: int = 1,
        limit: int = 1_000,
        overflow: str = "drop_oldest",
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Have each node call a function for each message of a topic. A decorator; several make several subscriptions.

        The function takes the message's value, as in `on_price(price: Price)`, after the context if it wants that; or,
        annotated `Message[Price]`, the whole message. The headers are the metadata of the call. A value that does not
        fit, and what the function raises, is logged, and the next message has its turn. It is an endpoint, too, which the
        command line can call; HTTP does not offer it.

        Args:
            topic: which messages; `*` stands for one word, `>` at the end for one or more, as in `prices.>`.
            queue: the queue group: of all nodes, of whichever service, that name it, one gets each message. Without it
                every node gets each.
            concurrency: how many messages a node handles at a time. One keeps them in order.
            limit: how many messages wait while the node is busy.
            overflow: what happens to more: `drop_oldest` or `drop_newest`. What is dropped is counted and logged.
            name: the endpoint's name, in place of the function's.

        Raises:
            DeclarationError: topic, options or signature cannot be.
        """
        from microlite.core.library.subscribing import Subscriber, trigger_of  # few services need it

        def declare(function: F) -> F:
            trigger = trigger_of(function, topic, queue=queue, concurrency=concurrency, limit=limit, overflow=overflow)
            self._attachments.append(Subscriber(self._add_trigger(function, name, trigger), trigger))
            return function

        return declare

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

    def config(
        self, path: str, of: type[T], *, default: Any = ..., secret: bool = False, doc: str = ""
    ) -> Configured[T]:
        """Declare a part of the configuration: `limits = orders.config("limits", Limits)`, then `limits.value`.

        The platform refuses to set what does not fit the type. A node knows the value before its first call, and each
        change without a restart.

        Args:
            path: dotted, as in `limits.max`.
            of: the type of what stands there: a `msgspec.Struct` or dataclass with defaults, say.
            default: what holds where nothing is set; not needed for a class whose fields all have one.
            secret: whether it is kept encrypted, however it is set.
            doc: what it is for.

        Raises:
            DeclarationError: the path is malformed, the type has no schema, or the default does not fit it.
        """
        from microlite.core.library.state.config_declaring import hooks_of  # few services need it

        return hooks_of(self._attachments).declare(path, of, default, secret=secret, doc=doc, place=self.place)

    def on_config(self, path: str, *, default: Any = ..., secret: bool = False) -> Callable[[F], F]:
        """Call a function with the value at a path: before the first call of a node, and after each change. A decorator.

        It takes the value, as in `async def resize(pool: int)`, or the context and the value. Its annotation declares the
        type, as `config` does. A value that does not fit is logged, and the function is not called. Where nothing is set
        and there is no default, it is called only if its type takes None.

        Args:
            path: dotted, as in `limits.max`.
            default: what the value is where nothing is set.
            secret: whether it is kept encrypted, however it is set.

        Raises:
            DeclarationError: path, signature or default cannot be.
        """
        from microlite.core.library.state.config_declaring import hooks_of  # few services need it

        def declare(function: F) -> F:
            hooks_of(self._attachments).add(function, path, default, secret=secret)
            return function

        return declare

    @property
    def configuration(self) -> tuple[ConfigDeclaration, ...]:
        """What `config` and `on_config` declared."""
        return tuple(one for attachment in self._attachments for one in getattr(attachment, "declarations", ()))

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """The endpoints by normalised name, in the order of declaration."""
        return MappingProxyType(self._endpoints)

    @property
    def routes(self) -> Mapping[str, Route]:
        """The declared routes by the endpoint's name."""
        return MappingProxyType(self._routes)

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
            endpoints=tuple(endpoint.description for endpoint in self._endpoints.values()),
            config=self.configuration,
            publishes=tuple(self._publishes),
        )

    def run(self) -> None:
        """Serve until asked to stop: what `python main.py` does."""
        from microlite.core.library import node  # importing a service must not need what runs one

        node.run(self)

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.version}: {', '.join(self._endpoints) or 'no endpoints'}>"

    def _add(
        self,
        function: Callable[..., Any],
        name: str,
        options: Options,
        adapt: Callable[[Endpoint], Endpoint] | None = None,
    ) -> None:
        try:
            self._declare(function, name, options, adapt)
        except DeclarationError as error:
            raise error.with_traceback(None) from None  # its text says all; how it was found out is nobody's concern

    def _add_trigger(self, function: Callable[..., Any], name: str | None, trigger: Trigger) -> str:
        """Make a function an endpoint that is called by itself, or add a trigger to what is one; return its name."""
        name = name or str(getattr(function, "__name__", ""))
        for known, endpoint in self._endpoints.items():
            if endpoint.function == function and endpoint.description.triggers:
                options = Options(triggers=(trigger, *endpoint.description.triggers))
                self._endpoints[known] = compile_endpoint(function, known, options)
                return known
        self._add(function, name, Options(name=name, triggers=(trigger,)))
        return next(reversed(self._endpoints))

    def _declare(
        self,
        function: Callable[..., Any],
        name: str,
        options: Options,
        adapt: Callable[[Endpoint], Endpoint] | None,
    ) -> None:
        place = Place.of(function)
        try:
            full = endpoint_of(self.name, check_endpoint_name(name))
            route = None if options.route is None else Route.parse(options.route)
        except BadRequest as error:
            raise place.error(error.detail) from None
        if options.role is not Role.PUBLIC and not self.built_in:
            raise place.error("`role` is for built-in services; who may call a user's service is decided by rules")
        if earlier := self._endpoints.get(full):
            raise place.error(f"the endpoint `{full}` is declared already by {earlier.place}; give one a `name=`")
        if route is not None:
            options = msgspec.structs.replace(options, route=str(route))
        endpoint = compile_endpoint(function, full, options)
        if options.triggers:
            from microlite.core.library.schedule import check_schedule  # most services have none

            check_schedule(endpoint.description, place)
        if adapt is not None:
            endpoint = adapt(endpoint)
        self._check_paths(endpoint.description, route, place)
        self._endpoints[full] = endpoint
        if route is not None:
            self._routes[full] = route

    def _check_paths(self, description: EndpointDescription, route: Route | None, place: Place) -> None:
        """Check that no path leads to two endpoints, and that a route belongs to this service and fits its fields."""
        for name, other in self._routes.items():
            if other.is_literal and other.segments in self._paths(description.name):
                raise place.error(f"its path is the route '{other}' of {self._endpoints[name].place}; rename one")
        if route is None:
            return
        own = self.name.replace(".", "/")
        if not route.lies_under(self.name):
            raise place.error(
                f"the route '{route}' lies outside /{own}: a service's routes lie under its own name, "
                f"unless an admin grants it the prefix; write {route.method} /{own}{route.template}"
            )
        try:
            route.check_fields(description.request)
        except BadRequest as error:
            raise place.error(error.detail) from None
        for name, endpoint in self._endpoints.items():
            other_route = self._routes.get(name)
            if other_route is not None and other_route.shape == route.shape:
                raise place.error(f"the route '{route}' matches the same paths as '{other_route}' of {endpoint.place}")
            if route.is_literal and route.segments in self._paths(name):
                raise place.error(f"the route '{route}' is the path of the endpoint `{name}`, {endpoint.place}")

    def _paths(self, name: str) -> tuple[tuple[str, ...], ...]:
        """The paths that lead to an endpoint by its name."""
        own = tuple(self.name.split("."))
        path = (*own, *name.split("."))
        return (path, own) if name == DEFAULT_ENDPOINT else (path,)


def _check_metadata(metadata: Mapping[str, str] | None, place: Place) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if {type(key), type(value)} != {str}:
            raise place.error(f"metadata holds strings only; write '{key}': '{value}'")
    return dict(metadata or {})
