"""The whole document: topics as channels, consuming and subscribing endpoints as operations, payloads as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from microlite.core.description.naming import BUILT_IN_SERVICES
from microlite.core.description.structs import Consume, Subscribe
from microlite.version import __version__
from microlite.web.asyncapi.channels import Channel, channel_of
from microlite.web.asyncapi.messages import HEADERS, Messages, payload_part, topic_part
from microlite.web.openapi.components import Components, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from microlite.core.description.structs import EndpointDescription, Schema, ServiceDescription

VERSION: Final = "3.0.0"
"""Of the AsyncAPI specification (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

SERVER: Final = "gateway"
SCHEME: Final = "token"

_SECURITY: Final = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "The admin's token, which the platform keeps in its home.",
    }
}


class _Taking:
    """An endpoint that takes what comes on a channel."""

    def __init__(
        self, service: ServiceDescription, endpoint: EndpointDescription, trigger: Consume | Subscribe
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self.trigger = trigger
        self.channel = channel_of(trigger)
        self.part: Part = payload_part(service, endpoint, trigger)


def document(
    services: Iterable[ServiceDescription],
    *,
    title: str = "",
    version: str = "",
    gateway: str = "",
    topics: Mapping[str, Schema] | None = None,
) -> dict[str, Any]:
    """The AsyncAPI document of these services. It depends on nothing but the arguments, and not on their order.

    Args:
        services: what the reader may see.
        title: of the document; without it that of the only service, or of the platform.
        version: of what is described; without it that of the only service, or of the platform.
        gateway: URL under which messages and events are published and followed.
        topics: topics of events that are there, with the schema that is set for each; an empty one for none.
    """
    ordered = sorted(services, key=lambda service: (service.name in BUILT_IN_SERVICES, service.name))
    takings = [
        _Taking(service, endpoint, trigger)
        for service in ordered
        for endpoint in service.endpoints
        for trigger in endpoint.triggers
        if isinstance(trigger, Consume | Subscribe)
    ]
    givings = [
        (service, said, Part(service.name, f"publishes {said.topic}", "response", said.payload))
        for service in ordered
        for said in service.publishes
    ]
    named = {name: topic_part(name, schema) for name, schema in sorted((topics or {}).items())}
    components = Components([*(taking.part for taking in takings), *(part for _, _, part in givings), *named.values()])
    messages = Messages(components)
    channels: dict[str, dict[str, Any]] = {}
    for name, part in named.items():
        channel = channel_of(Consume(topic=name, group=""))
        entry = _channel(channels, channel)
        if part.schema:
            messages.offer(entry, channel, part)
    operations: dict[str, Any] = {}
    for service, said, part in givings:
        channel = channel_of(Consume(topic=said.topic, group=""))
        message = messages.offer(_channel(channels, channel), channel, part)
        operations[_free(operations, f"{service.name}.publishes.{said.topic}")] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel.key}"},
            "title": f"{service.name} publishes {said.topic}",
            "tags": [{"name": service.name}],
            "messages": [{"$ref": f"#/channels/{channel.key}/messages/{message}"}],
        }
    for taking in takings:
        entry = _channel(channels, taking.channel)
        message = messages.offer(entry, taking.channel, taking.part)
        operation = _operation(taking)
        operation["messages"] = [{"$ref": f"#/channels/{taking.channel.key}/messages/{message}"}]
        operations[_free(operations, f"{taking.service.name}.{taking.endpoint.name}")] = operation
    found: dict[str, Any] = {
        "asyncapi": VERSION,
        "info": _info(ordered, title, version),
        "defaultContentType": "application/json",
    }
    if gateway:
        found["servers"] = {SERVER: _server(gateway)}
    return {
        **found,
        "channels": dict(sorted(channels.items())),
        "operations": operations,
        "components": {
            "schemas": components.schemas,
            "messages": messages.found,
            "messageTraits": {"headers": {"headers": HEADERS}},
            "securitySchemes": _SECURITY,
        },
    }


def _info(services: list[ServiceDescription], title: str, version: str) -> dict[str, Any]:
    only = services[0] if len(services) == 1 else None
    info: dict[str, Any] = {
        "title": title or (only.name if only else "microlite"),
        "version": version or (only.version if only else __version__),
    }
    if only is not None and only.doc:
        info["description"] = only.doc
    tags = []
    for service in services:
        tag: dict[str, Any] = {"name": service.name}
        if service.doc:
            tag["description"] = service.doc
        tags.append(tag)
    if tags:
        info["tags"] = tags
    return info


def _server(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    server: dict[str, Any] = {
        "host": parts.netloc,
        "protocol": parts.scheme,
        "description": "The gateway: what is published and followed over HTTP goes through it.",
        "security": [{"$ref": f"#/components/securitySchemes/{SCHEME}"}],
    }
    if parts.path.strip("/"):
        server["pathname"] = parts.path
    return server


def _channel(channels: dict[str, dict[str, Any]], channel: Channel) -> dict[str, Any]:
    entry = channels.get(channel.key)
    if entry is None:
        entry = channels[channel.key] = channel.describe()
    return entry


def _operation(taking: _Taking) -> dict[str, Any]:
    endpoint, trigger = taking.endpoint, taking.trigger
    operation: dict[str, Any] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{taking.channel.key}"},
        "title": f"{taking.service.name}.{endpoint.name}",
    }
    if endpoint.summary:
        operation["summary"] = endpoint.summary
    if endpoint.doc and endpoint.doc != endpoint.summary:
        operation["description"] = endpoint.doc
    operation["tags"] = [{"name": taking.service.name}]
    if isinstance(trigger, Consume):
        operation["x-group"] = trigger.group
        operation["x-retries"] = trigger.retries
        operation["x-ack-wait"] = trigger.ack_wait
    else:
        if trigger.queue:
            operation["x-queue"] = trigger.queue
        operation["x-limit"] = trigger.limit
        operation["x-overflow"] = trigger.overflow
    operation["x-concurrency"] = trigger.concurrency
    return operation


def _free(taken: Mapping[str, Any], name: str) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
