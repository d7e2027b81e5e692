"""The path table: from method and path of a request to the endpoint that is meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core import errors
from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.description import naming
from microlite.core.description.routes import Route
from microlite.core.description.structs import Streaming
from microlite.web.gateway.arrivals import Arrivals
from microlite.web.gateway.metrics import EndpointStats, Key
from microlite.web.gateway.paths import split_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from microlite.core.description.structs import EndpointDescription, ServiceDescription

MAX_KNOWN: Final = 4096
"""Paths whose target is remembered."""

BUILT_IN: Final = ""
"""The namespace under which built-in services stand; they are there for every namespace."""

ALL_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_WRITING: Final = ALL_METHODS[2:]
_VERSION: Final = re.compile(r"v[0-9]+")


class WrongMethod(errors.MethodNotAllowed):
    """The path has an endpoint, but not for this method; `allow` are the methods it has."""

    def __init__(self, method: str, allow: Iterable[str]) -> None:
        self.allow = tuple(method for method in ALL_METHODS if method in set(allow))
        super().__init__(f"{method} is not possible here; possible: {', '.join(self.allow)}", id="gateway")


class UnknownService(errors.ServiceNotFound):
    """The path names no service that is known; `names` are those that it may mean."""

    def __init__(self, *names: str) -> None:
        self.names = names
        super().__init__(f'Service "{names[-1]}" not found', id="gateway")


class Target:
    """What a path stands for: an endpoint of a service, or an HTTP program.

    Attributes:
        namespace: of the caller.
        service: normalised name.
        endpoint: its description; None for an HTTP program.
        params: decoded values of the route's parameters.
        is_builtin: whether the service ships with the platform.
        plain: one request without parameters gives one reply in JSON, so nothing but the body is needed to call it.
        etag: the field of the reply that is its entity tag; empty where none is declared.
        stats: counts its answers.
    """

    __slots__ = ("endpoint", "etag", "is_builtin", "methods", "namespace", "params", "plain", "service", "stats")

    def __init__(
        self,
        namespace: str,
        service: str,
        endpoint: EndpointDescription | None,
        *,
        methods: tuple[str, ...],
        stats: EndpointStats,
        is_builtin: bool = False,
        params: dict[str, str] | None = None,
    ) -> None:
        self.namespace = namespace
        self.service = service
        self.endpoint = endpoint
        self.methods = methods
        self.stats = stats
        self.is_builtin = is_builtin
        self.params = params or {}
        self.etag = endpoint.etag if endpoint is not None else ""
        self.plain = (
            endpoint is not None and endpoint.streaming is Streaming.UNARY and not endpoint.produces and not self.params
        )

    @property
    def is_program(self) -> bool:
        """Whether requests are passed on as HTTP."""
        return self.endpoint is None


class _Service:
    """One description and what is derived from it."""

    __slots__ = ("description", "endpoints", "program", "routes")

    def __init__(self, namespace: str, description: ServiceDescription, stats: dict[Key, EndpointStats]):
        name = description.name
        builtin = namespace == BUILT_IN
        self.description = description
        self.endpoints: dict[str, Target] = {}
        self.routes: list[tuple[Route, Target]] = []
        self.program: Target | None = None
        if description.metadata.get("protocol") == "http":
            counters = stats.setdefault((namespace, name, ""), EndpointStats())
            self.program = Target(namespace, name, None, methods=ALL_METHODS, stats=counters)
        for endpoint in description.endpoints:
            if endpoint.triggers:
                continue  # the platform calls it, nobody from outside
            readable = (endpoint.reads or not builtin) and not endpoint.streaming.from_client
            self.endpoints[endpoint.name] = target = Target(
                namespace,
                name,
                endpoint,
                methods=ALL_METHODS if readable else _WRITING,
                stats=stats.setdefault((namespace, name, endpoint.name), EndpointStats()),
                is_builtin=builtin,
            )
            if endpoint.route:
                route = Route.parse(endpoint.route)
                if route.lies_under(name):
                    self.routes.append((route, target))

    def endpoint(self, written: str) -> Target | None:
        """The endpoint of a name as a caller wrote it: `create`, `Orders.Create`, `comments.create`, or nothing."""
        last = self.description.name.rpartition(".")[2]
        name = naming.endpoint_of(self.description.name, written)
        for candidate in (naming.normalise_endpoint(written), name, f"{last}.{name}"):
            target = self.endpoints.get(candidate)
            if target is not None:
                return target
        return None


class PathTable:
    """Which path leads where, for all namespaces.

    `known` remembers the targets of paths without parameters in the default namespace, by method and path, so that the
    next request for one of them costs a look-up. It is emptied, in place, with every change of the table.

    Attributes:
        arrivals: the services that will be in here.
    """

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change: what was derived from an older version must be asked again."""
        self.arrivals = Arrivals()
        self.known: dict[bytes, dict[bytes, Target]] = {method.encode(): {} for method in ALL_METHODS}
        self.stats: dict[Key, EndpointStats] = {}
        self._services: dict[tuple[str, str], _Service] = {}
        self._routes: dict[str, list[tuple[Route, Target]]] = {}
        """By first segment, in the order in which they are tried."""

    def update(self, namespace: str, description: ServiceDescription) -> None:
        """Put a service in, or in place of its earlier description.

        Args:
            namespace: of the service; `BUILT_IN` for what ships with the platform.
            description: its name must be normalised and allowed. A route that lies elsewhere than under it leads nowhere.
        """
        if description.name in naming.BUILT_IN_SERVICES:
            namespace = BUILT_IN
        self._services[namespace, description.name] = _Service(namespace, description, self.stats)
        self._changed()

    def remove(self, namespace: str, name: str) -> None:
        """Take a service out. Harmless where it is not in."""
        if self._services.pop((namespace, name), None) is not None:
            self._changed()

    def forget(self, namespace: str) -> None:
        """Forget what was counted in a namespace, which is being deleted."""
        for key in [key for key in self.stats if key[0] == namespace]:
            del self.stats[key]

    def services(self, namespace: str) -> Iterator[ServiceDescription]:
        """The descriptions that a namespace sees, its own and the built-in ones."""
        for (where, _), service in self._services.items():
            if where in (namespace, BUILT_IN):
                yield service.description

    def program(self, namespace: str, name: str) -> Target | None:
        """The HTTP program of this name, or None."""
        service = self._find(namespace, naming.normalise(name))
        return service.program if service is not None else None

    def resolve(self, method: str, path: bytes, namespace: str = DEFAULT_NAMESPACE) -> Target:
        """What a request is for: literal routes first, then names of endpoints, then routes with parameters.

        Args:
            method: in upper case.
            path: as it stood in the request, without query.
            namespace: of the caller.

        Raises:
            BadRequest: the path is malformed.
            UnknownService: no service of the first segment's name.
            EndpointNotFound: the service has no such endpoint or route.
            WrongMethod: the endpoint does not answer this method.
        """
        known = self.known.get(method.encode())
        if known is not None and namespace == DEFAULT_NAMESPACE:
            target = known.get(path)
            if target is not None:
                return target
        target = self._resolve(method, split_path(path), namespace)
        if known is not None and namespace == DEFAULT_NAMESPACE and not target.params and not target.is_program:
            if sum(map(len, self.known.values())) >= MAX_KNOWN:
                self._forget()
            known[path] = target
        return target

    def resolve_any(self, path: bytes, namespace: str = DEFAULT_NAMESPACE) -> Target:
        """What a WebSocket is for, which has no method of its own: what answers to POST, else to any other method.

        Raises:
            Error: as `resolve`, `WrongMethod` aside.
        """
        try:
            return self.resolve("POST", path, namespace)
        except WrongMethod as error:
            return self.resolve(error.allow[0], path, namespace)

    def _resolve(self, method: str, segments: tuple[str, ...], namespace: str) -> Target:
        if segments and segments[0].lower() == "api":
            segments = segments[1:]
        if not segments:
            raise errors.NotFound("the path names no service: write /<service>/<endpoint>", id="gateway")
        allow: set[str] = set()
        routed = _normalised(segments)
        for target in self._by_route(routed, namespace, literal=True):
            if method in target.methods:
                return target
            allow.update(target.methods)
        service, names, written = self._by_name(segments, namespace)
        if service is not None:
            named = service.program or service.endpoint(written)
            if named is not None and named.is_program:
                return _for_namespace(named, namespace)
            if named is not None:
                if method in named.methods:
                    return _for_namespace(named, namespace)
                allow.update(named.methods)
        for target in self._by_route(routed, namespace, literal=False):
            if method in target.methods:
                return target
            allow.update(target.methods)
        if allow:
            raise WrongMethod(method, allow)
        if service is None:
            raise UnknownService(*names)
        raise errors.EndpointNotFound(_no_endpoint(service, written), id="gateway")

    def _by_route(self, segments: tuple[str, ...], namespace: str, *, literal: bool) -> Iterator[Target]:
        """The targets of declared routes that fit, the most literal first."""
        if len(segments) > 1 and _VERSION.fullmatch(segments[0]) and not self._routes.get(segments[0]):
            segments = segments[1:]
        for route, target in self._routes.get(segments[0], ()):
            if route.is_literal is not literal or target.namespace not in (namespace, BUILT_IN):
                continue
            params = route.match(segments)
            if params is not None:
                yield Target(
                    namespace,
                    target.service,
                    target.endpoint,
                    methods=("GET", "HEAD") if route.method == "GET" else (route.method,),
                    stats=target.stats,
                    is_builtin=target.is_builtin,
                    params=params,
                )

    def _by_name(self, segments: tuple[str, ...], namespace: str) -> tuple[_Service | None, tuple[str, ...], str]:
        """The service that the words of a path name, the names that it may have, and the endpoint as it was written."""
        words = [word for segment in segments for word in segment.split(".")]
        names: tuple[str, ...] = ()
        if len(words) > 1 and _VERSION.fullmatch(words[0].lower()):
            versioned = f"{words[0].lower()}.{naming.normalise(words[1])}"
            service = self._find(namespace, versioned)
            if service is not None:
                return service, (versioned,), ".".join(words[2:])
            names = (versioned,)
            del words[0]
        name = naming.normalise(words[0])
        service = self._find(namespace, name)
        if service is not None and service.program is not None and name not in map(naming.normalise, segments[:2]):
            service = None  # `/docs.html` is no page of the program `docs`
        return service, (*names, name), ".".join(words[1:])

    def _find(self, namespace: str, name: str) -> _Service | None:
        return self._services.get((BUILT_IN, name)) or self._services.get((namespace, name))

    def _changed(self) -> None:
        self.version += 1
        self._forget()
        self._routes.clear()
        for service in self._services.values():
            for route, target in service.routes:
                self._routes.setdefault(route.segments[0], []).append((route, target))
        for routes in self._routes.values():
            routes.sort(key=lambda pair: pair[0].precedence)

    def _forget(self) -> None:
        for known in self.known.values():
            known.clear()


def _normalised(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The segments with the service's name in its one form, as routes are written."""
    first = naming.normalise(segments[0])
    if _VERSION.fullmatch(first) and len(segments) > 1:
        return (first, naming.normalise(segments[1]), *segments[2:])
    return (first, *segments[1:])


def _no_endpoint(service: _Service, written: str) -> str:
    """What to say where a service has no endpoint as it was written; the bare name is where people look first."""
    name = service.description.name
    endpoint = naming.endpoint_of(name, written)
    detail = f'Endpoint "{endpoint}" not found for service "{name}"'
    if written or not service.endpoints:
        return f"{detail}{naming.did_you_mean(endpoint, service.endpoints)}"
    first = next(iter(service.endpoints)).replace(".", "/")
    return f'{detail}; "/{name}" alone means that one: write /{name}/<endpoint>, as in /{name}/{first}'


def _for_namespace(target: Target, namespace: str) -> Target:
    """The target as a caller of this namespace sees it; built-in services stand in all."""
    if target.namespace == namespace:
        return target
    return Target(
        namespace,
        target.service,
        target.endpoint,
        methods=target.methods,
        stats=target.stats,
        is_builtin=target.is_builtin,
    )
