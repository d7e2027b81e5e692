"""Services as the command line sees them: what the registry says, as far as commands need it.

The registry's own structs (`core.registry.api`) cost a client command more to import than its whole call takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from microlite.cli.failure import MALFORMED, NO_ENDPOINT, CommandError
from microlite.core import errors
from microlite.core.description.naming import did_you_mean, endpoint_of, parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from microlite.cli.link import Link

Schema = dict[str, Any]


class DescribedEndpoint(NamedTuple):
    """An endpoint; `core.description.structs.EndpointDescription` says what the fields mean."""

    name: str
    doc: str
    request: Schema
    response: Schema
    items: Schema | None
    streaming: str
    metadata: Mapping[str, str]
    deprecated: bool
    produces: str = ""
    is_triggered: bool = False
    """Whether the platform calls it, so that the gateway does not offer it."""
    role: str = "public"
    """The least that a caller must be."""
    scopes: Sequence[str] = ()
    """All of which the caller's account must carry."""

    @property
    def summary(self) -> str:
        """The first line of the doc."""
        return self.doc.partition("\n")[0]

    @property
    def takes_stream(self) -> bool:
        """Whether the caller sends a stream of items after the request."""
        return self.streaming in ("client", "bidirectional")

    @property
    def gives_stream(self) -> bool:
        """Whether it answers with a stream."""
        return self.streaming in ("server", "bidirectional")


class DescribedNode(NamedTuple):
    """A node of a service; `protocol` is `rpc` or `http`."""

    id: str
    address: str
    protocol: str
    metadata: Mapping[str, str]


class Described(NamedTuple):
    """A service in one version."""

    name: str
    version: str
    doc: str
    metadata: Mapping[str, str]
    endpoints: Sequence[DescribedEndpoint]
    nodes: Sequence[DescribedNode]

    def endpoint(self, name: str) -> DescribedEndpoint | None:
        """The endpoint of this normalised name, or None."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == name), None)


def read_record(record: Mapping[str, Any]) -> Described:
    """A record as the registry sends it."""
    return Described(
        record["name"],
        record["version"],
        record.get("doc", ""),
        record.get("metadata", {}),
        tuple(_read_endpoint(endpoint) for endpoint in record.get("endpoints", ())),
        tuple(
            DescribedNode(node["id"], node.get("address", ""), node.get("protocol", "rpc"), node.get("metadata") or {})
            for node in record.get("nodes", ())
        ),
    )


def _read_endpoint(endpoint: Mapping[str, Any]) -> DescribedEndpoint:
    return DescribedEndpoint(
        endpoint["name"],
        endpoint.get("doc", ""),
        endpoint.get("request", {}),
        endpoint.get("response", {}),
        endpoint.get("items"),
        endpoint.get("streaming", "unary"),
        endpoint.get("metadata", {}),
        endpoint.get("deprecated", False),
        endpoint.get("produces", ""),
        bool(endpoint.get("triggers")),
        endpoint.get("role", "public"),
        tuple(endpoint.get("scopes", ())),
    )


def describe(link: Link, service: str, version: str = "") -> tuple[Described, ...]:
    """The versions of a service, or the one that is asked for.

    Raises:
        ServiceNotFound: there is no such service, or not in this version.
    """
    found = tuple(read_record(record) for record in link.ask("registry", "get", service=service))
    if not version:
        return found
    found = tuple(one for one in found if one.version == version)
    if not found:
        raise errors.ServiceNotFound(f'Service "{service}@{version}" not found')
    return found


def find_endpoint(versions: Sequence[Described], name: str) -> DescribedEndpoint:
    """The endpoint of this normalised name, in whichever version has it.

    Raises:
        CommandError: none has it; the detail says which there are.
    """
    for one in versions:
        endpoint = one.endpoint(name)
        if endpoint is not None:
            return endpoint
    service = versions[0].name
    names = sorted({endpoint.name for one in versions for endpoint in one.endpoints})
    detail = f'endpoint "{name}" not found for service "{service}"'
    near = did_you_mean(name, names)
    if near:
        detail += near
    elif names:
        detail += f"; it has {', '.join(names[:10])}" + (", …" if len(names) > 10 else "")
    raise CommandError(detail, NO_ENDPOINT)


def read_service(name: str) -> str:
    """The normalised name of a service as a user typed it.

    Raises:
        CommandError: it is no name.
    """
    try:
        service, endpoint = parse_target(name)
    except errors.BadRequest:
        service, endpoint = "", ""
    if endpoint != endpoint_of(service, ""):
        service = ""
    if not service:
        raise CommandError(f"'{name}' is no name of a service", MALFORMED)
    return service


def read_target(words: Sequence[str]) -> tuple[str, str]:
    """Service and endpoint, both normalised, that a user typed as one word or as several.

    Raises:
        CommandError: they are none.
    """
    try:
        return parse_target(" ".join(words))
    except errors.BadRequest as error:
        raise CommandError(error.detail, MALFORMED) from None


def split_version(typed: str) -> tuple[str, str]:
    """Name and version of `name@version`; the version may be missing.

    Raises:
        CommandError: what stands before the `@` is no name.
    """
    name, _, version = typed.partition("@")
    return read_service(name), version
