"""What must hold of every document, whatever it describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

METHODS = ("get", "put", "post", "delete", "patch")


def plain(document: dict[str, Any]) -> Any:
    """The document as a reader gets it."""
    return msgspec.json.decode(msgspec.json.encode(document))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and content of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def media(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything that has a schema and may have an example."""
    for _, _, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            yield from parameter["content"].values() if "content" in parameter else (parameter,)
        yield from operation.get("requestBody", {}).get("content", {}).values()
        for answer in operation["responses"].values():
            yield from answer.get("content", {}).values()
    for answer in document["components"]["responses"].values():
        yield from answer["content"].values()


def validator(document: dict[str, Any], schema: Any) -> Any:
    """Checks values against a schema within the document, formats included."""
    registry: Any = Registry().with_resource("urn:document", DRAFT202012.create_resource(document))
    return Draft202012Validator(
        _absolute(schema), registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def check(described: dict[str, Any]) -> Any:
    """Check a document; returns it as a reader gets it.

    Raises:
        Exception: it is not valid, a reference leads nowhere, an id is there twice, or an example does not fit.
    """
    document = plain(described)
    OpenAPIV31SpecValidator(document).validate()
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids)), ids
    tags = [tag["name"] for tag in document["tags"]]
    assert len(tags) == len(set(tags))
    assert all(set(operation["tags"]) <= set(tags) for _, _, operation in operations(document))
    for reference in _references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step.replace("~1", "/").replace("~0", "~")]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for one in media(document):
        Draft202012Validator.check_schema(one["schema"])
        if "example" in one:
            validator(document, one["schema"]).validate(one["example"])
    return document


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for key, value in node.items():
            if key not in ("example", "examples", "default"):
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _absolute(node: Any) -> Any:
    """A schema whose references name the document, so that it can stand alone."""
    if isinstance(node, dict):
        return {
            key: f"urn:document{value}" if key == "$ref" and isinstance(value, str) else _absolute(value)
            for key, value in node.items()
        }
    return [_absolute(value) for value in node] if isinstance(node, list) else node
