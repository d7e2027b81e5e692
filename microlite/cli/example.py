"""A line to try: a `curl` command for a service's first endpoint, with values made up from its schema."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from microlite.core.context import DEFAULT_NAMESPACE
from microlite.core.description.naming import DEFAULT_ENDPOINT
from microlite.core.description.samples import NoSample, sample
from microlite.core.description.uploads import takes_files

if TYPE_CHECKING:
    from microlite.cli.described import Described, DescribedEndpoint, Schema


def curl_line(gateway: str, service: Described, namespace: str = DEFAULT_NAMESPACE) -> str:
    """The command, ready for a shell; empty where the service has nothing to call by a single request."""
    line = _line(gateway, service)
    if line and namespace != DEFAULT_NAMESPACE:
        return f"{line} -H 'Micro-Namespace: {namespace}'"
    return line


def _line(gateway: str, service: Described) -> str:
    unary = [one for one in service.endpoints if one.streaming == "unary" and not one.is_triggered]
    if not unary:
        return ""
    endpoint = next((one for one in unary if not one.deprecated), unary[0])
    path = "" if endpoint.name == DEFAULT_ENDPOINT else "/" + endpoint.name.replace(".", "/")
    url = f"{gateway}/{service.name}{path}"
    fields = _fields(endpoint)
    files = [name for name in fields if takes_files(endpoint.request["properties"][name], endpoint.request)]
    if files:
        rest = [f"-F {name}={shlex.quote(_text(value))}" for name, value in fields.items() if name not in files]
        return " ".join(["curl", url, *rest, *(f"-F {name}=@FILE" for name in files)])
    if all(isinstance(value, str) for value in fields.values()):
        return f"curl {shlex.quote(f'{url}?{urlencode(fields)}' if fields else url)}"
    body = shlex.quote(msgspec.json.encode(fields).decode())
    return f"curl {url} -H 'Content-Type: application/json' -d {body}"


def _fields(endpoint: DescribedEndpoint) -> dict[str, Any]:
    """What must be given; where nothing must, the first field, so that the line shows how one is given."""
    schema = endpoint.request
    properties: dict[str, Schema] = schema.get("properties", {})
    names = list(schema.get("required", ())) or [
        name for name, one in list(properties.items())[:1] if one.get("default")
    ]
    return {name: _value(name, properties[name], schema) for name in names if name in properties}


def _value(name: str, schema: Schema, root: Schema) -> Any:
    try:
        return sample(schema, root, name)
    except NoSample:
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
