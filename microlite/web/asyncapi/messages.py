"""What comes on a channel: the payloads that endpoints take, and those that topics ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from microlite.core.description.schema_path import REF, dereference
from microlite.core.description.structs import Consume, Subscribe
from microlite.web.openapi.components import COMPONENT, Part
from microlite.web.openapi.walk import DEFINITIONS, references

if TYPE_CHECKING:
    from microlite.core.description.structs import EndpointDescription, Schema, ServiceDescription
    from microlite.web.asyncapi.channels import Channel
    from microlite.web.openapi.components import Components

HEADERS: Final = {
    "type": "object",
    "description": "What its publisher said along with it, and the metadata of the call that published it.",
    "properties": {"traceparent": {"type": "string", "description": "The trace to which it belongs."}},
    "additionalProperties": {"type": "string"},
}
"""The schema of what travels beside a payload."""

_fingerprint = msgspec.json.Encoder(order="sorted").encode


def payload_part(service: ServiceDescription, endpoint: EndpointDescription, trigger: Consume | Subscribe) -> Part:
    """What an endpoint takes from its topic: the schema of the payload; an empty one where it takes anything."""
    if isinstance(trigger, Consume):
        field, whole, inner = trigger.field, trigger.whole, "payload"
    else:
        field, whole, inner = trigger.field, trigger.whole, "value"
    root = endpoint.request
    schema: Schema = root.get("properties", {}).get(field, {}) if field else {}
    if whole:
        schema = dereference(schema, root).get("properties", {}).get(inner, {})
    return Part(service.name, endpoint.name, "request", _alone(schema, root))


def topic_part(topic: str, schema: Schema) -> Part:
    """What a topic of events asks of its payloads."""
    return Part("events", topic, "request", schema)


class Messages:
    """The messages of a document, each once, however many endpoints take it.

    Args:
        components: has the schemas of all parts.

    Attributes:
        found: by name.
    """

    def __init__(self, components: Components) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._components = components
        self._names: dict[bytes, str] = {}

    def offer(self, channel: dict[str, Any], of: Channel, part: Part) -> str:
        """Add a part to the messages of a channel, and return its name there."""
        payload = self._components.adopt(part, part.schema)
        payload.pop("default", None)  # what the function takes when nothing comes is no part of the message
        reference = payload.get("$ref", "") if isinstance(payload, dict) else ""
        base = reference.removeprefix(COMPONENT) if reference.startswith(COMPONENT) else of.key
        mark = _fingerprint([base, payload])
        name = self._names.get(mark)
        if name is None:
            name, number = base, 2
            while name in self.found:
                name, number = f"{base}-{number}", number + 1
            self._names[mark] = name
            self.found[name] = {
                "name": name,
                "contentType": "application/json",
                "payload": payload,
                "traits": [{"$ref": "#/components/messageTraits/headers"}],
            }
        channel["messages"][name] = {"$ref": f"#/components/messages/{name}"}
        return name


def _alone(schema: Schema, root: Schema) -> Schema:
    """A piece of a schema with those definitions that it refers to, and no others."""
    definitions: dict[str, Schema] = root.get(DEFINITIONS) or {}
    needed: dict[str, Schema] = {}
    waiting = [reference.removeprefix(REF) for reference in references(schema)]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in needed:
            needed[name] = definitions[name]
            waiting += [reference.removeprefix(REF) for reference in references(definitions[name])]
    return {**schema, DEFINITIONS: needed} if needed else dict(schema)
