"""Names of services and endpoints: how they are normalised, which are allowed, and how a call's target is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from microlite.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILT_IN_SERVICES: Final = frozenset(
    {
        "auth",
        "backup",
        "broker",
        "config",
        "debug",
        "events",
        "namespaces",
        "network",
        "registry",
        "runtime",
        "schedules",
        "store",
        "tx",
    }
)
COMMANDS: Final = frozenset(
    {
        *(
            "server",
            "run",
            "update",
            "kill",
            "status",
            "logs",
            "attach",
            "new",
            "services",
            "describe",
            "call",
            "stream",
        ),
        *(
            "publish",
            "login",
            "logout",
            "user",
            "env",
            "web",
            "restore",
            "doctor",
            "version",
            "shell",
            "namespace",
            "audit",
        ),
        *("cache", "init", "completion", "help", "test", "openapi", "asyncapi"),
    }
)
"""Words of the command line: a service of such a name could not be called there."""

PLATFORM_PATHS: Final = frozenset(
    {"healthz", "readyz", "metrics", "openapi.json", "asyncapi.json", ".well-known", "api", "rpc", "static"}
)
"""First segments of paths that the gateway answers itself."""

DEFAULT_ENDPOINT: Final = "call"
"""The endpoint that is meant where a target names only the service."""

MAX_SERVICE_NAME: Final = 63
"""Characters of a service's name: it is a DNS label too, in `<name>.localhost`."""

MAX_ENDPOINT_NAME: Final = 128

_SERVICE: Final = re.compile(r"[a-z](?:-?[a-z0-9])*")
_VERSION: Final = re.compile(r"v[0-9]+")
_ENDPOINT: Final = re.compile(r"[a-z](?:-?[a-z0-9])*(?:\.[a-z](?:-?[a-z0-9])*)*")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS: Final = re.compile(r"[./ ]")


def normalise(name: str) -> str:
    """The one form of a name: lower case, hyphens for underscores.

    Idempotent. Two names that normalise alike are one name. What is not ASCII stays as it is: the lower case of the Kelvin
    sign is a `k`, and it must not stand for one.
    """
    return (name.lower() if name.isascii() else name).replace("_", "-")


def normalise_endpoint(name: str) -> str:
    """The one form of an endpoint's name: as `normalise`, and humps become hyphens (`BazXyz` is `baz-xyz`).

    So Python's `list_rules`, JavaScript's `listRules` and micro's `ListRules` are one endpoint, and `list_` or `import_`
    lose what Python makes them wear. Idempotent.
    """
    return normalise(_HUMP.sub("-", name.rstrip("_")))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a sentence that says that `name` is not known: the name that is near, if there is one."""
    from difflib import get_close_matches  # for a mistake, which few processes meet

    close = get_close_matches(name[:MAX_ENDPOINT_NAME], list(names), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def check_service_name(name: str, *, built_in: bool = False, versioned: bool = False) -> str:
    """The normalised name, if a service may carry it.

    Args:
        name: as the user wrote it.
        built_in: whether the platform itself asks, which may use the names of its own services.
        versioned: whether an admin granted a name with a version in front, `v1.orders`.

    Raises:
        BadRequest: the syntax is wrong, or the name is taken by the platform.
    """
    normal = normalise(name) if name.isascii() else ""
    version, dot, rest = normal.rpartition(".") if versioned else ("", "", normal)
    if len(normal) > MAX_SERVICE_NAME or not _SERVICE.fullmatch(rest) or (dot and not _VERSION.fullmatch(version)):
        if _is_versioned(normal):
            raise BadRequest(f"'{name}' is no name for a service: a version in front needs an admin's grant")
        raise BadRequest(
            f"'{name}' is no name for a service: use letters, digits and single hyphens, a letter first, "
            f"at most {MAX_SERVICE_NAME} characters"
        )
    if _VERSION.fullmatch(rest):
        raise BadRequest(f"'{name}' is no name for a service: in a path, /{rest} stands for a version")
    if rest in BUILT_IN_SERVICES and not built_in:
        raise BadRequest(f"'{name}' is the name of a built-in service; choose another")
    if rest in COMMANDS:
        raise BadRequest(f"'{name}' is a command of the command line; choose another name for the service")
    if rest in PLATFORM_PATHS:
        raise BadRequest(f"'{name}' is a path of the platform; choose another name for the service")
    return normal


def check_endpoint_name(name: str) -> str:
    """The normalised name, if an endpoint may carry it: words of letters, digits and hyphens, joined by dots.

    Raises:
        BadRequest: the syntax is wrong.
    """
    normal = normalise_endpoint(name) if name.isascii() else ""
    if len(normal) > MAX_ENDPOINT_NAME or not _ENDPOINT.fullmatch(normal):
        raise BadRequest(
            f"'{name}' is no name for an endpoint: use letters, digits and single hyphens, a letter first, "
            f"dots between parts, at most {MAX_ENDPOINT_NAME} characters"
        )
    return normal


def endpoint_of(service: str, endpoint: str) -> str:
    """The name by which a normalised service knows an endpoint, whichever way a caller wrote it.

    Micro writes `Type.Method`: for the service `orders`, `Orders.Create` is `create`, `Comments.Create` is
    `comments.create`. No name at all is the default endpoint. Idempotent: what a rule was looked up for is what is called,
    however often the name is read on the way.
    """
    return relative_endpoint(service, endpoint) or DEFAULT_ENDPOINT


def relative_endpoint(service: str, endpoint: str) -> str:
    """The same, but empty where nothing is left of the name: the beginning of all names of the service."""
    name = normalise_endpoint(endpoint)
    if "/" in name or " " in name:
        name = _SEPARATORS.sub(".", name)
    own = service.rpartition(".")[2] + "."
    while name.startswith(own):
        name = name[len(own) :]
    return name


def parse_target(target: str) -> tuple[str, str]:
    """Service and endpoint that a caller means, both normalised.

    Understood are `orders`, `orders.create`, `orders/create`, `orders create`, `orders comments.create`, micro's
    `Orders.Create` and `orders Orders.Create`, and a version in front: `v1.orders.create`, `v1/orders/create`.
    Only the form is checked, so that a target may also name what does not exist, or a built-in service.

    Raises:
        BadRequest: no target is of this form.
    """
    parts = _SEPARATORS.split(target.strip().removeprefix("/"))
    version = 1 if len(parts) > 1 and _VERSION.fullmatch(parts[0].lower()) else 0
    service = normalise(".".join(parts[: version + 1]))
    words = parts[version + 1 :]
    endpoint = relative_endpoint(service, ".".join(words)) if words else DEFAULT_ENDPOINT
    if (
        not target.isascii()
        or "" in parts
        or not _SERVICE.fullmatch(service.rpartition(".")[2])
        or not _ENDPOINT.fullmatch(endpoint)
    ):
        raise BadRequest(f"'{target}' names no endpoint: write service.endpoint, as in orders.create")
    return service, endpoint


def _is_versioned(normal: str) -> bool:
    version, _, rest = normal.partition(".")
    return bool(_VERSION.fullmatch(version) and _SERVICE.fullmatch(rest))
