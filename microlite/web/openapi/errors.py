"""The answers that say what went wrong: one schema for all, and a ready answer for each code that the platform gives."""

from __future__ import annotations

from typing import Any, Final

from microlite.core import errors
from microlite.web.openapi.components import COMPONENT, RESERVED

ERROR_SCHEMA: Final = {
    "type": "object",
    "description": "What every error says, whatever its code.",
    "properties": {
        "id": {
            "type": "string",
            "description": "Who says so, or the id under which the service's log has the cause.",
        },
        "code": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The status code."},
        "detail": {"type": "string", "description": "What was wrong, where, and what to do."},
        "status": {"type": "string", "description": "The code in words."},
    },
    "required": ["id", "code", "detail", "status"],
}

HEADERS: Final = {
    "traceparent": {
        "description": "The span of this call, in the trace that the request named, or in a new one.",
        "schema": {"type": "string", "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
    },
    "ETag": {
        "description": "Which version the reply is, for `If-None-Match` and `If-Match`.",
        "schema": {"type": "string", "pattern": '^(W/)?".*"$'},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to log in.", "schema": {"type": "string"}},
}

_DETAILS: Final[dict[type[errors.Error], str]] = {
    errors.BadRequest: "items[0].quantity: expected int, got str",
    errors.Unauthorized: "log in: send Authorization: Bearer with a token",
    errors.Forbidden: "the namespace is not yours",
    errors.NotFound: "there is no order 7",
    errors.Timeout: "no answer within 30 s",
    errors.PayloadTooLarge: "the body is larger than the limit of 10,485,760 bytes",
    errors.UnsupportedMediaType: "the body has no content type; send application/json",
    errors.TooManyRequests: "too many calls wait; try again",
    errors.InternalServerError: "the service failed; its log has the cause under this id",
    errors.ServiceUnavailable: "no node takes calls now; try again",
}
_EXTRA: Final = {
    errors.Unauthorized: ("WWW-Authenticate",),
    errors.TooManyRequests: ("Retry-After",),
    errors.ServiceUnavailable: ("Retry-After",),
}
_FOR_ALL: Final = (
    *(errors.BadRequest, errors.NotFound, errors.Timeout, errors.TooManyRequests, errors.InternalServerError),
    errors.ServiceUnavailable,
)
_WITH_BODY: Final = (errors.PayloadTooLarge, errors.UnsupportedMediaType)
_WITH_ROLE: Final = (errors.Unauthorized, errors.Forbidden)
_DEFAULT: Final = "default"


def error_answers(*, is_closed: bool, has_body: bool) -> dict[str, Any]:
    """The errors that an endpoint may answer with, as references, by code; `default` for what a service raises itself.

    Args:
        is_closed: whether only accounts may call it.
        has_body: whether the request may have a body.
    """
    kinds = [*_FOR_ALL, *(_WITH_BODY if has_body else ()), *(_WITH_ROLE if is_closed else ())]
    answers = {str(kind.code): _reference(kind.__name__) for kind in sorted(kinds, key=lambda kind: kind.code)}
    return {**answers, _DEFAULT: _reference("OtherError")}


def error_components() -> dict[str, Any]:
    """What the references lead to."""
    answers = {kind.__name__: _answer(kind) for kind in sorted(_DETAILS, key=lambda kind: kind.code)}
    content = {"application/json": {"schema": {"$ref": COMPONENT + RESERVED}}}
    other = {"description": "Any other error that the service raises.", "content": content}
    return {**answers, "OtherError": {**other, "headers": header_references()}}


def header_references(*names: str) -> dict[str, Any]:
    """These headers of an answer, and the trace that all have."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("traceparent", *names)}


def _answer(kind: type[errors.Error]) -> dict[str, Any]:
    example = kind(_DETAILS[kind], id="gateway").as_dict()
    content = {"application/json": {"schema": {"$ref": COMPONENT + RESERVED}, "example": example}}
    description = " ".join((kind.__doc__ or "").partition("\n")[0].split())
    return {"description": description, "headers": header_references(*_EXTRA.get(kind, ())), "content": content}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{name}"}
