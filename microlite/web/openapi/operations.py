"""The operations of one endpoint: a method and a path, what goes in, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from microlite.core.description.media_type import ANY
from microlite.core.description.naming import BUILT_IN_SERVICES, DEFAULT_ENDPOINT
from microlite.core.description.routes import Route
from microlite.core.description.schema_path import dereference
from microlite.core.description.structs import Role, Streaming
from microlite.web.openapi.components import Components, Part, list_parts
from microlite.web.openapi.errors import error_answers, header_references
from microlite.web.openapi.fields import Parameter, body_schema, example_of, path_parameters, query_parameters
from microlite.web.openapi.headers import FILE_HEADERS, IDEMPOTENCY_KEY, IDEMPOTENCY_METHODS
from microlite.web.openapi.media import FORM, file_answers, form_of, raw_body, reply_media, stream_media

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from microlite.core.description.structs import EndpointDescription, Schema, ServiceDescription

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
SCHEME: Final = "token"
"""The name of the security scheme."""

_IN_QUERY: Final = ("get", "delete")
"""Methods without a body: all that the path does not say stands in the query."""


class Operation(NamedTuple):
    """One way to call an endpoint."""

    method: str
    """In lower case, as documents have it."""
    segments: tuple[str, ...]
    """Of the path; a parameter stands in braces."""
    content: dict[str, Any]

    @property
    def path(self) -> str:
        """The template of the path."""
        return "/" + "/".join(self.segments)


def list_operations(
    service: ServiceDescription, endpoint: EndpointDescription, components: Components
) -> Iterator[Operation]:
    """The operations of an endpoint: of its route if it declares one, else of the path of its name.

    By its name an endpoint is called with POST; with GET as well where that is answered. (PUT, PATCH and DELETE mean the
    same as POST there, and are left out.)
    """
    if endpoint.route is not None:
        route = Route.parse(endpoint.route)
        ways = [(route.method.lower(), route.segments, route.parameters)]
    else:
        segments = (*service.name.split("."), *_below(endpoint.name))
        ways = [("post", segments, ())]
        if answers_get(service.name, endpoint):
            ways.insert(0, ("get", segments, ()))
    for method, segments, parameters in ways:
        call = _Call(service, endpoint, components, method, parameters)
        suffix = "_GET" if method == "get" and endpoint.route is None else ""
        yield Operation(method, segments, call.describe(operation_id(service.name, endpoint.name) + suffix))


def answers_get(service: str, endpoint: EndpointDescription) -> bool:
    """Whether an endpoint answers GET under the path of its name, as `web.gateway.table` has it."""
    return (endpoint.reads or service not in BUILT_IN_SERVICES) and not endpoint.streaming.from_client


def operation_id(service: str, endpoint: str) -> str:
    """`orders_create`, `orders_notes_listAll`: a dot becomes `_`, a hyphen a capital. No two endpoints have the same."""
    words = f"{service}.{endpoint}".replace(".", "_").split("-")
    capitals = (word.capitalize() if word[:1].isalpha() else f"_{word}" for word in words[1:])
    return "".join((words[0], *capitals))


def _below(endpoint: str) -> Sequence[str]:
    return () if endpoint == DEFAULT_ENDPOINT else endpoint.split(".")


class _Call:
    """One operation while it is written."""

    def __init__(
        self,
        service: ServiceDescription,
        endpoint: EndpointDescription,
        components: Components,
        method: str,
        in_path: Sequence[str],
    ) -> None:
        self._service = service
        self._endpoint = endpoint
        self._components = components
        self._parts: dict[str, Part] = list_parts(service, endpoint)
        self._method = method
        self._query_only = method in _IN_QUERY or endpoint.streaming.from_client
        self._in_path = in_path
        self._is_closed = endpoint.role is not Role.PUBLIC or bool(endpoint.scopes)

    def describe(self, operation_id: str) -> dict[str, Any]:
        endpoint = self._endpoint
        content: dict[str, Any] = {"operationId": operation_id, "tags": [self._service.name]}
        if endpoint.summary:
            content["summary"] = endpoint.summary
        if endpoint.doc != endpoint.summary:
            content["description"] = endpoint.doc
        if parameters := list(self._parameters()):
            content["parameters"] = parameters
        body = self._body()
        if body is not None:
            content["requestBody"] = body
        errors = error_answers(is_closed=self._is_closed, has_body=body is not None)
        content["responses"] = {**self._answers(), **errors}
        if endpoint.deprecated:
            content["deprecated"] = True
        if self._is_closed:
            content["security"] = [{SCHEME: []}]
        if endpoint.role is not Role.PUBLIC:
            content["x-microlite-role"] = endpoint.role
        if endpoint.scopes:
            content["x-microlite-scopes"] = endpoint.scopes
        if endpoint.idempotent:
            content["x-idempotent"] = True
        if endpoint.metadata:
            content["x-metadata"] = endpoint.metadata
        return content

    # -- what goes in --------------------------------------------------------------------------------------------------

    def _parameters(self) -> Iterator[dict[str, Any]]:
        request = self._endpoint.request
        for parameter in path_parameters(request, self._in_path):
            yield self._parameter(parameter, "path")
        if self._method in IDEMPOTENCY_METHODS and self._endpoint.streaming is Streaming.UNARY:
            yield IDEMPOTENCY_KEY
        if self._endpoint.produces == ANY:
            yield from FILE_HEADERS
        if self._query_only:
            for parameter in query_parameters(request, self._in_path):
                yield self._parameter(parameter, "query")
        if self._endpoint.event_id:
            text = "The id of the last event that was received: the stream goes on behind it."
            yield {"name": "Last-Event-ID", "in": "header", "description": text, "schema": {"type": "string"}}

    def _parameter(self, parameter: Parameter, place: str) -> dict[str, Any]:
        written: dict[str, Any] = {"name": parameter.name, "in": place}
        if parameter.description:
            written["description"] = parameter.description
        if parameter.required:
            written["required"] = True
        schema = {key: value for key, value in parameter.schema.items() if key != "description"}
        name = parameter.name.rpartition(".")[2]
        example = example_of(schema, self._endpoint.request, name) if parameter.required else {}
        media = {"schema": self._adopt("request", schema), **example}
        return {**written, "content": {JSON: media}} if parameter.is_json else {**written, **media}

    def _body(self) -> dict[str, Any] | None:
        endpoint = self._endpoint
        if endpoint.items is not None and endpoint.consumes:
            return {"description": "The stream, as it is and of any media type.", "content": raw_body()}
        if endpoint.items is not None:
            items = {"schema": self._adopt("items", endpoint.items), **example_of(endpoint.items, endpoint.items)}
            content = {LINES: items, **stream_media(endpoint.items)}
            return {"description": "A stream: one JSON document a line, or none at all.", "content": content}
        schema = None if self._query_only else body_schema(endpoint.request, self._in_path)
        if schema is None:
            return None
        media = {"schema": self._adopt("request", schema), **example_of(schema, endpoint.request)}
        body: dict[str, Any] = {"content": {JSON: media}}
        form = form_of(schema, endpoint.request)
        if form is not None:
            body["content"][FORM] = {"schema": self._adopt("request", form)}
        if schema.get("required"):
            body["required"] = True
        return body

    # -- what comes back -----------------------------------------------------------------------------------------------

    def _answers(self) -> dict[str, Any]:
        schema = self._endpoint.response
        if self._endpoint.produces == ANY:
            return file_answers()
        if self._endpoint.streaming.from_server:
            return {"200": self._stream(schema)}
        answers: dict[str, Any] = {}
        reply = _without_null(schema)
        raw = reply_media(self._endpoint)
        if raw:
            answers["200"] = {"description": "The reply.", "headers": header_references(), "content": raw}
        elif reply is not None:
            media = {"schema": self._adopt("response", reply), **example_of(reply, schema, complete=True)}
            headers = header_references(*(("ETag",) if self._endpoint.etag else ()))
            answers["200"] = {"description": "The reply.", "headers": headers, "content": {JSON: media}}
        if _may_be_null(schema, schema):
            answers["204"] = {"description": "Done; there is nothing to say.", "headers": header_references()}
        return answers

    def _stream(self, schema: Schema) -> dict[str, Any]:
        if raw := reply_media(self._endpoint):
            text = "A stream, its items one behind the other. An error on the way cuts the connection."
            return {"description": text, "headers": header_references(), "content": raw}
        item = self._adopt("response", schema)
        lines = {"schema": item, **example_of(schema, schema, complete=True)}
        event: dict[str, Any] = {
            "type": "object",
            "properties": {
                "event": {
                    "enum": ["message", "end", "error"],
                    "description": "Nothing or `message` for an item; `end` after the last; `error` in place of the end.",
                },
                "data": {"type": "string", "contentMediaType": JSON, "contentSchema": item},
            },
            "required": ["data"],
        }
        if self._endpoint.event_id:
            text = f"The `{self._endpoint.event_id}` of the item: what to send as `Last-Event-ID` to go on behind it."
            event["properties"]["id"] = {"type": "string", "description": text}
        return {
            "description": "A stream: one JSON document a line, or, where the client accepts `text/event-stream`, "
            'server-sent events. An error on the way is the last line, `{"error": …}`, or the event `error`.',
            "headers": header_references(),
            "content": {LINES: lines, EVENTS: {"schema": event}},
        }

    def _adopt(self, role: str, schema: Schema) -> Any:
        return self._components.adopt(self._parts[role], schema)


def _may_be_null(schema: Schema, root: Schema) -> bool:
    """Whether a function's None is a reply of this schema; it is answered by 204."""
    if not schema:
        return True
    if "$ref" in schema:
        target = dereference(schema, root)
        return target is not schema and _may_be_null(target, root)
    if schema.get("anyOf"):
        return any(_may_be_null(one, root) for one in schema["anyOf"])
    kinds = schema.get("type", ())
    return kinds == "null" or (isinstance(kinds, list) and "null" in kinds) or None in schema.get("enum", ())


def _without_null(schema: Schema) -> Schema | None:
    """The schema of a reply that has a body; None where there is none."""
    if schema.get("type") == "null":
        return None
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == len(schema.get("anyOf", ())):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 else {**rest, "anyOf": choices}
