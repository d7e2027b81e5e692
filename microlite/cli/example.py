"""A line to try: a `curl` command for a service's first endpoint, with values made up from its schema."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from microlite.core.description.naming import DEFAULT_ENDPOINT
from microlite.core.description.type_words import alternatives, kind
from microlite.core.description.uploads import takes_files

if TYPE_CHECKING:
    from microlite.cli.described import Described, DescribedEndpoint, Schema

_FORMATS: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00",
    "duration": "PT10S",
    "uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "decimal": "1.5",
}
_DEPTH: Final = 4


def curl_line(gateway: str, service: Described) -> str:
    """The command, ready for a shell; empty where the service has nothing to call by a single request."""
    unary = [one for one in service.endpoints if one.streaming == "unary"]
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
    return {name: _sample(name, properties[name], schema, 0) for name in names if name in properties}


def _sample(name: str, schema: Schema, root: Schema, depth: int) -> Any:
    if schema.get("default") is not None:
        return schema["default"]
    one = alternatives(schema, root)[0]
    match kind(one):
        case "string":
            return _FORMATS.get(one.get("format", ""), "" if "contentEncoding" in one else _word(name))
        case "integer":
            return int(one.get("minimum", 1))
        case "number":
            return float(one.get("minimum", 1.5))
        case "boolean":
            return True
        case "enum":
            return one["enum"][0] if "enum" in one else one["const"]
        case "array" if depth < _DEPTH:
            parts = one.get("prefixItems") or [one.get("items") or {}]
            return [_sample(name, part, root, depth + 1) for part in parts]
        case "object" if depth < _DEPTH:
            fields = one.get("properties", {})
            return {
                field: _sample(field, fields[field], root, depth + 1)
                for field in one.get("required", ())
                if field in fields
            }
        case _:
            return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _word(name: str) -> str:
    return "Ann" if "name" in name.lower() else "text"
