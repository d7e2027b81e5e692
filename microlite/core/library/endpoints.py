"""The endpoints of one service: each under one name, and no path leading to two of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from microlite.core.description import (
    DeclarationError,
    Endpoint,
    EndpointDescription,
    Options,
    Place,
    Role,
    Route,
    compile_endpoint,
)
from microlite.core.description.naming import DEFAULT_ENDPOINT, check_endpoint_name, endpoint_of
from microlite.core.errors import BadRequest
from microlite.core.scopes import check_scopes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from microlite.core.description import Trigger


class Endpoints:
    """What a service has declared so far.

    Args:
        service: its name.
        built_in: whether it is a part of the platform, whose endpoints alone declare roles.
    """

    def __init__(self, service: str, *, built_in: bool) -> None:
        self._service = service
        self._built_in = built_in
        self._by_name: dict[str, Endpoint] = {}
        self._routes: dict[str, Route] = {}

    @property
    def by_name(self) -> Mapping[str, Endpoint]:
        """The endpoints by normalised name, in the order of declaration."""
        return MappingProxyType(self._by_name)

    @property
    def routes(self) -> Mapping[str, Route]:
        """The declared routes by the endpoint's name."""
        return MappingProxyType(self._routes)

    def add(
        self,
        function: Callable[..., Any],
        name: str,
        options: Options,
        adapt: Callable[[Endpoint], Endpoint] | None = None,
    ) -> None:
        """Enter a function.

        Args:
            function: typed, as `Service.endpoint` says.
            name: of the endpoint, below that of the service.
            options: what is declared beside it.
            adapt: makes of the endpoint what is served.

        Raises:
            DeclarationError: signature, name or route cannot be served.
        """
        try:
            self._declare(function, name, options, adapt)
        except DeclarationError as error:
            raise error.with_traceback(None) from None  # its text says all; how it was found out is nobody's concern

    def add_trigger(self, function: Callable[..., Any], name: str | None, trigger: Trigger) -> str:
        """Make a function an endpoint that is called by itself, or add a trigger to what is one; return its name."""
        name = name or str(getattr(function, "__name__", ""))
        for known, endpoint in self._by_name.items():
            if endpoint.function == function and endpoint.description.triggers:
                options = Options(triggers=(trigger, *endpoint.description.triggers))
                self._by_name[known] = compile_endpoint(function, known, options)
                return known
        self.add(function, name, Options(name=name, triggers=(trigger,)))
        return next(reversed(self._by_name))

    def _declare(
        self,
        function: Callable[..., Any],
        name: str,
        options: Options,
        adapt: Callable[[Endpoint], Endpoint] | None,
    ) -> None:
        place = Place.of(function)
        try:
            full = endpoint_of(self._service, check_endpoint_name(name))
            route = None if options.route is None else Route.parse(options.route)
            check_scopes(options.scopes)
        except BadRequest as error:
            raise place.error(error.detail) from None
        if options.role is not Role.PUBLIC and not self._built_in:
            raise place.error("`role` is for built-in services; who may call a user's service is decided by rules")
        if earlier := self._by_name.get(full):
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
        self._by_name[full] = endpoint
        if route is not None:
            self._routes[full] = route

    def _check_paths(self, description: EndpointDescription, route: Route | None, place: Place) -> None:
        """Check that no path leads to two endpoints, and that a route belongs to this service and fits its fields."""
        for name, other in self._routes.items():
            if other.is_literal and other.segments in self._paths(description.name):
                raise place.error(f"its path is the route '{other}' of {self._by_name[name].place}; rename one")
        if route is None:
            return
        own = self._service.replace(".", "/")
        if not route.lies_under(self._service):
            raise place.error(
                f"the route '{route}' lies outside /{own}: a service's routes lie under its own name, "
                f"unless an admin grants it the prefix; write {route.method} /{own}{route.template}"
            )
        try:
            route.check_fields(description.request)
        except BadRequest as error:
            raise place.error(error.detail) from None
        for name, endpoint in self._by_name.items():
            other_route = self._routes.get(name)
            if other_route is not None and other_route.shape == route.shape:
                raise place.error(f"the route '{route}' matches the same paths as '{other_route}' of {endpoint.place}")
            if route.is_literal and route.segments in self._paths(name):
                raise place.error(f"the route '{route}' is the path of the endpoint `{name}`, {endpoint.place}")

    def _paths(self, name: str) -> tuple[tuple[str, ...], ...]:
        """The paths that lead to an endpoint by its name."""
        own = tuple(self._service.split("."))
        path = (*own, *name.split("."))
        return (path, own) if name == DEFAULT_ENDPOINT else (path,)


def check_metadata(metadata: Mapping[str, str] | None, place: Place) -> dict[str, str]:
    """What an author says about a service or endpoint, as a copy.

    Raises:
        DeclarationError: it is other than texts by name.
    """
    for key, value in (metadata or {}).items():
        if {type(key), type(value)} != {str}:
            raise place.error(f"metadata holds strings only; write '{key}': '{value}'")
    return dict(metadata or {})
